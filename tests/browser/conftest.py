"""Pages of real sweeps, and a headless Chromium in which they are drawn with no network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "dev")]

import browser as chromium  # noqa: E402
import fast  # noqa: E402

PAGES = ROOT / "target" / "report-pages"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshot-to", help="where the picture of a page is to be put")


@pytest.fixture(scope="session")
def pages() -> Path:
    """The pages that whole sweeps leave in the acceptance tests' world."""
    PAGES.mkdir(parents=True, exist_ok=True)
    for page in PAGES.glob("*.html"):
        page.unlink()
    tests = ["test", "-p", "tests", "--no-default-features", "--test", "acceptance", "pages::"]
    subprocess.run(
        [sys.executable, fast.__file__, *tests], cwd=ROOT, check=True, env={**os.environ, "JOBWARDEN_PAGES": str(PAGES)}
    )
    return PAGES


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = chromium.ensure()
        # Nothing but pages of this project is opened in it, and a container may not have what its sandbox takes.
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--headless=new"]
        running = playwright.chromium.launch(executable_path=found.path, args=options, env=found.environment)
        yield running
        running.close()


@pytest.fixture
def drawn(browser: Browser, pages: Path) -> Iterator[Callable[..., Page]]:
    """Draws a page. At the end it must have asked for nothing, and had nothing to complain of."""
    contexts = []
    asked: list[str] = []
    told: list[str] = []

    def draw(name: str, *, width: int = 1100, height: int = 900, **options) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, bypass_csp=False, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.goto((pages / name).as_uri())
        return page

    yield draw
    for context in contexts:
        context.close()
    own = {page.as_uri() for page in pages.iterdir()}
    assert set(asked) <= own, "a page asked for something"
    assert not told, told


@pytest.fixture(scope="session")
def axe() -> str:
    return chromium.ensure().axe.read_text(encoding="utf-8")
