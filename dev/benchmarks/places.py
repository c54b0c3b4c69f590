"""Where things lie, and the sizes of a run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from environments import ROOT

TARGET = ROOT / "target" / "bench"
RESULTS = TARGET / "results.json"
LOGS = TARGET / "logs"
FUNCTIONS = TARGET / "functions"
PEERS = ROOT / "benches" / "peers"
COMMITTED = ROOT / "docs" / "bench" / "results.json"
README = ROOT / "README.md"
COSTS_PAGE = ROOT / "docs" / "costs.md"


@dataclass(frozen=True)
class Goodput:
    """A rate of calls a second that the endpoint lets through, and for how many seconds' worth there is to delete."""

    limit: int
    seconds: int
    # The same where twice the rate is configured. Finding the limit takes some throttled calls, which weigh much in a
    # short run; none if it is left out.
    half: int


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    name: str
    # Rounds of the functions, and calls of each warm function in a round.
    rounds: int
    calls: int
    # Rounds of whole sweeps.
    sweeps: int
    # Executions in the fleets that show how a sweep grows, and how many of them are due in each.
    fleets: tuple[int, ...]
    due: int
    # Executions that are deleted as fast as it goes, and by the AWS CLI.
    deletions: int
    by_cli: int
    goodput: tuple[Goodput, ...]
    goodputs: int
    # For how long divan measures each of the hot parts, in seconds; as many samples as it wants if none.
    hot_seconds: float | None


FULL = Size(
    name="full",
    rounds=20,
    calls=200,
    sweeps=5,
    fleets=(10_000, 100_000, 1_000_000),
    due=5_000,
    deletions=10_000,
    by_cli=10,
    goodput=(Goodput(10, 60, half=120), Goodput(100, 60, half=60), Goodput(500, 30, half=60)),
    goodputs=3,
    hot_seconds=None,
)
QUICK = Size(
    name="quick",
    rounds=5,
    calls=50,
    sweeps=2,
    fleets=(10_000, 100_000),
    due=1_000,
    deletions=2_000,
    by_cli=3,
    goodput=(Goodput(10, 10, half=0), Goodput(100, 8, half=20), Goodput(500, 6, half=10)),
    goodputs=1,
    hot_seconds=0.2,
)
TINY = Size(
    name="tiny",
    rounds=2,
    calls=5,
    sweeps=1,
    fleets=(2_000, 10_000),
    due=200,
    deletions=400,
    by_cli=1,
    goodput=(Goodput(100, 6, half=6),),
    goodputs=1,
    hot_seconds=0.01,
)


def size() -> Size:
    """What the environment asks for: `QUICK=1` is about three minutes, `QUICK=tiny` shows that everything works."""
    asked = os.environ.get("QUICK", "")
    sizes = {"": FULL, "0": FULL, "1": QUICK, "tiny": TINY}
    if asked not in sizes:
        raise SystemExit(f"QUICK={asked} is none of {', '.join(name or 'empty' for name in sizes)}")
    return sizes[asked]


def told(path: Path) -> str:
    return str(path.relative_to(ROOT))
