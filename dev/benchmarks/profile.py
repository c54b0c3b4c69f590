"""Where the instructions of a warm guarded cancel and of a deletion by a sweep go, counted by callgrind: no clock is
read.

    python3 dev/bench.py profile

builds both functions in the deployed profile, with their symbols, lets them work against the load endpoint, and writes
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
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import fast
from environments import ROOT

import costs

from . import events, programs
from .endpoint import Endpoint, Fleet, serving
from .places import COMMITTED, FUNCTIONS, TARGET
from .process import Program, Running, running
from .sweeps import DELETE, IN_FLIGHT, MANY, UNTHROTTLED

OUTPUT = TARGET / "profile"
PAGE = COMMITTED.parent / "profile.md"
# Symbols of generic code begin with the crate that it is written in, whoever it is made for.
CRATE = re.compile(r"^(?:<|&|mut |dyn |impl )*([a-z_][a-z0-9_]*)")
LINE = re.compile(r"^\s*([\d,]+) \([\d. ]+%\)\s+(?:\S*?:)?(.+?)(?: \[[^\]]*\])?$")

# Functions with all that they call, none of them by another of the same part. What a future does is in its polls, so
# that waiting is in none of them.
PARTS: dict[str, tuple[str, ...]] = {
    "of that, signatures": (r"SigV4Signer as .*::sign_http_request",),
    "connections, by HTTP/1.1 and TLS, the Runtime API's among them": (r"^tokio::runtime::task::raw::poll",),
    "decisions": tuple(rf"^shared::access::policy::AccessPolicy::{part}$" for part in ("question", "ask")),
    "lines of the log": (r"^tracing_core::event::Event::dispatch",),
}

# What the page is looked up for where a target is called explained.
WHY = (
    "Why it is not five times as fast as boto3 with the same reads: three exchanges go one after the other, for each",
    "depends on what the one before has told, and by the SDK they are about five times as fast as by boto3 where",
    "nothing else is done. Nothing would be left for the decision, its line in the log and the event. `make bench`",
    "lets a function make those calls in the same rounds (`SDK alone`): compare its `warm p50` with boto3's.",
    "",
)

Counts = dict[str, float]


@dataclass(frozen=True)
class Work:
    """Something that a function does a number of times, and that the bare signed client does in its way."""

    function: str
    title: str
    # What is done each time.
    unit: str
    whole: str
    # Two numbers of times. What both have in common, the start among it, is taken away.
    few: int
    many: int
    parts: dict[str, tuple[str, ...]]
    ours: Callable[[Endpoint, Program, int], None]
    floor: Callable[[Endpoint, Path, int], None]
    # The SDK's calls, and nothing else.
    sdk: Callable[[Endpoint, Path, int], None] | None = None


# ---- What is done -------------------------------------------------------------------------------------------


def cancels(endpoint: Endpoint, program: Program, calls: int) -> None:
    endpoint.reset(Fleet())
    with running(endpoint, program) as function:
        for _ in range(calls):
            answer, _ = function.invoke(events.cancel())
            if answer["statusCode"] != 200:
                raise SystemExit(f"{program.name} did not do what was asked: {answer}")
        end(function)


def bare_cancels(endpoint: Endpoint, out: Path, calls: int) -> None:
    floor = programs.floor()
    cancels(endpoint, replace(floor, command=under(out, *floor.command)), calls)


def sdk_cancels(endpoint: Endpoint, out: Path, calls: int) -> None:
    alone = programs.sdk()
    cancels(endpoint, replace(alone, command=under(out, *alone.command)), calls)


def deletions(endpoint: Endpoint, program: Program, due: int) -> None:
    """A sweep over a fleet of which the half is due."""
    endpoint.reset(Fleet(of_a_job=round(due / MANY), due_share=MANY))
    with running(endpoint, programs.ours("start-sweep", endpoint)) as start:
        events.sweep_id(start.invoke(events.start("delete-expired", dry_run=False))[0])
    with running(endpoint, program) as worker:
        while messages := endpoint.messages():
            for message in messages:
                if worker.invoke(message)[0]["batchItemFailures"]:
                    raise SystemExit(f"a slice failed; see {worker.log}")
        end(worker)
    deleted = endpoint.calls()[DELETE]["answered"]
    if deleted != due:
        raise SystemExit(f"{deleted} of {due} were deleted")


def bare_deletions(endpoint: Endpoint, out: Path, due: int) -> None:
    endpoint.reset(Fleet(of_a_job=round(due / MANY), due_share=MANY))
    floor = (str(TARGET / "release" / programs.FLOOR), "--endpoint", endpoint.iot, "--ca", endpoint.authority)
    command = under(out, *floor, "--in-flight", str(IN_FLIGHT), "--calls", str(due))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def end(function: Running) -> None:
    """Has callgrind write what it has counted, before the function is killed."""
    os.kill(function.pid, signal.SIGTERM)
    # Whoever has started it waits for it, too.
    os.waitid(os.P_PID, function.pid, os.WEXITED | os.WNOWAIT)


WORKS = (
    Work(
        function="cancel-execution",
        title="A warm guarded cancel",
        unit="a call",
        whole="all: three calls of AWS IoT, a decision, the event and the answer",
        few=50,
        many=250,
        # The outermost of the SDK's futures is inlined into the span in which it runs, the only one of a call.
        parts={"the SDK's calls": (r"^<tracing::instrument::Instrumented<T> as .*Future>::poll",), **PARTS},
        ours=cancels,
        floor=bare_cancels,
        sdk=sdk_cancels,
    ),
    Work(
        function="delete-expired",
        title="A deletion by a sweep",
        unit="a deletion",
        whole="all: a call of AWS IoT, and a share of two pages, listed, judged, decided on and archived",
        few=500,
        many=2_500,
        parts={"the SDK's calls": (r"orchestrator::invoke_with_stop_point",), **PARTS},
        ours=deletions,
        floor=bare_deletions,
    ),
)


# ---- How it is counted --------------------------------------------------------------------------------------


def build(function: str) -> Path:
    """The function with its symbols; the one without is built again when it is asked for."""
    line = fast.cargo("rustc", "--package", function, "--bin", function)
    environment = {**os.environ, "CARGO_TARGET_DIR": str(FUNCTIONS)}
    if subprocess.run([*line, "--", "-C", "strip=none"], cwd=ROOT, env=environment, check=False).returncode != 0:
        raise SystemExit(f"{function} cannot be built")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    built = Path(programs.binary(function))
    binary = Path(shutil.copy(built, OUTPUT / function))
    # It is not what is deployed, and must not be measured as that.
    built.unlink()
    return binary


def under(out: Path, *command: str) -> tuple[str, ...]:
    return ("/usr/bin/env", *costs.valgrind(), "--tool=callgrind", f"--callgrind-out-file={out}", *command)


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


def once(work: Work, name: str, run: Callable[[Path, int], None]) -> tuple[Counts, Counts]:
    """The instructions that each function takes for one time: by itself, and with all that it calls."""
    outs = []
    for times in (work.few, work.many):
        out = OUTPUT / f"{name}.{times}.callgrind"
        out.unlink(missing_ok=True)
        run(out, times)
        outs.append(out)

    def counts(inclusive: bool) -> Counts:
        before, after = (annotated(out, inclusive) for out in outs)
        return {name: (taken - before[name]) / (work.many - work.few) for name, taken in after.items()}

    return counts(False), counts(True)


# ---- How it is shown ----------------------------------------------------------------------------------------


def by_crate(alone: Counts) -> list[tuple[str, int]]:
    """The most expensive crates first."""
    crates: Counter[str] = Counter()
    for name, taken in alone.items():
        found = CRATE.match(name) if "::" in name else None
        crates[found[1] if found else "C: the allocator, copying, comparing"] += round(taken)
    return crates.most_common()


def of_part(work: Work, inclusive: Counts, pattern: str) -> float:
    """The instructions of the outermost function that is named so."""
    found = [taken for name, taken in inclusive.items() if re.search(pattern, name)]
    if not found:
        raise SystemExit(f"no function of {work.function} is named like {pattern}")
    return max(found)


def chapter(work: Work, alone: Counts, inclusive: Counts, floor: Counts, sdk: Counts | None) -> list[str]:
    whole = sum(alone.values())
    rows = []
    for part, patterns in work.parts.items():
        taken = sum(of_part(work, inclusive, pattern) for pattern in patterns)
        # What is done once for many of them is nothing of each.
        if taken > whole / 1000:
            rows.append((part, taken))
    rest = whole - sum(taken for part, taken in rows if not part.startswith("of that"))
    return [
        f"## {work.title}",
        "",
        f"| | Instructions of {work.unit} | Share |",
        "|---|---:|---:|",
        f"| {work.whole} | {whole:,.0f} | 100% |",
        *(f"| {part} | {taken:,.0f} | {taken / whole:.0%} |" for part, taken in rows),
        f"| the rest | {rest:,.0f} | {rest / whole:.0%} |",
        *([f"| a function that makes the SDK's calls, and nothing else | {sum(sdk.values()):,.0f} | |"] if sdk else []),
        f"| the bare signed client, which makes the one call | {sum(floor.values()):,.0f} | |",
        "",
        *(WHY if sdk else ()),
        f"| By the crate that the code is written in | Instructions of {work.unit} | Share |",
        "|---|---:|---:|",
        *(f"| {crate} | {taken:,} | {taken / whole:.1%} |" for crate, taken in by_crate(alone) if taken > whole / 100),
        "",
    ]


def run() -> None:
    """Writes the profile anew."""
    binaries = [str(build(work.function)) for work in WORKS]
    told = [
        "# Where the instructions go",
        "",
        "Counted by callgrind, in user space, of functions as deployed, on the load endpoint of the benchmark, by",
        "`python3 dev/bench.py profile`.",
        "",
    ]
    with serving() as endpoint:
        for work, binary in zip(WORKS, binaries, strict=True):
            rate = UNTHROTTLED if work.function in programs.WORKERS else None
            ours = programs.ours(work.function, endpoint, rate)

            def profiled(out: Path, times: int, work: Work = work, ours: Program = ours, binary: str = binary) -> None:
                work.ours(endpoint, replace(ours, command=under(out, binary)), times)

            def bare(out: Path, times: int, work: Work = work) -> None:
                work.floor(endpoint, out, times)

            alone, inclusive = once(work, work.function, profiled)
            floor, _ = once(work, f"{work.function}.{programs.FLOOR}", bare)
            sdk = None
            if work.sdk is not None:
                sdk, _ = once(work, f"{work.function}.{programs.SDK}", partial(work.sdk, endpoint))
            told += chapter(work, alone, inclusive, floor, sdk)
    PAGE.write_text("\n".join(told).rstrip("\n") + "\n")
    print(PAGE.read_text())
