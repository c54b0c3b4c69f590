"""The part of README.md that tells what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .targets import judged

Json = dict[str, Any]

BEGIN = "<!-- bench: rendered from docs/bench/results.json by `python3 dev/bench.py render` -->"
END = "<!-- /bench -->"
PLOTS = (
    ("starts", "From the start of the process to the first poll of the Runtime API"),
    ("deletions", "Deletions a second"),
    ("memory", "Peak memory over fleets of three sizes"),
)
MISSING = "-"

# A line of the table: what it tells, and the figures of Jobwarden, of the raw client, and of boto3.
LINES: tuple[tuple[str, str, str, str], ...] = (
    ("start to first poll, ms", "init/cancel-execution", "init/floor", "init/boto3 cancel"),
    ("first cancel, TLS included, ms", "first/cancel-execution", "first/floor", "first/boto3 cancel"),
    ("cancel, warm, p50, ms", "warm p50/cancel-execution", "warm p50/floor", "warm p50/boto3 cancel"),
    ("the same with the reads of the guarded one", "warm p50/cancel-execution", "", "warm p50/boto3 cancel reading"),
    ("cancel, warm, p99, ms", "warm p99/cancel-execution", "warm p99/floor", "warm p99/boto3 cancel"),
    ("delete, warm, p50, ms", "warm p50/delete-execution", "", "warm p50/boto3 delete"),
    ("the same with the reads and the archive", "warm p50/delete-execution", "", "warm p50/boto3 delete reading"),
    ("peak memory of a cancelling function, MB", "peak/cancel-execution", "peak/floor", "peak/boto3 cancel"),
    ("deletions a second", "deletions/delete-expired", "deletions/floor", "deletions/boto3 script, standard"),
    (
        "processor time of a deletion, ms",
        "cpu per deletion/delete-expired",
        "cpu per deletion/floor",
        "cpu per deletion/boto3 script, standard",
    ),
    (
        "calls of AWS IoT for a deletion",
        "calls per deletion/delete-expired",
        "",
        "calls per deletion/boto3 script, standard",
    ),
    (
        "rows judged a second, of 100,000",
        "rows/delete-expired, 100000",
        "",
        "rows/boto3 script, 100000",
    ),
    (
        "deletions of 100 a second that are let through, %",
        "goodput/delete-expired, 100/s",
        "",
        "goodput/boto3 script, standard, 100/s",
    ),
    (
        "calls throttled on the way, %",
        "throttled, goodput/delete-expired, 100/s",
        "",
        "throttled, goodput/boto3 script, standard, 100/s",
    ),
)


def number(value: float) -> str:
    """Three significant digits, in groups of three."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.01 else f"{value:.1g}"


def with_unit(value: float, unit: str) -> str:
    return f"{number(value)}{unit}" if unit in ("x", "%") else f"{number(value)} {unit}"


def rendered(results: Json) -> str:
    """The text between the two markers, and they."""
    figures = {figure["name"]: figure for figure in results["figures"]}

    def median(name: str) -> str:
        return number(figures[name]["median"]) if name in figures else MISSING

    parts = [BEGIN, targets(results["figures"]), beside(median), costs(figures, results["prices"])]
    parts += [f"![{told}](docs/bench/{name}.svg)" for name, told in PLOTS]
    return "\n\n".join([*(part for part in parts if part), conditions(results), END])


def targets(figures: Sequence[Json]) -> str:
    lines = ["| To be reached | Measured | Goal | Floor | Reached |", "|---|---:|---:|---:|---|"]
    for target in judged(figures):
        measured = MISSING if target["value"] is None else with_unit(target["value"], target["unit"])
        reached = f"[{target['reached']}]({target['why']})" if target["reached"] == "explained" else target["reached"]
        cells = (target["name"], measured, target["goal"], target["floor"], reached)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def beside(median: Callable[[str], str]) -> str:
    lines = ["| Medians | Jobwarden | a bare signed client | boto3 |", "|---|---:|---:|---:|"]
    lines += [f"| {told} | {' | '.join(median(name) for name in names)} |" for told, *names in LINES]
    return "\n".join(lines)


def costs(figures: dict[str, Json], prices: Json) -> str:
    """What a million deletions cost, if it was measured."""
    named = ("million deletions, {}/delete-expired", "million deletions as work, {}/delete-expired")
    if any(name.format(architecture) not in figures for name in named for architecture in ("arm64", "x86_64")):
        return ""
    paced, worked = (
        [f"${figures[name.format(architecture)]['median']:.2f}" for architecture in ("arm64", "x86_64")]
        for name in named
    )
    puts = figures["million deletions, puts/delete-expired"]["median"] / 1e3 * prices["s3PerThousandPuts"]
    told = (
        f"A million deletions by a sweep cost {paced[0]} on arm64 and {paced[1]} on x86_64 at the shipped pace of 8 a "
        f"second, when most of what is paid for is waiting for the quota. Without the waiting it is {worked[0]} and "
        f"{worked[1]}, of which ${puts:.2f} are for writing to the bucket. Its lines in the log come on top."
    )
    if script := figures.get("million deletions as work, arm64/boto3 script, standard"):
        told += f" The work of the boto3 script, which writes no archive, would be ${script['median']:.2f} on arm64."
    told += (
        f" Prices are those that AWS published for {prices['region']} as of {prices['asOf']}; "
        f"[docs/costs.md](docs/costs.md) has the rest."
    )
    if by_cli := figures.get("million deletions/AWS CLI"):
        told += f" The AWS CLI in a shell loop would take {number(by_cli['median'])} hours, {by_cli['note']}."
    return told


def conditions(results: Json) -> str:
    machine, versions = results["machine"], results["versions"]
    return (
        f"Measured {results['taken'][:10]} ({results['size']} run) on {machine['processors']} processors "
        f"({machine['processor']}, {machine['memoryGb']} GB), with everything on loopback: AWS's own answers take "
        f"longer. The peers run in the same rounds, in turn: boto3 {versions['boto3']}, awslambdaric "
        f"{versions['awslambdaric']}, Python {versions['python']}, AWS CLI {versions['awscli']}. "
        f"Every figure is in [docs/bench/results.json](docs/bench/results.json); `make bench` measures them anew."
    )


def put_in(readme: str, results: Json) -> str:
    """README.md with what was measured."""
    return placed("README.md", readme, rendered(results))


def placed(name: str, page: str, text: str) -> str:
    """A page with a text that begins and ends with the markers, in place of what is between its own."""
    before, found, rest = page.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise SystemExit(f"{name} has no place for the figures, between {BEGIN} and {END}")
    return before + text + after
