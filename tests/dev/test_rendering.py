"""What was measured is judged, and shown as it is."""

from xml.etree import ElementTree

import pytest
from benchmarks import plots, table
from benchmarks.targets import TARGETS, Kind, Sense, Target, judged
from environments import ROOT

RESULTS = {
    "taken": "2026-11-22T18:00:00+00:00",
    "size": "quick",
    "machine": {"system": "Linux", "processors": 2, "processor": "a processor", "memoryGb": 8},
    "versions": {"boto3": "1.44.5", "awslambdaric": "4.2.2", "python": "3.11.7", "awscli": "1.46.3"},
    "prices": {"asOf": "2026-06", "region": "us-east-1", "s3PerThousandPuts": 0.005},
}


def figure(name: str, median: float, unit: str = "ms", **peers: float) -> dict:
    told = {"name": name, "unit": unit, "n": 3, "median": median, "min": median * 0.9, "max": median * 1.1}
    if peers:
        told["peers"] = [
            {
                "name": f"{name.partition('/')[0]}/{peer}",
                "median": 1,
                "ratio": {"n": 3, "median": ratio, "min": ratio, "max": ratio},
            }
            for peer, ratio in peers.items()
        ]
    return told


def results(*figures: dict) -> dict:
    return RESULTS | {"figures": list(figures)}


@pytest.mark.parametrize(("value", "reached"), [(12, "goal"), (12.1, "floor"), (20, "floor"), (20.1, "missed")])
def test_a_target_tells_goal_floor_and_missed(value, reached):
    target = Target("peak", "peak/*", 12, 20, "MB", Sense.AT_MOST)
    assert target.reached(value) == reached


def test_a_floor_may_have_to_be_undercut():
    target = Target("throttled", "throttled/*", 0, 0.1, "%", Sense.AT_MOST, floor_sense=Sense.BELOW)
    assert [target.reached(value) for value in (0, 0.09, 0.1)] == ["goal", "floor", "missed"]


def test_a_floor_that_cannot_be_reached_has_a_page_and_a_bound_that_holds():
    target = Target("warm", "warm/*", 8, 5, "x", Sense.AT_LEAST, why="docs/bench/profile.md", least=2.5)
    assert [target.reached(value) for value in (8, 5, 4.9, 2.5, 2.4)] == [
        "goal", "floor", "explained", "explained", "missed",
    ]  # fmt: skip
    for target in TARGETS:
        assert (target.least is None) is (not target.why), target.name
        assert not target.why or (ROOT / target.why).is_file(), target.name


def test_the_table_leads_to_why_a_floor_cannot_be_reached():
    told = table.rendered(results(figure("warm p50/cancel-execution", 1, **{"boto3 cancel reading": 1 / 3})))
    assert "| ≥ 5 | [explained](docs/bench/profile.md) |" in told


def test_the_worst_figure_counts():
    figures = [figure("peak/a", 3), figure("peak/b", 9), figure("zip/c", 99)]
    assert Target("most", "peak/*", 1, 1, "MB", Sense.AT_MOST).value(figures) == 9
    assert Target("least", "peak/*", 1, 1, "MB", Sense.AT_LEAST).value(figures) == 3
    assert Target("named", ("peak/a", "zip/c"), 1, 1, "MB", Sense.AT_MOST).value(figures) == 99
    assert Target("none", "goodput/*", 1, 1, "%", Sense.AT_LEAST).value(figures) is None


def test_the_best_peer_counts():
    ours = figure("init/ours", 2, standard=0.1, adaptive=0.2)
    faster = Target("faster", "init/ours", 8, 4, "x", Sense.AT_LEAST, kind=Kind.PEER_BY_OURS, peer="init/*")
    assert faster.value([ours]) == pytest.approx(5)
    more = Target("more", "init/ours", 8, 4, "x", Sense.AT_LEAST, kind=Kind.TIMES_PEER, peer="init/*")
    assert more.value([ours]) == pytest.approx(0.1)
    other = Target("other", "init/ours", 8, 4, "x", Sense.AT_LEAST, kind=Kind.TIMES_PEER, peer="first/*")
    assert other.value([ours]) is None


def test_no_floor_is_above_its_goal():
    for target in TARGETS:
        assert target.reached(target.goal) == "goal", target.name
        assert target.sense is not Sense.AT_LEAST or target.floor <= target.goal, target.name
        assert target.sense is not Sense.AT_MOST or target.floor >= target.goal, target.name


def test_what_was_not_measured_is_told_so():
    assert {target["reached"] for target in judged([])} == {"not measured"}


def test_the_table_shows_goal_floor_and_whether_they_are_reached():
    told = table.rendered(results(figure("init/cancel-execution", 4, hello=3.0)))
    line = "| start of cancel-execution, by that of a function that does nothing | 3x | ≤ 2 | ≤ 4 | floor |"
    assert line in told.splitlines()
    assert "| start to first poll, ms | 4 | - | - |" in told.splitlines()


def test_the_readme_is_changed_between_its_markers_only():
    readme = f"before\n\n{table.BEGIN}\nold\n{table.END}\n\nafter\n"
    shown = table.put_in(readme, results(figure("init/cancel-execution", 4)))
    assert shown.startswith(f"before\n\n{table.BEGIN}\n")
    assert shown.endswith(f"{table.END}\n\nafter\n")
    assert "old" not in shown
    assert table.put_in(shown, results(figure("init/cancel-execution", 4))) == shown


def test_a_readme_without_a_place_is_refused():
    with pytest.raises(SystemExit, match="no place for the figures"):
        table.put_in("# Jobwarden\n", results())


@pytest.mark.parametrize(
    ("value", "told"), [(0, "0"), (0.00123, "0.001"), (0.0512, "0.0512"), (3.14159, "3.14"), (1234.5, "1,234")]
)
def test_a_number_is_told_in_three_digits(value, told):
    assert table.number(value) == told


def test_plots_are_svg_and_show_what_was_measured():
    shown = plots.rendered(
        results(
            figure("init/hello", 1.5),
            figure("init/cancel-execution", 3.5),
            figure("init/boto3 cancel", 350),
            figure("memory/delete-expired, 10000", 11, "MB"),
            figure("memory/delete-expired, 1000000", 11.5, "MB"),
        )
    )
    assert set(shown) == {"starts", "memory"}
    for name, text in shown.items():
        root = ElementTree.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg", name
        assert "prefers-color-scheme: dark" in text, name
    assert "3.5 ms" in shown["starts"]
    assert "1,000,000" in shown["memory"]


def test_costs_are_told_with_the_prices_they_go_by():
    of_sweep = [
        figure(f"million deletions{kind}, {architecture}/delete-expired", 0.5, "$")
        for kind in ("", " as work")
        for architecture in ("arm64", "x86_64")
    ]
    told = table.rendered(
        results(
            *of_sweep,
            figure("million deletions, puts/delete-expired", 20_000, "requests"),
            figure("million deletions/AWS CLI", 135, "hours") | {"note": "extrapolated from 3 deletions in each round"},
        )
    )
    assert "cost $0.50 on arm64" in told
    assert "of which $0.10 are for writing to the bucket" in told
    assert "published for us-east-1 as of 2026-06" in told
    assert "135 hours, extrapolated from 3 deletions in each round" in told
