"""What is to be reached: a goal, and a floor below which `make bench` fails, or the bound of what cannot reach it."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .programs import API

Json = dict[str, Any]


class Sense(Enum):
    AT_MOST = "≤"
    AT_LEAST = "≥"
    BELOW = "<"


class Kind(Enum):
    """What of a figure is held against the target."""

    PLAIN = "plain"
    # Ours by the peer's, and the peer's by ours.
    TIMES_PEER = "times"
    PEER_BY_OURS = "by"


@dataclass(frozen=True)
class Target:
    name: str
    # Which figures, as a pattern or by their names; the worst of them counts.
    figures: str | tuple[str, ...]
    goal: float
    floor: float
    unit: str
    sense: Sense
    floor_sense: Sense | None = None
    kind: Kind = Kind.PLAIN
    # Which of the figure's peers; the best of them counts.
    peer: str = ""
    # Where the floor cannot be reached: the page that shows why, and the bound that holds instead.
    why: str = ""
    least: float | None = None

    def value(self, figures: Sequence[Json]) -> float | None:
        """What was measured, or None if it was not."""
        values = [value for figure in figures if self._named(figure) and (value := self._of(figure)) is not None]
        if not values:
            return None
        return min(values) if self.sense is Sense.AT_LEAST else max(values)

    def reached(self, value: float) -> str:
        if holds(self.sense, value, self.goal):
            return "goal"
        if holds(self.floor_sense or self.sense, value, self.floor):
            return "floor"
        return "explained" if self.least is not None and holds(self.sense, value, self.least) else "missed"

    def _named(self, figure: Json) -> bool:
        if isinstance(self.figures, tuple):
            return figure["name"] in self.figures
        return fnmatch.fnmatchcase(figure["name"], self.figures)

    def _of(self, figure: Json) -> float | None:
        if self.kind is Kind.PLAIN:
            return figure["median"]
        ratios = [
            peer["ratio"]["median"]
            for peer in figure.get("peers", ())
            if "ratio" in peer and fnmatch.fnmatchcase(peer["name"], self.peer)
        ]
        if not ratios:
            return None
        if self.kind is Kind.PEER_BY_OURS:
            ratios = [1 / ratio for ratio in ratios]
        return min(ratios) if self.sense is Sense.AT_LEAST else max(ratios)


def holds(sense: Sense, value: float, bound: float) -> bool:
    match sense:
        case Sense.AT_MOST:
            return value <= bound
        case Sense.AT_LEAST:
            return value >= bound
        case Sense.BELOW:
            return value < bound


def of_api(kind: str) -> tuple[str, ...]:
    return tuple(f"{kind}/{name}" for name in API)


TARGETS = (
    Target(
        "start of cancel-execution, by that of a function that does nothing", "init/cancel-execution", 2.0, 4.0, "x",
        Sense.AT_MOST, kind=Kind.TIMES_PEER, peer="init/hello",
    ),
    Target(
        "start of cancel-execution, times as fast as with boto3", "init/cancel-execution", 75, 40, "x",
        Sense.AT_LEAST, kind=Kind.PEER_BY_OURS, peer="init/boto3 cancel",
    ),
    Target(
        "first guarded cancel with TLS, times as fast as boto3's single unguarded call", "first/cancel-execution",
        10, 5, "x", Sense.AT_LEAST, kind=Kind.PEER_BY_OURS, peer="first/boto3 cancel",
    ),
    Target(
        "warm guarded cancel, times as fast as boto3 with the same reads", "warm p50/cancel-execution", 8, 5, "x",
        Sense.AT_LEAST, kind=Kind.PEER_BY_OURS, peer="warm p50/boto3 cancel reading",
        why="docs/bench/profile.md", least=2.5,
    ),
    Target("peak memory, the largest function of the API", of_api("peak"), 12, 20, "MB", Sense.AT_MOST),
    Target("zip, the largest function of the API", of_api("zip"), 4, 7, "MB", Sense.AT_MOST),
    Target(
        "deletions a second without a limit, 64 at once, times those of the boto3 script with 64 threads",
        "deletions/delete-expired", 15, 10, "x", Sense.AT_LEAST, kind=Kind.TIMES_PEER, peer="deletions/boto3 script, *",
    ),
    Target(
        "peak memory of a sweep over a million executions", "memory/delete-expired, 1000000",
        15, 25, "MB", Sense.AT_MOST,
    ),
    Target(
        "peak memory over the largest fleet, by that over the smallest", "flatness of memory/delete-expired",
        1.1, 1.1, "x", Sense.AT_MOST,
    ),
    Target(
        "share of a known limit that turns into deletions", "goodput/delete-expired, *", 99.5, 98, "%", Sense.AT_LEAST,
    ),
    Target(
        "calls throttled at a known limit", "throttled, goodput/delete-expired, *", 0, 0.1, "%", Sense.AT_MOST,
        floor_sense=Sense.BELOW,
    ),
    Target(
        "share of a limit that is half of the configured one", "goodput at half/delete-expired, *", 98, 95, "%",
        Sense.AT_LEAST,
    ),
    Target(
        "calls throttled at such a limit", "throttled, goodput at half/delete-expired, *", 3, 5, "%", Sense.AT_MOST,
    ),
)  # fmt: skip


def judged(figures: Sequence[Json]) -> list[Json]:
    """Each target with what was measured and what came of it: goal, floor, missed or not measured."""
    told = []
    for target in TARGETS:
        value = target.value(figures)
        told.append(
            {
                "name": target.name,
                "unit": target.unit,
                "value": value,
                "goal": f"{target.sense.value} {target.goal:g}",
                "floor": f"{(target.floor_sense or target.sense).value} {target.floor:g}",
                "reached": "not measured" if value is None else target.reached(value),
                **({"why": target.why, "least": f"{target.sense.value} {target.least:g}"} if target.why else {}),
            }
        )
    return told
