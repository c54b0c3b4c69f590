"""Dollars follow from what was measured and the prices that are stated."""

import pytest
from benchmarks import costs
from benchmarks.figures import Figures


def dollars(figures: Figures, name: str) -> float:
    costs.add(figures)
    return figures.values(name)[0]


def test_a_sweep_is_paid_for_its_time_its_writes_and_its_messages():
    figures = Figures()
    figures.add("cpu per deletion/delete-expired", "ms", 0.5)
    figures.add("writes per deletion/delete-expired", "calls", 0.02)
    # 125,000 s of a quarter of a GB, 20,000 writes, and 417 slices of 300 s with three requests each.
    rest = 20 * 0.005 + 125_000 / 300 * (0.20 + 3 * 0.50) / 1e6
    paced = dollars(figures, "million deletions, arm64/delete-expired")
    assert paced == pytest.approx(31_250 * 0.0000133334 + rest)
    # 500 s of a whole processor, which comes with 1,769 MB.
    worked = figures.values("million deletions as work, x86_64/delete-expired")[0]
    assert worked == pytest.approx(500 * 1769 / 1024 * 0.0000166667 + rest)


def test_a_call_is_paid_for_its_time_its_request_and_its_record():
    figures = Figures()
    figures.add("warm p50/delete-execution", "ms", 4)
    figures.add("warm p50/boto3 delete", "ms", 4)
    guarded = dollars(figures, "million calls, arm64/delete-execution")
    assert guarded == pytest.approx(1_000 * 0.0000133334 + 0.20 + 5)
    assert figures.values("million calls, arm64/boto3 delete")[0] == pytest.approx(1_000 * 0.0000133334 + 0.20)


def test_what_was_not_measured_costs_nothing_known():
    figures = Figures()
    costs.add(figures)
    assert figures.told() == []
