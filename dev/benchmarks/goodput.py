"""What of a quota turns into deletions, where it is known and where it is half of what was configured."""

from __future__ import annotations

from collections.abc import Sequence

from .endpoint import Endpoint, Fleet
from .figures import Figures
from .places import Size
from .sweeps import IOT, MANY, RETRIES, Swept, script, sweep

# The limit at which the peers are measured, too.
BESIDE_PEERS = 100
# The page and the jobs whose calls are limited, too, must not be what takes the time.
OF_A_JOB = 10_000
# The endpoint's buckets hold a second's worth and are full at the start: who sends twice as much as they let through
# has emptied them after that time.
BURST_SECONDS = 1


def goodput(pace: Sequence[tuple[int, int]], limit: float) -> float:
    """Percent of a limit that was answered, over the whole seconds after the burst and before the last."""
    seconds = dict(pace)
    whole = range(min(seconds, default=0) + 1 + BURST_SECONDS, max(seconds, default=0))
    if not whole:
        raise ValueError("goodput needs more seconds than the burst and its two ends")
    return 100 * sum(seconds.get(second, 0) for second in whole) / (limit * len(whole))


def throttled(swept: Swept) -> float:
    """Percent of all calls that were throttled."""
    refused = sum(swept.throttled.values())
    return 100 * refused / (refused + sum(swept.answered.values()))


def fleet(limit: int, seconds: int) -> Fleet:
    rows = round(limit * seconds / MANY)
    jobs = max(rows // OF_A_JOB, 1)
    limits = tuple((operation, float(limit)) for operation in IOT)
    return Fleet(jobs=jobs, of_a_job=rows // jobs, due_share=MANY, latency_ms="5..15", limits=limits)


def measure(endpoint: Endpoint, size: Size, figures: Figures) -> None:
    for _ in range(size.goodputs):
        for window in size.goodput:
            limit = window.limit
            of_limit = fleet(limit, window.seconds)
            known = sweep(endpoint, of_limit, dry_run=False, rate=limit)
            _add(figures, "goodput", f"delete-expired, {limit}/s", known, limit)
            if window.half:
                half = sweep(endpoint, fleet(limit, window.half), dry_run=False, rate=2 * limit)
                _add(figures, "goodput at half", f"delete-expired, {limit}/s", half, limit)
            if limit == BESIDE_PEERS:
                for retries in RETRIES:
                    peer = script(endpoint, of_limit, retries)
                    _add(figures, "goodput", f"boto3 script, {retries}, {limit}/s", peer, limit)
    for kind in ("goodput", "goodput at half", "throttled, goodput", "throttled, goodput at half"):
        # The script knows no limit, so it is the peer of both.
        of_peers = kind.removesuffix(" at half")
        peers = (f"{of_peers}/boto3 script, {retries}, {BESIDE_PEERS}/s" for retries in RETRIES)
        figures.compare(f"{kind}/delete-expired, {BESIDE_PEERS}/s", *peers)


def _add(figures: Figures, kind: str, name: str, swept: Swept, limit: int) -> None:
    figures.add(f"{kind}/{name}", "%", goodput(swept.pace, limit), "of the limit, in the whole seconds after a burst")
    figures.add(f"throttled, {kind}/{name}", "%", throttled(swept), "of all calls of AWS IoT")
