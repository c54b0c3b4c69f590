"""Runs the benchmarks, and writes what they measured to target/bench/results.json.

    python3 dev/bench.py

Times and memory are those of this machine, beside whatever else it does: what lasts are ratios within one run.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess

from environments import ROOT

RESULTS = ROOT / "target" / "bench" / "results.json"
ENVIRONMENT = {**os.environ, "CARGO_TARGET_DIR": str(ROOT / "target" / "bench")}

NANOSECONDS = {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}
# A line of the table that divan prints: a name behind a branch, and columns between bars.
ROW = re.compile(r"^(?P<branch>[│├╰─ ]+)(?P<name>\S+)\s+(?P<fastest>[\d.]+ \S+)\s*│(?P<rest>.*)$")
HEADING = re.compile(r"^[│├╰─ ]+(?P<name>\w+)\s*│")


def nanoseconds(told: str) -> float:
    number, unit = told.split()
    return float(number) * NANOSECONDS[unit]


def times(bench: str, table: str) -> list[dict]:
    """The figures of a table of times."""
    figures, over = [], ""
    for line in table.splitlines():
        if row := ROW.match(line):
            slowest, median, _, samples, *_ = (column.strip() for column in row["rest"].split("│"))
            # What is indented is one of the arguments of the benchmark over it.
            of_argument = len(row["branch"]) > 3
            figures.append(
                {
                    "name": f"{bench}/{over}/{row['name']}" if of_argument else f"{bench}/{row['name']}",
                    "unit": "ns",
                    "median": nanoseconds(median),
                    "min": nanoseconds(row["fastest"]),
                    "max": nanoseconds(slowest),
                    "n": int(samples),
                }
            )
        elif heading := HEADING.match(line):
            over = heading["name"]
    return figures


def memory(table: str) -> list[dict]:
    """The figures of the table of peaks."""
    figures, terms = [], ""
    for line in table.splitlines():
        if line.startswith("executions"):
            terms = line.partition("MiB")[2].strip() or "shipped rules"
        elif row := re.match(r"^ *(\d+) +([\d.]+)$", line):
            peak = float(row[2])
            name = f"memory/peak of a sweep, {terms}/{row[1]}"
            figures.append({"name": name, "unit": "MiB", "median": peak, "min": peak, "max": peak, "n": 1})
    return figures


def run(bench: str) -> str:
    command = ["cargo", "bench", "--quiet", "--locked", "--manifest-path", "benches/Cargo.toml", "--bench", bench]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, check=True, stdout=subprocess.PIPE, text=True)
    print(done.stdout, flush=True)
    return done.stdout


def first_line(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()[0]


def main() -> None:
    figures = [*times("retention", run("retention")), *times("access", run("access")), *memory(run("memory"))]
    for bench in ("retention", "access", "memory"):
        if not any(figure["name"].startswith(bench) for figure in figures):
            raise SystemExit(f"the benchmark {bench} printed no figure that can be read")
    compiler = first_line("rustc", "--version")
    machine = {"system": platform.platform(), "processors": os.cpu_count(), "compiler": compiler}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine, "figures": figures}, indent=2, ensure_ascii=False) + "\n")
    for figure in figures:
        print(f"{figure['median']:>14,.1f} {figure['unit']:<4} {figure['name']}")
    print(f"written to {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
