"""Medians, percentiles, ratios, growth, and what is read of processes."""

import pytest
from benchmarks.figures import Figures
from benchmarks.goodput import goodput
from benchmarks.process import high_water
from benchmarks.summaries import exponent, percentile, ratios, summary


def test_a_summary_has_the_median_and_the_ends():
    assert summary([3, 1, 2]).told() == {"n": 3, "median": 2, "min": 1, "max": 3}
    with pytest.raises(ValueError, match="nothing was measured"):
        summary([])


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (99, 99), (99.9, 100), (0, 1), (100, 100)])
def test_a_percentile_is_one_of_the_values(percent, value):
    assert percentile(list(range(100, 0, -1)), percent) == value


def test_the_percentile_of_one_value_is_that_value():
    assert percentile([7], 99) == 7


def test_ratios_are_by_round_where_the_rounds_are_the_same():
    # The machine was twice as slow in the second round, for both.
    assert ratios([1, 2], [10, 20]) == [0.1, 0.1]
    assert ratios([1, 2, 3], [20]) == [0.1]


@pytest.mark.parametrize("grows", [0, 1, 2])
def test_an_exponent_tells_how_something_grows(grows):
    points = [(size, 3 * size**grows) for size in (10, 100, 1000)]
    assert exponent(points) == pytest.approx(grows, abs=1e-9)


def test_growth_needs_two_sizes():
    with pytest.raises(ValueError, match="two sizes"):
        exponent([(10, 1), (10, 2)])


def test_a_figure_is_told_with_its_peers_and_the_ratio_of_their_rounds():
    figures = Figures()
    for round_ in (1, 2):
        figures.add("init/ours", "ms", 2 * round_)
        figures.add("init/theirs", "ms", 100 * round_)
    figures.compare("init/ours", "init/theirs", "init/not measured")
    figures.compare("init/not measured", "init/ours")
    ours = figures.told()[0]
    assert (ours["n"], ours["median"], ours["unit"]) == (2, 3, "ms")
    assert [peer["name"] for peer in ours["peers"]] == ["init/theirs"]
    assert ours["peers"][0]["median"] == 150
    assert ours["peers"][0]["ratio"] == {"n": 2, "median": 0.02, "min": 0.02, "max": 0.02}


def test_a_figure_keeps_its_unit():
    figures = Figures()
    figures.add("size", "MB", 1)
    with pytest.raises(ValueError, match="in MB, not in kB"):
        figures.add("size", "kB", 1)


def test_growth_is_told_where_several_sizes_were_measured():
    figures = Figures()
    figures.add("time/10", "s", 1)
    figures.grow("growth", "time/{}", (10, 100))
    assert figures.values("growth") == []
    figures.add("time/100", "s", 10)
    figures.grow("growth", "time/{}", (10, 100))
    assert figures.values("growth") == [pytest.approx(1)]


def test_goodput_counts_whole_seconds_and_those_without_an_answer():
    # The second second still has what the full bucket held.
    assert goodput([(7, 3), (8, 20), (9, 10), (10, 10), (11, 2)], 10) == 100
    assert goodput([(7, 3), (8, 20), (10, 10), (11, 2)], 10) == 50
    for too_short in ([], [(7, 3), (8, 10)], [(7, 3), (8, 10), (9, 2)]):
        with pytest.raises(ValueError, match="goodput needs more seconds"):
            goodput(too_short, 10)


def test_the_peak_of_a_process_is_read_in_millions_of_bytes():
    assert high_water("Name:\tbootstrap\nVmPeak:\t  9999 kB\nVmHWM:\t    1000 kB\n") == 1.024
    with pytest.raises(ValueError, match="has the process ended"):
        high_water("Name:\tbootstrap\n")
