"""Figures: what was measured, of whom, in which unit, and beside which peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .summaries import exponent, ratios, summary

Json = dict[str, Any]


@dataclass
class Figure:
    """One thing that was measured, a value for each round."""

    name: str
    unit: str
    note: str = ""
    values: list[float] = field(default_factory=list)
    # The names of figures that were measured in the same rounds.
    peers: list[str] = field(default_factory=list)


class Figures:
    """All figures of a run, by their names."""

    def __init__(self) -> None:
        self._figures: dict[str, Figure] = {}

    def add(self, name: str, unit: str, value: float, note: str = "") -> None:
        figure = self._figures.setdefault(name, Figure(name, unit, note))
        if figure.unit != unit:
            raise ValueError(f"{name} is in {figure.unit}, not in {unit}")
        figure.values.append(value)

    def compare(self, name: str, *peers: str) -> None:
        """Sets a figure beside others, where all of them were measured."""
        if name in self._figures:
            self._figures[name].peers += [peer for peer in peers if peer in self._figures]

    def values(self, name: str) -> list[float]:
        """The values of a figure; none if it was not measured."""
        return self._figures[name].values if name in self._figures else []

    def grow(self, name: str, pattern: str, sizes: Sequence[int], note: str = "") -> None:
        """Adds how the figures of `pattern` grow with the fleet's size, if there are two sizes of it or more."""
        points = [(size, value) for size in sizes for value in self.values(pattern.format(size))]
        if len({size for size, _ in points}) > 1 and all(value > 0 for _, value in points):
            self.add(name, "exponent", exponent(points), note)

    def told(self) -> list[Json]:
        return [self._told(figure) for figure in self._figures.values()]

    def _told(self, figure: Figure) -> Json:
        told: Json = {"name": figure.name, "unit": figure.unit, **summary(figure.values).told()}
        if figure.note:
            told["note"] = figure.note
        if figure.peers:
            told["peers"] = [self._beside(figure, self._figures[peer]) for peer in figure.peers]
        return told

    def _beside(self, figure: Figure, peer: Figure) -> Json:
        """A peer's figure, and ours by it."""
        told: Json = {"name": peer.name, **summary(peer.values).told()}
        if min(peer.values) > 0:
            told["ratio"] = summary(ratios(figure.values, peer.values)).told()
        return told
