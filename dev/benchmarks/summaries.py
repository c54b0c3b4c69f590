"""Medians, percentiles, ratios and growth."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """What is told of several measurements of one thing."""

    n: int
    median: float
    min: float
    max: float

    def told(self) -> dict[str, float]:
        return {"n": self.n, "median": self.median, "min": self.min, "max": self.max}


def summary(values: Sequence[float]) -> Summary:
    if not values:
        raise ValueError("nothing was measured")
    return Summary(len(values), statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all are not above."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("nothing was measured")
    return ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours by theirs, round by round where both were measured in the same rounds, and by their medians otherwise."""
    if len(ours) == len(theirs):
        return [one / other for one, other in zip(ours, theirs, strict=True)]
    return [statistics.median(ours) / statistics.median(theirs)]


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """The exponent b of the y = a x^b nearest to the points, by least squares over their logarithms.

    0 is flat, 1 grows with x, 2 with its square.
    """
    if len({x for x, _ in points}) < 2:
        raise ValueError("growth needs two sizes or more")
    logs = [(math.log(x), math.log(y)) for x, y in points]
    mean_x = statistics.fmean(x for x, _ in logs)
    mean_y = statistics.fmean(y for _, y in logs)
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)
