"""Makes a fleet with about ninety days of history, through the same calls devices and operators make.

The emulator's clock is moved to each day of the story and the devices act on that day: they ask for
their next job, report progress, finish, fail, fall silent. What they did is written down here as it
is decided, so `Fleet` is a ground truth that owes nothing to the product's own code: tests and the
demo compare sweeps with it.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Iterator

import botocore.config

# The retention rules the product ships, in days; written a second time on purpose, as a check on them.
RETENTION_DAYS = {
    "SUCCEEDED": 30,
    "FAILED": 90,
    "TIMED_OUT": 90,
    "REJECTED": 90,
    "REMOVED": 30,
    "CANCELED": 30,
}
CANCEL_QUEUED_AFTER_DAYS = 60
KEEP_FOREVER_PREFIX = "keep-"
HOLD_TAG = "jobwarden:hold"

ACTIVE = ("QUEUED", "IN_PROGRESS")
TERMINAL = tuple(RETENTION_DAYS)
WORKERS = 6


@dataclasses.dataclass(frozen=True, order=True)
class Execution:
    """One execution as the story left it; days count back from now."""

    job: str
    thing: str
    number: int
    status: str
    queued_days: float
    updated_days: float

    @property
    def key(self) -> tuple[str, str, int]:
        return (self.job, self.thing, self.number)


@dataclasses.dataclass(frozen=True)
class Job:
    """One job of the story, with what makes it special."""

    id: str
    day: float
    about: str
    hold: bool = False
    namespace: str | None = None
    retries: int = 0
    continuous: bool = False
    timeout_minutes: int | None = None

    @property
    def protected(self) -> str | None:
        """Why no policy lets anybody touch this job's executions, if that is so."""
        if self.hold:
            return f"tagged {HOLD_TAG}"
        return f"namespace {self.namespace}" if self.namespace else None

    @property
    def kept_forever(self) -> bool:
        return self.id.startswith(KEEP_FOREVER_PREFIX)


@dataclasses.dataclass
class Fleet:
    """What the story left behind, and what the shipped rules should make of it."""

    things: list[str]
    jobs: dict[str, Job]
    executions: list[Execution]

    def past_retention(self) -> list[Execution]:
        """Terminal executions older than their rule allows, whether or not policy protects them."""
        return [
            e
            for e in self.executions
            if e.status in RETENTION_DAYS
            and not self.jobs[e.job].kept_forever
            and e.updated_days >= RETENTION_DAYS[e.status]
        ]

    def deletable(self) -> list[Execution]:
        """What a real `delete-expired` sweep must delete: no more and no fewer."""
        return [e for e in self.past_retention() if not self.jobs[e.job].protected]

    def looked_at(self) -> list[Execution]:
        """What a `delete-expired` sweep has to look at: a job younger than its rule's shortest time, or one whose
        rule keeps everything, holds nothing due."""
        shortest = min(RETENTION_DAYS.values())
        jobs = {name for name, job in self.jobs.items() if job.day >= shortest and not job.kept_forever}
        return [e for e in self.executions if e.job in jobs]

    def comes_due(self, days: int) -> list[Execution]:
        """Terminal executions of what a sweep looks at that are not past their retention yet, and will be."""
        return [
            e
            for e in self.looked_at()
            if e.status in RETENTION_DAYS and 0 < RETENTION_DAYS[e.status] - e.updated_days <= days
        ]

    def waiting_too_long(self) -> list[Execution]:
        """QUEUED executions past the default rule's `cancel_after`, protected ones included."""
        return [
            e
            for e in self.executions
            if e.status == "QUEUED" and not self.jobs[e.job].kept_forever and e.queued_days >= CANCEL_QUEUED_AFTER_DAYS
        ]

    def cancelable(self) -> list[Execution]:
        """What a real `cancel-stale` sweep must cancel."""
        return [e for e in self.waiting_too_long() if not self.jobs[e.job].protected]

    def kept(self) -> list[Execution]:
        gone = {e.key for e in self.deletable()}
        return [e for e in self.executions if e.key not in gone]

    def by_status(self, executions: Iterable[Execution] | None = None) -> dict[str, int]:
        rows = self.executions if executions is None else executions
        return dict(collections.Counter(e.status for e in rows))


# One thing's part in one job: how it ended, and on which day (for QUEUED the day is not used).
Outcome = tuple[str, float]


@dataclasses.dataclass
class Plan:
    """A job and what becomes of each thing it is sent to."""

    job: Job
    outcomes: dict[str, Outcome]
    group: str | None = None
    # Things that join the group again after finishing, on this day, and how their second one ended.
    rejoined: dict[str, tuple[float, Outcome]] = dataclasses.field(default_factory=dict)


def story(pumps: int = 96) -> tuple[list[str], list[Plan]]:
    """The plot: who is sent what, and how it ends. Pure, so that its sums can be tested alone."""
    names = [f"pump-{n:03}" for n in range(1, pumps + 1)]
    gateways = [f"site:{n}:gateway" for n in range(1, 13)]
    offline, crashed, online = names[:10], names[10:14], names[14:]

    def spread(things: list[str], **groups: tuple[int, Outcome]) -> dict[str, Outcome]:
        """Gives the first things the named outcomes and leaves the rest to the caller."""
        out: dict[str, Outcome] = {}
        rest = iter(things)
        for count, outcome in groups.values():
            out.update((next(rest), outcome) for _ in range(count))
        return out

    def rollout(things: list[str], rest: Outcome, **groups: tuple[int, Outcome]) -> dict[str, Outcome]:
        named = spread(things, **groups)
        return {t: named.get(t, rest) for t in things}

    queued = ("QUEUED", 0.0)
    plans = [
        Plan(
            Job("firmware-1-4-0", 97, "first rollout; ten pumps were never switched on", timeout_minutes=120),
            {
                **dict.fromkeys(offline, queued),
                **rollout(
                    online,
                    ("SUCCEEDED", 96.5),
                    failed=(6, ("FAILED", 96.0)),
                    rejected=(4, ("REJECTED", 96.5)),
                    timed_out=(3, ("TIMED_OUT", 95.5)),
                    canceled=(3, ("CANCELED", 95.5)),
                ),
            },
        ),
        Plan(
            Job("legal-hold-2207", 92, "evidence of a recall; held", hold=True),
            {
                **dict.fromkeys(offline[:2], queued),
                **rollout(online[:24], ("SUCCEEDED", 91.5), failed=(4, ("FAILED", 91.5))),
            },
        ),
        Plan(
            Job("gateway-config", 88, "continuous: every gateway that joins its group gets it", continuous=True),
            {
                **dict.fromkeys(gateways[:8], ("SUCCEEDED", 87.0)),
                gateways[8]: ("FAILED", 87.0),
                gateways[9]: ("REMOVED", 60.5),
                gateways[10]: queued,
                gateways[11]: ("IN_PROGRESS", 87.0),
            },
            group="gateways",
            rejoined={gateways[0]: (20.0, ("SUCCEEDED", 19.5)), gateways[1]: (20.0, ("FAILED", 19.5))},
        ),
        Plan(
            Job("keep-audit-trail", 85, "kept for ever by its rule"),
            rollout(online[:16], ("SUCCEEDED", 84.0), failed=(2, ("FAILED", 84.0))),
        ),
        Plan(
            Job("rotate-certificates", 70, "retries failures by itself", retries=2),
            {
                **dict.fromkeys(offline, queued),
                **dict.fromkeys(crashed, ("IN_PROGRESS", 70.0)),
                **rollout(online, ("SUCCEEDED", 69.5), failed=(5, ("FAILED", 69.5)), canceled=(4, ("CANCELED", 69.0))),
            },
        ),
        Plan(
            Job(
                "greengrass-core-2-9",
                55,
                "belongs to another service, by its namespace",
                namespace="aws-gg-deployments",
            ),
            dict.fromkeys(online[:6], ("SUCCEEDED", 54.5)),
        ),
        Plan(
            Job("firmware-1-5-0", 40, "second rollout; still waiting for what is off"),
            {
                **dict.fromkeys(offline[:6], queued),
                **rollout(online, ("SUCCEEDED", 39.5), failed=(8, ("FAILED", 39.0)), rejected=(3, ("REJECTED", 39.5))),
            },
        ),
        Plan(
            Job("collect-logs", 20, "recent, all done"),
            rollout(online[:40], ("SUCCEEDED", 19.5), failed=(3, ("FAILED", 19.5)), canceled=(2, ("CANCELED", 19.0))),
        ),
        Plan(
            Job("firmware-1-6-0", 2, "rolling out right now"),
            rollout(online[:60], ("SUCCEEDED", 1.5), running=(12, ("IN_PROGRESS", 1.5)), queued=(18, queued)),
        ),
    ]
    return [*names, *gateways], plans


def expected(things: list[str], plans: list[Plan]) -> Fleet:
    """The ground truth the story leads to."""
    rows: list[Execution] = []
    for plan in plans:
        for thing, (status, day) in plan.outcomes.items():
            first_day = plan.job.day
            rows.append(Execution(plan.job.id, thing, 1, status, first_day, first_day if status == "QUEUED" else day))
        for thing, (joined, (status, day)) in plan.rejoined.items():
            rows.append(Execution(plan.job.id, thing, 2, status, joined, joined if status == "QUEUED" else day))
    return Fleet(things, {p.job.id: p.job for p in plans}, sorted(rows))


class Storyteller:
    """Carries the story out against an endpoint whose clock it may move."""

    def __init__(self, stack, progress: Callable[[str], None] = lambda line: None) -> None:
        config = botocore.config.Config(
            max_pool_connections=WORKERS, retries={"max_attempts": 3}, parameter_validation=False
        )
        self.iot = stack.client("iot", config=config)
        self.devices = stack.client("iot-jobs-data", config=config)
        self.set_time_offset = stack.set_time_offset
        self.progress = progress

    def tell(self, things: list[str], plans: list[Plan]) -> Fleet:
        truth = expected(things, plans)
        days: dict[float, list[Callable[[], None]]] = collections.defaultdict(list)
        for when, step in self._steps(things, plans):
            days[when].append(step)
        try:
            for when in sorted(days, reverse=True):
                self.set_time_offset(_offset(when))
                for step in days[when]:
                    step()
        finally:
            self.set_time_offset("+0d")
        return truth

    def _steps(self, things: list[str], plans: list[Plan]) -> Iterator[tuple[float, Callable[[], None]]]:
        yield plans[0].job.day + 1, lambda: self._register(things, plans)
        for plan in plans:
            yield plan.job.day, lambda plan=plan: self._create(plan)
            yield from self._outcomes(plan, plan.outcomes, plan.job.day)
            for thing, (joined, outcome) in plan.rejoined.items():
                yield joined, lambda plan=plan, thing=thing: self._rejoin(plan, thing)
                yield from self._outcomes(plan, {thing: outcome}, joined)

    def _outcomes(
        self, plan: Plan, outcomes: dict[str, Outcome], queued: float
    ) -> Iterator[tuple[float, Callable[[], None]]]:
        job = plan.job.id
        by_end: dict[Outcome, list[str]] = collections.defaultdict(list)
        for thing, outcome in outcomes.items():
            by_end[outcome].append(thing)
        for (status, day), group in by_end.items():
            if status == "QUEUED":
                continue
            if status == "TIMED_OUT":
                # The device starts and falls silent; the service notices when the execution is next read.
                yield queued, lambda group=group: self._each(group, lambda t: self._start(t, job))
                yield day, lambda: self._read(job)
            elif status == "REMOVED":
                yield day, lambda group=group: self._leave(plan, group)
            elif status == "CANCELED":
                yield (
                    day,
                    lambda group=group: self._each(
                        group, lambda t: self.iot.cancel_job_execution(jobId=job, thingName=t)
                    ),
                )
            elif status == "IN_PROGRESS":
                yield day, lambda group=group: self._each(group, lambda t: self._start(t, job))
            elif status == "REJECTED":
                yield (
                    day,
                    lambda group=group: self._each(group, lambda t: self._report(t, job, "REJECTED", "low battery")),
                )
            else:
                yield day, lambda group=group, status=status: self._each(group, lambda t: self._run(t, job, status))

    def _register(self, things: list[str], plans: list[Plan]) -> None:
        self.progress(f"registering {len(things)} things")
        self._each(things, lambda t: self.iot.create_thing(thingName=t))
        for plan in plans:
            if plan.group:
                self.iot.create_thing_group(thingGroupName=plan.group)
                self._each(
                    list(plan.outcomes),
                    lambda t, group=plan.group: self.iot.add_thing_to_thing_group(thingGroupName=group, thingName=t),
                )

    def _create(self, plan: Plan) -> None:
        job = plan.job
        self.progress(f"day -{job.day:<3.0f} {job.id}: {job.about}")
        kind, names = ("thinggroup", [plan.group]) if plan.group else ("thing", list(plan.outcomes))
        arn = self.iot.describe_thing(thingName=next(iter(plan.outcomes)))["thingArn"].split(":thing/")[0]
        request = {
            "jobId": job.id,
            "targets": [f"{arn}:{kind}/{name}" for name in names],
            "document": json.dumps({"job": job.id}),
            "targetSelection": "CONTINUOUS" if job.continuous else "SNAPSHOT",
        }
        if job.hold:
            request["tags"] = [{"Key": HOLD_TAG, "Value": "case 2207"}]
        if job.namespace:
            request["namespaceId"] = job.namespace
        if job.retries:
            request["jobExecutionsRetryConfig"] = {
                "criteriaList": [{"failureType": "FAILED", "numberOfRetries": job.retries}]
            }
        if job.timeout_minutes:
            request["timeoutConfig"] = {"inProgressTimeoutInMinutes": job.timeout_minutes}
        self.iot.create_job(**request)

    def _start(self, thing: str, job: str) -> None:
        """The device asks for its next job; one whose queue starts with another takes this one by name."""
        peek = self.devices.start_next_pending_job_execution(thingName=thing).get("execution", {})
        if peek.get("jobId") != job:
            raise RuntimeError(f"{thing} was handed {peek.get('jobId')} where the story says {job}")

    def _run(self, thing: str, job: str, status: str) -> None:
        self._start(thing, job)
        self._report(thing, job, status, "flash checksum mismatch" if status == "FAILED" else None)

    def _report(self, thing: str, job: str, status: str, reason: str | None) -> None:
        details = {"statusDetails": {"reason": reason}} if reason else {}
        self.devices.update_job_execution(thingName=thing, jobId=job, status=status, **details)

    def _read(self, job: str) -> None:
        self.iot.list_job_executions_for_job(jobId=job, maxResults=1)

    def _leave(self, plan: Plan, things: list[str]) -> None:
        for thing in things:
            self.iot.remove_thing_from_thing_group(thingGroupName=plan.group, thingName=thing)

    def _rejoin(self, plan: Plan, thing: str) -> None:
        self.iot.remove_thing_from_thing_group(thingGroupName=plan.group, thingName=thing)
        self.iot.add_thing_to_thing_group(thingGroupName=plan.group, thingName=thing)

    def _each(self, things: list[str], act: Callable[[str], object]) -> None:
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            for done in [pool.submit(act, thing) for thing in things]:
                done.result()


def _offset(days: float) -> str:
    return f"-{days * 24:.0f}h"


def observe(iot) -> dict[tuple[str, str, int], str]:
    """Every execution there is, (job, thing, number) to status, by the service's own listing."""
    found: dict[tuple[str, str, int], str] = {}
    jobs = [row["jobId"] for page in iot.get_paginator("list_jobs").paginate() for row in page["jobs"]]
    for job in jobs:
        pages = iot.get_paginator("list_job_executions_for_job").paginate(jobId=job, PaginationConfig={"PageSize": 250})
        for page in pages:
            for row in page["executionSummaries"]:
                thing = row["thingArn"].split(":thing/", 1)[1]
                summary = row["jobExecutionSummary"]
                found[job, thing, summary["executionNumber"]] = summary["status"]
    return found


def identity(record: dict) -> tuple[str, str, int]:
    """Whose record in the archive it is."""
    return record["job"]["jobId"], record["execution"]["thingName"], record["execution"]["executionNumber"]


def make(stack, progress: Callable[[str], None] = lambda line: None) -> Fleet:
    """Makes the fleet on a running `Stack` and checks that the service agrees to the last execution."""
    teller = Storyteller(stack, progress)
    things, plans = story()
    started = time.monotonic()
    fleet = teller.tell(things, plans)
    found = observe(teller.iot)
    wanted = {e.key: e.status for e in fleet.executions}
    if found != wanted:
        odd = sorted(k for k in found.keys() | wanted.keys() if found.get(k) != wanted.get(k))
        raise RuntimeError(
            f"{len(odd)} executions differ from the story, first "
            + ", ".join(f"{k}: found {found.get(k)}, story {wanted.get(k)}" for k in odd[:5])
        )
    progress(f"{len(found)} executions of {len(plans)} jobs in {time.monotonic() - started:.1f} s")
    return fleet
