"""Where the instructions of a warm guarded cancel go, counted by callgrind: no clock is read.

    python3 dev/bench.py profile

builds cancel-execution in the deployed profile, with its symbols, lets it answer against the load endpoint, and writes
docs/bench/profile.md. Instructions are those of user space: what the kernel takes for sending and receiving is not
among them.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import fast
from environments import ROOT

import costs

from . import events, programs
from .endpoint import Endpoint, Fleet, serving
from .places import COMMITTED, FUNCTIONS, TARGET
from .process import Program, running

NAME = "cancel-execution"
OUTPUT = TARGET / "profile"
PAGE = COMMITTED.parent / "profile.md"
# What both counts have in common, the start among it, is taken away.
FEW, MANY = 50, 250

# Functions with all that they call. What a future does is in its polls, so that waiting is in none of them.
PARTS = {
    # The outermost of its futures is inlined into the span in which it runs; nothing else of that type is in a call.
    "the SDK's three calls of AWS IoT": r"^<tracing::instrument::Instrumented<T> as .*Future>::poll",
    "of that, their signatures": r"SigV4Signer as .*::sign_http_request",
    "connections, by HTTP/1.1 and TLS, the Runtime API's among them": r"^tokio::runtime::task::raw::poll",
    "the decision": r"^shared::access::policy::AccessPolicy::decide::",
    "lines of the log": r"^tracing_core::event::Event::dispatch",
}
# Symbols of generic code begin with the crate that it is written in, whoever it is made for.
CRATE = re.compile(r"^(?:<|&|mut |dyn |impl )*([a-z_][a-z0-9_]*)")
LINE = re.compile(r"^\s*([\d,]+) \([\d. ]+%\)\s+(?:\S*?:)?(.+?)(?: \[[^\]]*\])?$")


def build() -> Path:
    """The function with its symbols; the one without is built again when it is asked for."""
    line = fast.cargo("rustc", "--package", NAME, "--bin", NAME)
    environment = {**os.environ, "CARGO_TARGET_DIR": str(FUNCTIONS)}
    if subprocess.run([*line, "--", "-C", "strip=none"], cwd=ROOT, env=environment, check=False).returncode != 0:
        raise SystemExit(f"{NAME} cannot be built")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    built = Path(programs.binary(NAME))
    binary = Path(shutil.copy(built, OUTPUT / NAME))
    # It is not what is deployed, and must not be measured as that.
    built.unlink()
    return binary


def counted(endpoint: Endpoint, program: Program, calls: int) -> Path:
    """Answers so many calls under callgrind. What it wrote."""
    out = OUTPUT / f"{program.name}.{calls}.callgrind"
    out.unlink(missing_ok=True)
    under = ("/usr/bin/env", *costs.valgrind(), "--tool=callgrind", f"--callgrind-out-file={out}", *program.command)
    with running(endpoint, Program(program.name, under, program.environment)) as function:
        for _ in range(calls):
            answer, _ = function.invoke(events.cancel())
            if answer["statusCode"] != 200:
                raise SystemExit(f"{program.name} did not do what was asked: {answer}")
        os.kill(function.pid, signal.SIGTERM)
        # Whoever has started it waits for it, too.
        os.waitid(os.P_PID, function.pid, os.WEXITED | os.WNOWAIT)
    return out


def annotated(out: Path, inclusive: bool) -> Counter[str]:
    """The instructions of each function."""
    annotate = next(Path(word) for word in costs.valgrind() if word.startswith("/")).with_name("callgrind_annotate")
    done = subprocess.run(
        ["perl", str(annotate), "--threshold=100", f"--inclusive={'yes' if inclusive else 'no'}", str(out)],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found: Counter[str] = Counter()
    for line in done.stdout.splitlines():
        if (told := LINE.match(line)) and told[2] != "PROGRAM TOTALS":
            found[told[2]] += int(told[1].replace(",", ""))
    if not found:
        raise SystemExit(f"callgrind counted nothing: {out}")
    return found


def profile(endpoint: Endpoint, program: Program) -> tuple[dict[str, float], dict[str, float]]:
    """The instructions that each function takes for one call: by itself, and with all that it calls."""
    few, many = (counted(endpoint, program, calls) for calls in (FEW, MANY))

    def of_a_call(inclusive: bool) -> dict[str, float]:
        before = annotated(few, inclusive)
        return {name: (taken - before[name]) / (MANY - FEW) for name, taken in annotated(many, inclusive).items()}

    return of_a_call(False), of_a_call(True)


def by_crate(alone: dict[str, float]) -> list[tuple[str, float]]:
    """The most expensive crates first."""
    crates: Counter[str] = Counter()
    for name, taken in alone.items():
        found = CRATE.match(name) if "::" in name else None
        crates[found[1] if found else "C: the allocator, copying, comparing"] += round(taken)
    return crates.most_common()


def page(ours: tuple[dict[str, float], dict[str, float]], floor: dict[str, float]) -> str:
    alone, inclusive = ours
    whole = sum(alone.values())
    rows = []
    for part, pattern in PARTS.items():
        taken = max((taken for name, taken in inclusive.items() if re.search(pattern, name)), default=0)
        if not taken:
            raise SystemExit(f"no function is named like {pattern}")
        rows.append((part, taken))
    rest = whole - sum(taken for part, taken in rows if not part.startswith("of that"))
    told = [
        "# Where the instructions of a warm guarded cancel go",
        "",
        "Counted by callgrind, in user space, of the function as deployed, on the load endpoint of the benchmark, by",
        "`python3 dev/bench.py profile`.",
        "",
        "| | Instructions of a call | Share |",
        "|---|---:|---:|",
        f"| a guarded cancel: three calls of AWS IoT, a decision, its log lines | {whole:,.0f} | 100% |",
        *(f"| {part} | {taken:,.0f} | {taken / whole:.0%} |" for part, taken in rows),
        f"| all else: the event, the answer, the Lambda runtime | {rest:,.0f} | {rest / whole:.0%} |",
        f"| the bare signed client, for its one call | {sum(floor.values()):,.0f} | |",
        "",
        "| By the crate that the code is written in | Instructions of a call | Share |",
        "|---|---:|---:|",
        *(f"| {crate} | {taken:,} | {taken / whole:.1%} |" for crate, taken in by_crate(alone) if taken > whole / 100),
    ]
    return "\n".join(told) + "\n"


def run() -> None:
    """Writes the profile anew."""
    binary = build()
    with serving() as endpoint:
        endpoint.reset(Fleet())
        ours = programs.ours(NAME, endpoint)
        found = profile(endpoint, replace(ours, command=(str(binary),)))
        told = page(found, profile(endpoint, programs.floor())[0])
    PAGE.write_text(told)
    print(told)
