"""What deletions and fleets cost is the sum of its lines, at the prices beside it."""

import re

import pytest
from benchmarks import bills, costs, table
from benchmarks.figures import Figures
from environments import ROOT


@pytest.fixture
def results() -> dict:
    """As if a deletion took a tenth of a millisecond and a hundredth of a write."""
    figures = Figures()
    figures.add("cpu per deletion/delete-expired", "ms", 0.1)
    figures.add("writes per deletion/delete-expired", "calls", 0.01)
    figures.add("warm p50/delete-execution", "ms", 1)
    costs.add(figures)
    return {"prices": costs.PRICES, "figures": figures.told()}


def sums(text: str) -> list[list[float]]:
    """The dollars of each line of the first table."""
    lines = [line for line in text.splitlines() if line.startswith("| ") and "$" in line]
    return [[float(told) for told in re.findall(r"\$([\d.]+)", line)] for line in lines]


def test_a_million_deletions_are_the_sum_of_their_lines(results):
    medians = {figure["name"]: figure["median"] for figure in results["figures"]}
    *lines, together, logs, whole = sums(bills.million(medians, results["prices"]))
    for column in (0, 1):
        # Of requests and messages there are fractions of a cent.
        assert together[column] == pytest.approx(sum(line[column] for line in lines if line), abs=0.011)
        assert whole[column] == pytest.approx(together[column] + logs[column], abs=0.011)
    # 125,000 seconds of a quarter of a GB, 10,000 writes, 0.5 GB of lines.
    assert together[0] == pytest.approx(31_250 * 0.0000133334 + 10 * 0.005, abs=0.006)
    assert logs[0] == pytest.approx(0.3, abs=0.05)


def test_a_fleet_pays_for_what_it_deletes_and_for_each_look(results):
    page = bills.rendered(results)
    for fleet in bills.FLEETS:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {fleet.words} |")]
        assert f"| {fleet.deletions:,} |" in row
        deleting, looking, together = (float(told) for told in re.findall(r"\$([\d.]+)", row))
        assert together == pytest.approx(deleting + looking, rel=0.06)


def test_alarms_are_those_of_the_template(results):
    alarms = (ROOT / "template.yaml").read_text().count("Type: AWS::CloudWatch::Alarm")
    assert f"The template has {alarms} alarms" in bills.rendered(results)


def test_without_figures_nothing_is_made_up():
    assert "Not measured" in bills.rendered({"prices": costs.PRICES, "figures": []})
    with pytest.raises(SystemExit, match="has no place"):
        table.placed("docs/costs.md", "no markers", "text")
