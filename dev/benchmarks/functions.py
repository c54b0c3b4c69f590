"""Functions, one by one: how they start, how they answer, and how large they are."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zips import zipped

from . import events, programs
from .endpoint import Endpoint, Fleet
from .figures import Figures
from .places import Size
from .process import Program, running
from .summaries import percentile

Json = dict[str, Any]

# Slices of dry runs take longer than a call of the API.
SLICES = 10
CANCELS = ("cancel-execution", programs.FLOOR, "SDK alone", "boto3 cancel", "boto3 cancel reading")
DELETES = ("delete-execution", "boto3 delete", "boto3 delete reading")


@dataclass
class Contender:
    """A function, the events that it gets, and what its answers must be."""

    program: Program
    event: Callable[[], Json]
    right: Callable[[Any], bool]
    calls: int


def answered(answer: Any) -> bool:
    """Whether a call of the API succeeded."""
    return answer["statusCode"] in (200, 202)


def slice_done(answer: Any) -> bool:
    return answer["batchItemFailures"] == []


def anything(_answer: Any) -> bool:
    return True


def call(endpoint: Endpoint, contender: Contender, calls: int) -> list[float]:
    """The seconds of so many calls of a function in a process of its own, for checks."""
    with running(endpoint, contender.program) as function:
        return [one(function.invoke, contender) for _ in range(calls)]


def one(invoke: Callable[[Json], tuple[Any, float]], contender: Contender) -> float:
    answer, seconds = invoke(contender.event())
    if not contender.right(answer):
        raise SystemExit(f"{contender.program.name} did not do what was asked: {str(answer)[:1000]}")
    return seconds


def measure(endpoint: Endpoint, size: Size, figures: Figures) -> None:
    check_peers(endpoint)
    rounds(endpoint, size, figures, api(endpoint, size))
    rounds(endpoint, size, figures, workers(endpoint, size))
    for name in programs.OURS:
        binary = Path(programs.binary(name)).read_bytes()
        figures.add(f"binary/{name}", "MB", len(binary) / 1e6)
        figures.add(f"zip/{name}", "MB", zipped(binary) / 1e6)
        figures.compare(f"init/{name}", f"init/{programs.HELLO}", f"init/{programs.FLOOR}", "init/boto3 cancel")
    for ours, *peers in (CANCELS, DELETES):
        for kind in ("first", "warm p50", "warm p99", "peak"):
            figures.compare(f"{kind}/{ours}", *(f"{kind}/{peer}" for peer in peers))
    figures.compare("warm p50/SDK alone", "warm p50/boto3 cancel reading")


def rounds(endpoint: Endpoint, size: Size, figures: Figures, contenders: list[Contender]) -> None:
    """Each in turn, round after round, so that whatever else the machine does is shared by all."""
    for _ in range(size.rounds):
        for contender in contenders:
            name = contender.program.name
            with running(endpoint, contender.program) as function:
                figures.add(f"init/{name}", "ms", function.init * 1e3)
                figures.add(f"first/{name}", "ms", one(function.invoke, contender) * 1e3)
                warm = [one(function.invoke, contender) * 1e3 for _ in range(contender.calls)]
                note = f"in each round of {contender.calls} calls"
                figures.add(f"warm p50/{name}", "ms", percentile(warm, 50), note)
                figures.add(f"warm p99/{name}", "ms", percentile(warm, 99), note)
                figures.add(f"peak/{name}", "MB", function.peak())


def api(endpoint: Endpoint, size: Size) -> list[Contender]:
    """The functions of the API and the small ones, with their peers."""
    needed = size.rounds * (size.calls + 1) * len(DELETES)
    endpoint.reset(Fleet(of_a_job=needed * 2))
    due = iter(endpoint.due(needed))
    sweep_id = start_sweeps(endpoint, "delete-expired", 1)[0]

    def ours(name: str, event: Callable[[], Json], right: Callable[[Any], bool] = answered) -> Contender:
        return Contender(programs.ours(name, endpoint), event, right, size.calls)

    def peer(program: Program, event: Callable[[], Json], right: Callable[[Any], bool] = answered) -> Contender:
        return Contender(program, event, right, size.calls)

    def delete() -> Json:
        return events.delete(next(due))

    return [
        ours("cancel-execution", events.cancel),
        peer(programs.hello(), events.cancel, anything),
        peer(programs.floor(), events.cancel),
        peer(programs.python("cancel"), events.cancel),
        peer(programs.python("cancel_reading"), events.cancel),
        peer(programs.sdk(), events.cancel),
        ours("delete-execution", delete),
        peer(programs.python("delete"), delete),
        peer(programs.python("delete_reading"), delete),
        ours("start-sweep", lambda: events.start("delete-expired")),
        ours("read-sweeps", lambda: events.read_sweep(sweep_id)),
        ours("read-decision", events.decide),
        ours("validate-access-policy", lambda: events.sample("validate-access-policy.valid"), anything),
        ours("validate-retention-rules", lambda: events.sample("validate-retention-rules.valid"), anything),
    ]


def workers(endpoint: Endpoint, size: Size) -> list[Contender]:
    """The functions of the queues: each call is a whole dry run over a page."""
    endpoint.reset(Fleet(of_a_job=250))
    contenders = []
    for operation in programs.WORKERS:
        start_sweeps(endpoint, operation, size.rounds * (SLICES + 1))
        slices: Iterator[Json] = itertools.chain(endpoint.messages())
        program = programs.ours(operation, endpoint)
        contenders.append(Contender(program, lambda slices=slices: next(slices), slice_done, SLICES))
    return contenders


def start_sweeps(endpoint: Endpoint, operation: str, count: int) -> list[str]:
    """Starts dry runs, and gives their ids."""
    with running(endpoint, programs.ours("start-sweep", endpoint)) as function:
        return [events.sweep_id(function.invoke(events.start(operation))[0]) for _ in range(count)]


def check_peers(endpoint: Endpoint) -> None:
    """The reading Python functions must make the calls of ours: as many of each operation."""
    for ours, handler in (("cancel-execution", "cancel_reading"), ("delete-execution", "delete_reading")):
        made = []
        for program in (programs.ours(ours, endpoint), programs.python(handler)):
            endpoint.reset(Fleet(of_a_job=100))
            due = iter(endpoint.due(3))
            event = events.cancel if ours == "cancel-execution" else lambda due=due: events.delete(next(due))
            call(endpoint, Contender(program, event, answered, 3), 3)
            calls = {operation: told["answered"] for operation, told in endpoint.calls().items()}
            made.append(calls | {"writes": endpoint.writes(programs.BUCKET)})
        if made[0] != made[1]:
            raise SystemExit(f"{ours} made the calls {made[0]}, and its peer {made[1]}")
