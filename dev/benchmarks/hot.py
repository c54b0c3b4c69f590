"""The hot parts, by divan, and the memory of whole sweeps without a network."""

from __future__ import annotations

import os
import re
import subprocess

from environments import ROOT

from .places import TARGET, Size

Json = dict[str, object]

ENVIRONMENT = {**os.environ, "CARGO_TARGET_DIR": str(TARGET)}
BENCHES = ("retention", "access", "memory")

NANOSECONDS = {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}
# A line of the table that divan prints: a name behind a branch, and columns between bars.
ROW = re.compile(r"^(?P<branch>[│├╰─ ]+)(?P<name>\S+)\s+(?P<fastest>[\d.]+ \S+)\s*│(?P<rest>.*)$")
HEADING = re.compile(r"^[│├╰─ ]+(?P<name>\w+)\s*│")


def nanoseconds(told: str) -> float:
    number, unit = told.split()
    return float(number) * NANOSECONDS[unit]


def times(bench: str, table: str) -> list[Json]:
    """The figures of a table of times."""
    figures: list[Json] = []
    over = ""
    for line in table.splitlines():
        if row := ROW.match(line):
            slowest, median, _, samples, *_ = (column.strip() for column in row["rest"].split("│"))
            # What is indented is one of the arguments of the benchmark over it.
            of_argument = len(row["branch"]) > 3
            figures.append(
                {
                    "name": f"{bench}/{over}/{row['name']}" if of_argument else f"{bench}/{row['name']}",
                    "unit": "ns",
                    "n": int(samples),
                    "median": nanoseconds(median),
                    "min": nanoseconds(row["fastest"]),
                    "max": nanoseconds(slowest),
                }
            )
        elif heading := HEADING.match(line):
            over = heading["name"]
    return figures


def memory(table: str) -> list[Json]:
    """The figures of the table of peaks."""
    figures: list[Json] = []
    terms = ""
    for line in table.splitlines():
        if line.startswith("executions"):
            terms = line.partition("MiB")[2].strip() or "shipped rules"
        elif row := re.match(r"^ *(\d+) +([\d.]+)$", line):
            peak = float(row[2])
            name = f"memory/peak of a sweep, {terms}/{row[1]}"
            figures.append({"name": name, "unit": "MiB", "n": 1, "median": peak, "min": peak, "max": peak})
    return figures


def run(bench: str, size: Size) -> str:
    command = ["cargo", "bench", "--quiet", "--locked", "--manifest-path", "benches/Cargo.toml", "--bench", bench]
    environment = dict(ENVIRONMENT)
    if size.hot_seconds is not None:
        environment["DIVAN_MAX_TIME"] = str(size.hot_seconds)
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    print(done.stdout, flush=True)
    return done.stdout


def measure(size: Size) -> list[Json]:
    figures = []
    for bench in BENCHES:
        # Its million rows take minutes; sweeps are measured as deployed, too.
        if bench == "memory" and size.hot_seconds is not None:
            continue
        table = run(bench, size)
        found = memory(table) if bench == "memory" else times(bench, table)
        if not found:
            raise SystemExit(f"the benchmark {bench} printed no figure that can be read")
        figures += found
    return figures
