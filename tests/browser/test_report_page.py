"""The page of a report as people meet it: drawn, searched, on a phone, in the dark, by an accessibility checker."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("deleted.html", "stopped.html", "hostile.html")
LOOKS = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"width": 360, "height": 740, "color_scheme": "light"},
    "dark phone": {"width": 320, "height": 640, "color_scheme": "dark"},
}
SHOWN = "#samples tbody tr:not([hidden])"


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("look", LOOKS)
def test_everybody_can_use_the_page(drawn, axe, name, look):
    page = drawn(name, **LOOKS[look])
    page.eval_on_selector_all("details", "all => all.forEach(details => { details.open = true; })")
    # Evaluated by the driver, past the page's policy, which lets no other script in.
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations', 'incomplete']})")
    violations = [(v["id"], v["help"], [node["html"][:200] for node in v["nodes"][:3]]) for v in found["violations"]]
    assert not violations, violations
    assert len(found["passes"]) > 10, "the checker has checked hardly anything"


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("look", LOOKS)
def test_nothing_is_wider_than_the_screen(drawn, name, look):
    page = drawn(name, **LOOKS[look])
    page.eval_on_selector_all("details", "all => all.forEach(details => { details.open = true; })")
    wide, screen = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= screen
    over = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent)"
    assert page.eval_on_selector_all(".facts div, .facts dd, h1, h2, li, p", over) == []


def test_the_page_is_dark_in_the_dark(drawn):
    def brightness(scheme: str) -> tuple[int, int]:
        page = drawn("deleted.html", color_scheme=scheme)
        colours = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        back, ink = ([int(part) for part in re.findall(r"\d+", colour)[:3]] for colour in colours)
        return sum(back), sum(ink)

    back, ink = brightness("light")
    assert back > 600 and ink < 200
    back, ink = brightness("dark")
    assert back < 150 and ink > 500


def test_the_samples_are_searched(drawn):
    page = drawn("deleted.html")
    rows = page.locator(SHOWN)
    every = rows.count()
    assert every > 10
    find = page.get_by_label("Search the samples")
    find.click()
    find.fill("CONFIG deleted")
    some = rows.count()
    assert 0 < some < every
    for text in rows.all_inner_texts():
        assert "config" in text and "deleted" in text
    assert page.locator(".find output").inner_text() == f"{some} of {every}"
    find.press("Enter")
    assert rows.count() == some, "the page was sent somewhere"
    find.fill("there is no such thing")
    assert rows.count() == 0
    find.fill("")
    assert rows.count() == every


def test_everything_can_be_read_without_a_script(drawn):
    page = drawn("deleted.html", java_script_enabled=False)
    assert page.locator("#samples tbody tr").count() > 10
    assert page.locator("#samples tbody tr").first.is_visible()
    assert not page.locator(".find").is_visible()


def test_the_charts_are_drawn_and_say_what_they_show(drawn):
    page = drawn("deleted.html")
    charts = page.get_by_role("img")
    assert charts.count() >= 6
    for chart in charts.all():
        assert chart.get_attribute("aria-label")
        assert chart.locator("rect").count() > 0
        box = chart.bounding_box()
        assert box["width"] > 200 and box["height"] > 60
    numbers = page.locator("details").filter(has_text="Executions by time")
    assert not numbers.locator("td").first.is_visible()
    numbers.locator("summary").click()
    assert numbers.locator("td").first.is_visible()
    counts = [int(cell.replace(",", "")) for cell in numbers.locator("td.n").all_inner_texts()]
    told = page.locator(".facts div").filter(has_text="deleted").locator("dd").inner_text()
    assert sum(counts) == int(told.replace(",", ""))


def test_what_comes_from_outside_runs_nothing(drawn):
    page = drawn("hostile.html")
    assert page.evaluate("window.hacked === undefined")
    assert page.locator("script").count() == 1
    assert page.locator("img, iframe").count() == 0
    assert "<script>window.hacked = 1</script>" in page.locator("main").inner_text()


def test_the_page_lets_no_script_in_but_its_own(drawn, pages):
    planted = "<script>window.hacked = 1</script><img src=x onerror='window.hacked=1'></main>"
    text = (pages / "stopped.html").read_text(encoding="utf-8").replace("</main>", planted)
    unguarded = text.replace("Content-Security-Policy", "Nothing")
    context = drawn("stopped.html").context

    def hacked(text: str) -> bool:
        (pages / "planted.html").write_text(text, encoding="utf-8")
        page = context.new_page()
        page.goto((pages / "planted.html").as_uri())
        assert page.locator("main script").count() == 1
        return page.evaluate("window.hacked !== undefined")

    assert hacked(unguarded), "what was planted does nothing anywhere"
    assert not hacked(text)


def test_screenshot(drawn, request):
    """From the charts on. Remade by `make screenshots`, which names the file."""
    page = drawn("deleted.html", width=1000, height=1150)
    page.get_by_role("heading", name="Ages by status").evaluate("heading => heading.scrollIntoView()")
    shot = page.screenshot()
    assert shot.startswith(b"\x89PNG") and len(shot) > 20_000
    target = request.config.getoption("--screenshot-to")
    if target:
        Path(target).write_bytes(shot)
