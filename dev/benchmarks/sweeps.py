"""Whole sweeps by the deployed functions, and what fleets have in their place."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import program

from . import events, programs
from .endpoint import Endpoint, Fleet
from .figures import Figures
from .places import PEERS, TARGET, Size
from .process import running

Json = dict[str, Any]

# The highest rate that the functions take.
UNTHROTTLED = 100_000
IN_FLIGHT = 64
RETRIES = ("standard", "adaptive")
# The share that is due where deletions are counted.
MANY = 0.5
OF_A_JOB = 10_000
DELETE = "DeleteJobExecution"
# The operations of AWS IoT that are called.
IOT = ("ListJobs", "ListJobExecutionsForJob", "DescribeJob", "ListTagsForResource", DELETE)


@dataclass(frozen=True)
class Swept:
    """What a sweep, or what is run in its place, has done."""

    seconds: float
    cpu: float
    peak: float
    seen: int
    deleted: int
    # Calls that were answered, and that were throttled, by operation, as the endpoint counted them.
    answered: dict[str, int]
    throttled: dict[str, int]
    # Answered deletions by the second in which they were.
    pace: list[tuple[int, int]]
    slices: int = 1
    # To the bucket.
    writes: int = 0


def counted(endpoint: Endpoint) -> dict[str, Any]:
    calls = endpoint.calls()
    return {
        "answered": {operation: told["answered"] for operation, told in calls.items() if told["answered"]},
        "throttled": {operation: told["throttled"] for operation, told in calls.items() if told["throttled"]},
        "pace": [(second, count) for second, count in calls.get(DELETE, {}).get("seconds", [])],
    }


def sweep(endpoint: Endpoint, fleet: Fleet, dry_run: bool, rate: float = UNTHROTTLED) -> Swept:
    """A whole sweep of `delete-expired`, from the start of its process to the end of its last slice.

    What the breaker stops is released, and the time of both sweeps counts.
    """
    endpoint.reset(fleet)
    report, seconds, cpu, peak, slices = _sweep(endpoint, dry_run, rate, None)
    if report["status"] == "STOPPED_BY_BREAKER":
        released, more, more_cpu, other_peak, more_slices = _sweep(endpoint, dry_run, rate, report["planDigest"])
        report, seconds, cpu = released, seconds + more, cpu + more_cpu
        peak, slices = max(peak, other_peak), slices + more_slices
    if report["status"] != "SUCCEEDED" or report["rowsSeen"] != fleet.rows:
        raise SystemExit(f"a sweep did not do its work: {json.dumps(report)[:2000]}")
    deleted = report["outcomes"].get("deleted", 0)
    if deleted != (0 if dry_run else report["due"]):
        raise SystemExit(f"a sweep deleted {deleted} of {report['due']}: {report['outcomes']}")
    writes = endpoint.writes(programs.BUCKET)
    return Swept(seconds, cpu, peak, report["rowsSeen"], deleted, slices=slices, writes=writes, **counted(endpoint))


def _sweep(
    endpoint: Endpoint, dry_run: bool, rate: float, release: str | None
) -> tuple[Json, float, float, float, int]:
    with running(endpoint, programs.ours("start-sweep", endpoint)) as start:
        sweep_id = events.sweep_id(start.invoke(events.start("delete-expired", dry_run, release))[0])
    slices = 0
    with running(endpoint, programs.ours("delete-expired", endpoint, rate)) as worker:
        seconds = worker.init
        while messages := endpoint.messages():
            for message in messages:
                answer, taken = worker.invoke(message)
                if answer["batchItemFailures"]:
                    raise SystemExit(f"a slice failed; see {worker.log}")
                seconds += taken
                slices += 1
        peak = worker.peak()
    report = json.loads(endpoint.object(programs.BUCKET, f"sweeps/{sweep_id}/report.json"))
    return report, seconds, worker.cpu, peak, slices


def told_by(endpoint: Endpoint, name: str, command: Sequence[str | Path]) -> Json:
    """Runs a peer that tells in JSON what it has done."""
    environment = {"PATH": os.environ["PATH"], **endpoint.environment()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{name} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def script(endpoint: Endpoint, fleet: Fleet, retries: str, dry_run: bool = False) -> Swept:
    """The clean-up script with boto3. The start of Python is left out, so that it weighs nothing in short runs."""
    endpoint.reset(fleet)
    command = [program("peers", "python"), PEERS / "cleanup.py", "--threads", str(IN_FLIGHT), "--retries", retries]
    told = told_by(endpoint, "the clean-up script", [*command, *(["--dry-run"] if dry_run else [])])
    if told["seen"] != fleet.rows or (not dry_run and told.get("deleted", 0) + told.get("gone", 0) != told["due"]):
        raise SystemExit(f"the clean-up script did not do its work: {told}")
    peak = told["peakKilobytes"] * 1024 / 1e6
    return Swept(told["seconds"], told["cpuSeconds"], peak, told["seen"], told.get("deleted", 0), **counted(endpoint))


def raw(endpoint: Endpoint, fleet: Fleet, calls: int) -> Swept:
    """The floor: nothing but signed deletions of what is known to be due."""
    endpoint.reset(fleet)
    command = [TARGET / "release" / "floor", "--endpoint", endpoint.iot, "--ca", endpoint.authority]
    told = told_by(endpoint, "the floor", [*command, "--in-flight", str(IN_FLIGHT), "--calls", str(calls)])
    if told["calls"] != calls or told["refused"]:
        raise SystemExit(f"the floor did not do its work: {told}")
    return Swept(told["seconds"], told["cpuSeconds"], 0, 0, calls, **counted(endpoint))


def by_cli(endpoint: Endpoint, calls: int) -> Swept:
    """The AWS CLI in a shell loop over a fleet of which it deletes everything that is due. Listing does not count."""
    endpoint.reset(Fleet(of_a_job=round(calls / MANY), due_share=MANY))
    environment = {"PATH": f"{program('peers', 'aws').parent}:{os.environ['PATH']}", **endpoint.environment()}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [PEERS / "cleanup.sh", str(calls)], env=environment, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    counts = counted(endpoint)
    if done.returncode != 0 or counts["answered"].get(DELETE) != calls:
        raise SystemExit(f"the AWS CLI did not do its work: {counts['answered']} {done.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Swept(float(done.stdout.split()[-1]), cpu, 0, 0, calls, **counts)


def measure(endpoint: Endpoint, size: Size, figures: Figures) -> None:
    for _ in range(size.sweeps):
        deletions(endpoint, size, figures)
    for peer in ("floor", *(f"boto3 script, {retries}" for retries in RETRIES), "AWS CLI"):
        figures.compare("deletions/delete-expired", f"deletions/{peer}")
        figures.compare("cpu per deletion/delete-expired", f"cpu per deletion/{peer}")
        figures.compare("calls per deletion/delete-expired", f"calls per deletion/{peer}")
    for rows in size.fleets:
        for _ in range(size.sweeps if rows < 1_000_000 else min(size.sweeps, 3)):
            growing(endpoint, rows, size.due, figures)
        for kind in ("rows", "memory"):
            figures.compare(f"{kind}/delete-expired, {rows}", f"{kind}/boto3 script, {rows}")
    growth(size, figures)


def deletions(endpoint: Endpoint, size: Size, figures: Figures) -> None:
    """Everything that is due, as fast as it goes: by us, by the floor, by the script and by the CLI."""
    fleet = Fleet(of_a_job=round(size.deletions / MANY), due_share=MANY)
    swept = {
        "delete-expired": sweep(endpoint, fleet, dry_run=False),
        "floor": raw(endpoint, fleet, size.deletions),
        **{f"boto3 script, {retries}": script(endpoint, fleet, retries) for retries in RETRIES},
        "AWS CLI": by_cli(endpoint, size.by_cli),
    }
    for name, done in swept.items():
        note = f"{done.deleted} deletions" + (", one after the other, without listing" if name == "AWS CLI" else "")
        figures.add(f"deletions/{name}", "1/s", done.deleted / done.seconds, note)
        figures.add(f"cpu per deletion/{name}", "ms", done.cpu * 1e3 / done.deleted)
        figures.add(f"calls per deletion/{name}", "calls", sum(done.answered.values()) / done.deleted)
    ours = swept["delete-expired"]
    figures.add("writes per deletion/delete-expired", "calls", ours.writes / ours.deleted, "to the bucket")
    hours = 1e6 / figures.values("deletions/AWS CLI")[-1] / 3600
    figures.add("million deletions/AWS CLI", "hours", hours, f"extrapolated from {size.by_cli} deletions in each round")


def growing(endpoint: Endpoint, rows: int, due: int, figures: Figures) -> None:
    """A dry run and a real sweep over a fleet. As many are due in each, so that the fleet is all that grows."""
    fleet = Fleet(jobs=max(rows // OF_A_JOB, 1), of_a_job=min(rows, OF_A_JOB), due_share=due / rows)
    dry = sweep(endpoint, fleet, dry_run=True)
    theirs = script(endpoint, fleet, "standard", dry_run=True)
    real = sweep(endpoint, fleet, dry_run=False)
    deleted = f"the larger of a dry run and of one that deletes {real.deleted}"
    figures.add(f"rows/delete-expired, {rows}", "1/s", dry.seen / dry.seconds, "judged in a dry run")
    figures.add(f"rows/boto3 script, {rows}", "1/s", theirs.seen / theirs.seconds, "compared by age, without deleting")
    figures.add(f"time/delete-expired, {rows}", "s", dry.seconds, "a dry run")
    figures.add(f"calls/delete-expired, {rows}", "calls", sum(dry.answered.values()), "a dry run")
    figures.add(f"cpu per row/delete-expired, {rows}", "µs", dry.cpu * 1e6 / dry.seen, "a dry run")
    figures.add(f"dry memory/delete-expired, {rows}", "MB", dry.peak, "a dry run")
    figures.add(f"memory/delete-expired, {rows}", "MB", max(dry.peak, real.peak), deleted)
    figures.add(f"memory/boto3 script, {rows}", "MB", theirs.peak, "without deleting")


def growth(size: Size, figures: Figures) -> None:
    """How time, calls and memory grow with the fleet."""
    for kind, of in (("time", "delete-expired"), ("calls", "delete-expired"), ("memory", "delete-expired")):
        figures.grow(f"growth of {kind}/{of}", f"{kind}/{of}, {{}}", size.fleets)
    figures.grow("growth of memory/boto3 script", "memory/boto3 script, {}", size.fleets)
    peaks = [statistics.median(figures.values(f"memory/delete-expired, {rows}")) for rows in size.fleets]
    told = "the peak over the largest fleet, by that over the smallest"
    figures.add("flatness of memory/delete-expired", "x", peaks[-1] / peaks[0], told)
