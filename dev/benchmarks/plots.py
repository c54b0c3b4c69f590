"""The plots, as SVG that can be read on a light page and on a dark one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from .table import number

Json = dict[str, Any]

STYLE = """\
  <style>
    text { font: 13px system-ui, sans-serif; fill: #1f2328; }
    .page { fill: #ffffff; } .title { font-size: 15px; font-weight: 600; } .small { font-size: 11px; fill: #59636e; }
    .ours { fill: #0969da; } .theirs { fill: #9a6700; } .bare { fill: #818b98; }
    .line-ours { stroke: #0969da; } .line-theirs { stroke: #9a6700; } .line { fill: none; stroke-width: 2; }
    .grid { stroke: #d1d9e0; } .spread { stroke: #1f2328; stroke-width: 1.5; }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc; } .page { fill: #0d1117; } .small { fill: #9198a1; }
      .ours { fill: #4493f8; } .theirs { fill: #d29922; } .bare { fill: #656c76; }
      .line-ours { stroke: #4493f8; } .line-theirs { stroke: #d29922; }
      .grid { stroke: #3d444d; } .spread { stroke: #f0f6fc; }
    }
  </style>"""
WIDTH = 760
LABELS = 230
RIGHT = 110


@dataclass(frozen=True)
class Bar:
    label: str
    # Whose it is: ours, theirs or bare.
    of: str
    median: float
    min: float
    max: float


def page(height: int, title: str, subtitle: str, parts: Sequence[str]) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"  <title>{escape(title)}</title>",
        STYLE,
        f'  <rect class="page" width="{WIDTH}" height="{height}" rx="6"/>',
        f'  <text class="title" x="16" y="26">{escape(title)}</text>',
        f'  <text class="small" x="16" y="44">{escape(subtitle)}</text>',
        *(f"  {part}" for part in parts),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def bars(title: str, unit: str, rows: Sequence[Bar]) -> str:
    """Bars over a logarithmic scale, from least to most, with the spread of the rounds."""
    low = 10 ** math.floor(math.log10(min(row.min for row in rows)))
    high = 10 ** math.ceil(math.log10(max(row.max for row in rows)))
    if high <= low:
        high = low * 10

    def x(value: float) -> float:
        return LABELS + (WIDTH - LABELS - RIGHT) * math.log(value / low) / math.log(high / low)

    bottom = 60 + 30 * len(rows)
    parts = []
    tick = low
    while tick <= high * 1.001:
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" y1="56" x2="{x(tick):.1f}" y2="{bottom}"/>')
        parts.append(
            f'<text class="small" x="{x(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{number(tick)}</text>'
        )
        tick *= 10
    for nth, row in enumerate(rows):
        y = 62 + 30 * nth
        parts += [
            f'<text x="{LABELS - 10}" y="{y + 16}" text-anchor="end">{escape(row.label)}</text>',
            f'<rect class="{row.of}" x="{LABELS}" y="{y}" width="{x(row.median) - LABELS:.1f}" height="22" rx="2"/>',
            f'<line class="spread" x1="{x(row.min):.1f}" y1="{y + 11}" x2="{x(row.max):.1f}" y2="{y + 11}"/>',
            f'<text x="{x(row.max) + 8:.1f}" y="{y + 16}">{number(row.median)} {escape(unit)}</text>',
        ]
    return page(bottom + 28, title, "Medians; the thin line goes from the least to the most. Logarithmic scale.", parts)


def lines(title: str, unit: str, series: Sequence[tuple[str, str, Sequence[tuple[int, float]]]]) -> str:
    """Lines over the fleet's size, both scales logarithmic."""
    xs = sorted({x for _, _, points in series for x, _ in points})
    ys = [y for _, _, points in series for _, y in points]
    low, high = 10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))
    if high <= low:
        high = low * 10
    left, right, top, bottom = 70, WIDTH - 170, 60, 300

    def at(x: float, y: float) -> tuple[float, float]:
        across = math.log(x / xs[0]) / math.log(xs[-1] / xs[0]) if len(xs) > 1 else 0.5
        up = math.log(y / low) / math.log(high / low)
        return left + (right - left) * across, bottom - (bottom - top) * up

    parts = []
    tick = low
    while tick <= high * 1.001:
        _, y = at(xs[0], tick)
        parts.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="small" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{number(tick)} {unit}</text>'
        )
        tick *= 10
    for x in xs:
        across, _ = at(x, low)
        parts.append(f'<text class="small" x="{across:.1f}" y="{bottom + 18}" text-anchor="middle">{x:,}</text>')
    for label, of, points in series:
        placed = [at(x, y) for x, y in points]
        path = " ".join(f"{'M' if nth == 0 else 'L'}{x:.1f} {y:.1f}" for nth, (x, y) in enumerate(placed))
        parts.append(f'<path class="line line-{of}" d="{path}"/>')
        parts += [f'<circle class="{of}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in placed]
        x, y = placed[-1]
        parts.append(f'<text x="{x + 10:.1f}" y="{y + 4:.1f}">{escape(label)}, {number(points[-1][1])} {unit}</text>')
    return page(bottom + 34, title, "Medians, by executions in the fleet. Both scales are logarithmic.", parts)


def rendered(results: Json) -> dict[str, str]:
    """The plots of what was measured, by their names."""
    figures = {figure["name"]: figure for figure in results["figures"]}

    def some(named: Sequence[tuple[str, str, str]]) -> list[Bar]:
        return [
            Bar(label, of, figures[name]["median"], figures[name]["min"], figures[name]["max"])
            for label, of, name in named
            if name in figures
        ]

    plots = {}
    if starts := some(STARTS):
        plots["starts"] = bars("From the start of the process to the first poll of the Runtime API", "ms", starts)
    if deletions := some(DELETIONS):
        plots["deletions"] = bars("Deletions a second, nothing throttled, everything on loopback", "/s", deletions)
    series = []
    for label, of, prefix in MEMORY:
        found = [name for name in figures if name.startswith(prefix)]
        if points := sorted((int(name.removeprefix(prefix)), figures[name]["median"]) for name in found):
            series.append((label, of, points))
    if series:
        plots["memory"] = lines("Peak memory", "MB", series)
    return plots


STARTS = (
    ("lambda_runtime, nothing else", "bare", "init/hello"),
    ("a bare signed client", "bare", "init/floor"),
    ("cancel-execution", "ours", "init/cancel-execution"),
    ("delete-execution", "ours", "init/delete-execution"),
    ("delete-expired", "ours", "init/delete-expired"),
    ("Python and boto3", "theirs", "init/boto3 cancel"),
)
DELETIONS = (
    ("a bare signed client", "bare", "deletions/floor"),
    ("delete-expired", "ours", "deletions/delete-expired"),
    ("boto3, 64 threads, standard", "theirs", "deletions/boto3 script, standard"),
    ("boto3, 64 threads, adaptive", "theirs", "deletions/boto3 script, adaptive"),
    ("AWS CLI in a shell loop", "theirs", "deletions/AWS CLI"),
)
MEMORY = (
    ("delete-expired", "ours", "memory/delete-expired, "),
    ("boto3 script", "theirs", "memory/boto3 script, "),
)
