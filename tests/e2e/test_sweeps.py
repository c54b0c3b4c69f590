"""Sweeps over a fleet with ninety days of history, checked against what the fleet's own story says."""

from __future__ import annotations

import collections
import contextlib
import datetime
import json
import os
import pathlib
import signal
import time
import urllib.parse
import urllib.request
import uuid

import jobwarden_client
import pytest
from fleet import identity, observe
from stack import StackError
from world import count, wait_until

ENDED = ("SUCCEEDED", "STOPPED_BY_BREAKER", "FAILED")


class Sweeps:
    """Starting, awaiting and reading sweeps as one principal, with the client of the recipes."""

    def __init__(self, principal) -> None:
        self.wire = principal.wire
        self.client = jobwarden_client.Sweeps(principal.session, principal.api_url)

    def start(self, operation: str, **members) -> str:
        return self.client.start(operation, **members)["sweepId"]

    def get(self, sweep: str) -> dict:
        return self.client.get(sweep)

    def ended(self, sweep: str, seconds: float = 90) -> dict:
        state: dict = {}

        def over() -> bool:
            state.update(self.get(sweep))
            return state["status"] in ENDED

        wait_until(f"the end of sweep {sweep}", over, seconds)
        return state

    def report(self, sweep: str) -> dict:
        return self.client.report(sweep)

    def run(self, operation: str, **members) -> dict:
        sweep = self.start(operation, **members)
        state = self.ended(sweep)
        assert state["status"] == "SUCCEEDED", state
        return self.report(sweep)


@pytest.fixture
def sweeps(operator) -> Sweeps:
    return Sweeps(operator)


@pytest.fixture
def due(fleet) -> set:
    return {e.key for e in fleet.deletable()}


def check_only_these_are_gone(world, fleet, gone: set) -> None:
    found = observe(world.iot)
    wanted = {e.key: e.status for e in fleet.executions if e.key not in gone}
    wrongly_gone = sorted(wanted.keys() - found.keys())
    wrongly_kept = sorted(found.keys() - wanted.keys())
    assert not wrongly_gone, f"{len(wrongly_gone)} deleted that must stay, first {wrongly_gone[:3]}"
    assert not wrongly_kept, f"{len(wrongly_kept)} left that must go, first {wrongly_kept[:3]}"
    assert found == wanted, "a kept execution changed"


def check_archive(world, gone: set, *sweep_ids: str) -> None:
    """Everything deleted is in the archive of the sweeps that deleted it, and nothing in it was kept."""
    records = [r for sweep in sweep_ids for r in world.archived(sweep)]
    archived = count(identity(r) for r in records)
    assert set(archived) >= gone, f"not archived: {sorted(gone - set(archived))[:3]}"
    assert set(archived) <= gone, f"archived, but not deleted: {sorted(set(archived) - gone)[:3]}"


def check_report_of_everything(report: dict, fleet) -> None:
    """The sums of a report account for every row of every job that could hold something due."""
    rows = len(fleet.looked_at())
    assert report["rowsSeen"] == rows
    planned = sum(line["count"] for line in report["plan"])
    kept = sum(line["count"] for line in report["kept"])
    assert planned == report["due"]
    assert planned + kept == rows
    assert report["unreadable"] == {}
    seen = {e.job for e in fleet.looked_at()}
    assert report["jobs"]["tooYoung"] + report["jobs"]["never"] == len(fleet.jobs) - len(seen)
    assert report["jobs"]["scanned"] == len(seen)


def test_a_dry_run_reports_exactly_what_is_due_and_touches_nothing(world, fleet, due, sweeps):
    archives = world.objects("archive/").keys()
    report = sweeps.run("delete-expired", dryRun=True)
    assert report["dryRun"] is True
    assert report["operation"] == "delete-expired"
    check_report_of_everything(report, fleet)
    assert report["due"] == len(due)
    assert report["breaker"]["due"] == len(due)
    assert report["breaker"]["tripped"] is False
    assert report["outcomes"].get("deleted", 0) == 0
    assert report["calls"].get("DeleteJobExecution", 0) == 0
    check_only_these_are_gone(world, fleet, set())
    assert world.objects("archive/").keys() == archives


def test_a_real_sweep_deletes_exactly_what_is_due_and_archives_it_first(world, fleet, due, sweeps):
    planned = sweeps.run("delete-expired", dryRun=True)
    report = sweeps.run("delete-expired", dryRun=False)
    check_only_these_are_gone(world, fleet, due)
    check_archive(world, due, report["sweepId"])
    assert report["dryRun"] is False
    assert report["due"] == planned["due"] == len(due)
    assert report["outcomes"]["deleted"] == len(due)
    assert sum(report["outcomes"].values()) == len(due)
    assert report["archive"]["records"] == len(due)
    check_report_of_everything(report, fleet)

    records = world.archived(report["sweepId"])
    truth = {e.key: e.status for e in fleet.deletable()}
    for record in records:
        row = record["execution"]
        assert row["status"] == truth[identity(record)]
        assert "default" in json.dumps(record), "a record names the rule that judged it"


def test_the_kept_rows_are_kept_for_reasons_that_add_up(world, fleet, due, sweeps):
    report = sweeps.run("delete-expired", dryRun=True)
    by_status = collections.Counter()
    for line in report["kept"]:
        assert line["verdict"], line
        by_status[line["status"]] += line["count"]
    gone = {e.key for e in fleet.deletable()}
    assert dict(by_status) == fleet.by_status(e for e in fleet.looked_at() if e.key not in gone)
    assert sum(by_status.values()) + report["due"] == report["rowsSeen"]


def test_a_second_sweep_finds_nothing_left(world, fleet, due, sweeps):
    sweeps.run("delete-expired", dryRun=False)
    again = sweeps.run("delete-expired", dryRun=False)
    assert again["due"] == 0
    assert again["outcomes"].get("deleted", 0) == 0
    assert world.archived(again["sweepId"]) == []
    check_only_these_are_gone(world, fleet, due)


def test_protected_jobs_are_untouched_though_past_their_retention(world, fleet, sweeps):
    protected = {e.key for e in fleet.past_retention() if fleet.jobs[e.job].protected}
    assert protected, "the story has something to protect"
    report = sweeps.run("delete-expired", dryRun=False)
    found = observe(world.iot)
    assert protected <= found.keys()
    assert not protected & {identity(r) for r in world.archived(report["sweepId"])}


def test_every_terminal_status_is_deleted(world, fleet, due, sweeps):
    """A cleaner that forgets one status leaks it for ever."""
    statuses = {e.status for e in fleet.deletable()}
    assert statuses == {"SUCCEEDED", "FAILED", "TIMED_OUT", "REJECTED", "REMOVED", "CANCELED"}
    sweeps.run("delete-expired", dryRun=False)
    check_only_these_are_gone(world, fleet, due)


def send_slice(world, queue: str, sweep: str, step: int, unique: str) -> None:
    world.sqs.send_message(
        QueueUrl=world.stack.outputs[queue],
        MessageBody=json.dumps({"sweepId": sweep, "step": step}),
        MessageGroupId="delete-expired",
        MessageDeduplicationId=f"{sweep}-{step}-{unique}",
    )


def no_dead_letters(world) -> None:
    for queue in ("DeleteExpiredDeadLettersUrl", "CancelStaleDeadLettersUrl", "StartFailuresQueueUrl"):
        assert world.is_empty(queue), f"{queue} is not empty"


def test_a_slice_delivered_twice_does_nothing_the_second_time(world, fleet, due, sweeps):
    report = sweeps.run("delete-expired", dryRun=False)
    sweep = report["sweepId"]
    state = sweeps.get(sweep)
    archive = world.archived(sweep)
    for step in range(state["step"] + 1):
        send_slice(world, "DeleteExpiredQueueUrl", sweep, step, "again")
    wait_until("the duplicates to be consumed", lambda: world.is_empty("DeleteExpiredQueueUrl"))
    time.sleep(1)
    assert sweeps.report(sweep) == report
    assert sweeps.get(sweep) == state
    assert world.archived(sweep) == archive
    check_only_these_are_gone(world, fleet, due)
    no_dead_letters(world)


def test_a_slice_delivered_twice_at_once_is_done_once(world, fleet, due, sweeps):
    with world.configured("DeleteExpired", JOBWARDEN_CALLS_PER_SECOND="100"):
        sweep = sweeps.start("delete-expired", dryRun=False)
        for unique in ("b", "c"):
            send_slice(world, "DeleteExpiredQueueUrl", sweep, 0, unique)
        state = sweeps.ended(sweep)
        wait_until("the duplicates to be consumed", lambda: world.is_empty("DeleteExpiredQueueUrl"))
    assert state["status"] == "SUCCEEDED"
    check_only_these_are_gone(world, fleet, due)
    check_archive(world, due, sweep)
    assert sweeps.report(sweep)["outcomes"]["deleted"] == len(due)
    no_dead_letters(world)


def test_a_message_of_an_unknown_sweep_does_no_harm(world, fleet, sweeps):
    send_slice(world, "DeleteExpiredQueueUrl", "01J00000000000000000000000", 0, "ghost")
    # Five receptions at once, and it is out of the way of the next sweep.
    wait_until("the message to be a dead letter", lambda: not world.is_empty("DeleteExpiredDeadLettersUrl"))
    assert world.is_empty("DeleteExpiredQueueUrl")
    sweeps.run("delete-expired", dryRun=True)
    check_only_these_are_gone(world, fleet, set())
    world.sqs.purge_queue(QueueUrl=world.stack.outputs["DeleteExpiredDeadLettersUrl"])


def test_overlapping_sweeps_end_right_with_true_counts(world, fleet, due, sweeps):
    with world.configured("DeleteExpired", JOBWARDEN_CALLS_PER_SECOND="100"):
        first = sweeps.start("delete-expired", dryRun=False)
        second = sweeps.start("delete-expired", dryRun=False)
        third = sweeps.start("delete-expired", dryRun=True)
        states = [sweeps.ended(sweep, 120) for sweep in (first, second, third)]
    assert [s["status"] for s in states] == ["SUCCEEDED"] * 3, states
    check_only_these_are_gone(world, fleet, due)
    check_archive(world, due, first, second)
    reports = [sweeps.report(sweep) for sweep in (first, second)]
    assert sum(r["outcomes"].get("deleted", 0) for r in reports) == len(due), [r["outcomes"] for r in reports]
    assert sweeps.report(third)["outcomes"].get("deleted", 0) == 0


def processes_of(world, function: str) -> list[int]:
    """The processes in which the emulator runs a function."""
    name = f"AWS_LAMBDA_FUNCTION_NAME={world.stack.function_name(function)}".encode()
    endpoint = f"AWS_ENDPOINT_URL={world.stack.endpoint}".encode()
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                variables = (entry / "environ").read_bytes().split(b"\0")
                if name in variables and endpoint in variables:
                    found.append(int(entry.name))
    return found


# A short slice keeps a third of its time for saving; this leaves it six seconds for work.
SHORT_SLICE = 9


@pytest.fixture
def quick_redelivery(world):
    """A lost slice comes back as soon as its lease is over, where the template says minutes."""
    url = world.stack.outputs["DeleteExpiredQueueUrl"]
    before = world.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
    world.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(SHORT_SLICE + 1)})
    yield
    world.sqs.set_queue_attributes(QueueUrl=url, Attributes=before)


@pytest.mark.skipif(not pathlib.Path("/proc").is_dir(), reason="finds the function's process in /proc")
def test_a_sweep_killed_in_the_middle_ends_right_with_true_counts(world, fleet, due, sweeps, quick_redelivery):
    left = len(fleet.executions)
    with world.configured("DeleteExpired", timeout=SHORT_SLICE, JOBWARDEN_CALLS_PER_SECOND="40"):
        sweep = sweeps.start("delete-expired", dryRun=False)
        for kill in range(2):
            goal = left - (kill + 1) * len(due) // 4
            wait_until("some deletions", lambda goal=goal: len(observe(world.iot)) <= goal, 60, 0.1)
            victims = processes_of(world, "DeleteExpired")
            assert victims, "the sweep is at work in some process"
            for pid in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            assert len(observe(world.iot)) > left - len(due), "it was killed in the middle"
        state = sweeps.ended(sweep, 180)
    assert state["status"] == "SUCCEEDED", state
    check_only_these_are_gone(world, fleet, due)
    check_archive(world, due, sweep)
    outcomes = sweeps.report(sweep)["outcomes"]
    # What a slice deleted whose state died with it is found gone by the next one, and counted as its deletion.
    assert outcomes["deletedByInterruptedSlice"] > 0, outcomes
    assert outcomes["deleted"] + outcomes["deletedByInterruptedSlice"] == len(due), outcomes
    assert sum(outcomes.values()) == len(due), outcomes
    no_dead_letters(world)


def test_a_sweep_longer_than_a_slice_continues(world, fleet, due, sweeps):
    with world.configured("DeleteExpired", timeout=SHORT_SLICE, JOBWARDEN_CALLS_PER_SECOND="10"):
        sweep = sweeps.start("delete-expired", dryRun=False)
        state = sweeps.ended(sweep, 240)
    assert state["status"] == "SUCCEEDED", state
    assert state["step"] >= 2, state
    check_only_these_are_gone(world, fleet, due)
    check_archive(world, due, sweep)
    assert sweeps.report(sweep)["outcomes"] == {"deleted": len(due)}
    assert not any("Task timed out" in str(line) for line in world.stack.logs("DeleteExpired"))
    no_dead_letters(world)


def test_the_shortest_slice_the_template_allows_gets_somewhere(world, fleet, due, sweeps):
    """A slice that keeps all its time for saving would hand the sweep on for ever."""
    template = (pathlib.Path(__file__).parents[2] / "template.yaml").read_text()
    parameter = template.split("\n  SliceSeconds:\n")[1]
    shortest = min(json.loads(parameter.split("AllowedValues: ")[1].splitlines()[0]), key=int)
    with world.configured("DeleteExpired", timeout=int(shortest)):
        sweep = sweeps.start("delete-expired", dryRun=True)
        state = sweeps.ended(sweep, 30)
    assert state["status"] == "SUCCEEDED"
    assert state["due"] == len(due)


def test_a_throttled_sweep_loses_nothing(world, fleet, due, sweeps, faults):
    rules = [
        {
            "service": "iot",
            "operation": operation,
            "error": {"code": "ThrottlingException", "status": 400},
            "sequence": {"fail": 1, "pass": 12},
        }
        for operation in ("ListJobExecutionsForJob", "DeleteJobExecution", "DescribeJob")
    ]
    with world.configured("DeleteExpired", AWS_ENDPOINT_URL_IOT=faults.url), faults.injected(*rules):
        report = sweeps.run("delete-expired", dryRun=False)
        assert faults.fired()
    check_only_these_are_gone(world, fleet, due)
    check_archive(world, due, report["sweepId"])
    assert report["outcomes"]["deleted"] == len(due)
    assert report["throttled"].get("DeleteJobExecution", 0) > 0


def test_tags_that_cannot_be_read_delete_nothing(world, fleet, sweeps, faults):
    """A failed look-up of tags is not the absence of tags."""
    rule = {
        "service": "iot",
        "operation": "ListTagsForResource",
        "error": {"code": "InternalFailureException", "status": 500},
    }
    with world.configured("DeleteExpired", AWS_ENDPOINT_URL_IOT=faults.url), faults.injected(rule):
        sweep = sweeps.start("delete-expired", dryRun=False)
        with contextlib.suppress(AssertionError):
            sweeps.ended(sweep, 20)
        assert faults.fired(), "the fault was never reached"
        check_only_these_are_gone(world, fleet, set())
    # The sweep may be failed or waiting for its next attempt; it is not allowed to be called a success.
    assert sweeps.get(sweep)["status"] != "SUCCEEDED"
    world.sqs.purge_queue(QueueUrl=world.stack.outputs["DeleteExpiredQueueUrl"])


# How sweeps start


def scheduled(world, operation: str) -> dict:
    """EventBridge Scheduler's event for a target without an input of its own."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    schedule = next(s for s in world.scheduler.list_schedules()["Schedules"] if s["Name"].endswith(f"-{operation}"))
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": "000000000000",
        "time": now,
        "region": world.stack.region,
        "resources": [schedule["Arn"]],
        "detail": "{}",
    }


def known(sweeps: Sweeps, operation: str) -> set[str]:
    found, token = set(), None
    while True:
        query = f"maxResults=100&operation={operation}" + (f"&nextToken={token}" if token else "")
        answer = sweeps.wire.send("GET", "/sweeps", query)
        assert answer.status == 200, answer
        found |= {s["sweepId"] for s in answer.json["sweeps"]}
        token = answer.json.get("nextToken")
        if not token:
            return found


def wait_for_another(sweeps: Sweeps, operation: str, before: set[str], seconds: float = 30) -> str:
    """The id of the one sweep that was not there before."""
    found = wait_until("a new sweep", lambda: known(sweeps, operation) - before, seconds)
    assert len(found) == 1, found
    return found.pop()


@pytest.mark.parametrize("operation", ["delete-expired", "cancel-stale"])
def test_a_schedules_event_starts_the_sweep_its_name_says(operation, world, fleet, due, sweeps):
    before = known(sweeps, operation)
    world.stack.invoke("StartSweep", scheduled(world, operation))
    state = sweeps.ended(wait_for_another(sweeps, operation, before))
    assert (state["operation"], state["status"]) == (operation, "SUCCEEDED")
    assert state["dryRun"] is False, "this stack was deployed with DryRun=false"
    if operation == "delete-expired":
        check_only_these_are_gone(world, fleet, due)


@pytest.mark.parametrize("name", ["do-not-delete-expired", "jobwarden-cancel-stale-2"])
def test_a_schedule_that_is_not_the_stacks_starts_nothing(name, world, sweeps):
    event = scheduled(world, "delete-expired")
    event["resources"] = [event["resources"][0].rsplit("/", 1)[0] + f"/{name}"]
    before = known(sweeps, "delete-expired"), known(sweeps, "cancel-stale")
    with pytest.raises(StackError, match=f"{name}` starts no sweep"):
        world.stack.invoke("StartSweep", event)
    assert (known(sweeps, "delete-expired"), known(sweeps, "cancel-stale")) == before


def test_a_schedules_event_delivered_twice_starts_one_sweep(world, fleet, due, sweeps):
    before = known(sweeps, "delete-expired")
    event = scheduled(world, "delete-expired")
    for _ in range(2):
        world.stack.invoke("StartSweep", event)
    sweep = wait_for_another(sweeps, "delete-expired", before)
    assert sweeps.ended(sweep)["status"] == "SUCCEEDED"
    assert known(sweeps, "delete-expired") == before | {sweep}
    assert sweeps.report(sweep)["outcomes"] == {"deleted": len(due)}


def test_a_schedule_fires(world, fleet, due, sweeps):
    """The deployed schedule itself, made to be due now, runs a whole sweep."""
    name = next(
        s["Name"] for s in world.scheduler.list_schedules()["Schedules"] if s["Name"].endswith("-delete-expired")
    )
    schedule = world.scheduler.get_schedule(Name=name)
    kept = {k: schedule[k] for k in ("Name", "FlexibleTimeWindow", "Target")}
    before = known(sweeps, "delete-expired")
    soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")
    world.scheduler.update_schedule(**kept, ScheduleExpression=f"at({soon})", State="ENABLED")
    try:
        assert sweeps.ended(wait_for_another(sweeps, "delete-expired", before))["status"] == "SUCCEEDED"
    finally:
        world.scheduler.update_schedule(**kept, ScheduleExpression=schedule["ScheduleExpression"], State="DISABLED")
    check_only_these_are_gone(world, fleet, due)


def test_a_stack_in_dry_run_refuses_a_real_sweep_and_its_schedule_deletes_nothing(world, fleet, sweeps):
    with world.configured("StartSweep", "DeleteExpired", JOBWARDEN_DRY_RUN="true"):
        answer = sweeps.wire.send("POST", "/sweeps", body={"operation": "delete-expired", "dryRun": False})
        assert answer.status in (400, 403), answer
        assert "dry" in answer.message.lower()
        report = sweeps.run("delete-expired")
        assert report["dryRun"] is True
        before = known(sweeps, "delete-expired")
        world.stack.invoke("StartSweep", scheduled(world, "delete-expired"))
        assert sweeps.ended(wait_for_another(sweeps, "delete-expired", before))["dryRun"] is True
    check_only_these_are_gone(world, fleet, set())


def test_a_worker_in_dry_run_deletes_nothing_whatever_the_sweep_says(world, fleet, sweeps):
    """Turning dry runs on stops a sweep that was started before."""
    with world.configured("DeleteExpired", JOBWARDEN_DRY_RUN="true"):
        sweep = sweeps.start("delete-expired", dryRun=False)
        sweeps.ended(sweep)
    check_only_these_are_gone(world, fleet, set())


def test_the_limits_of_the_breaker_are_shown(world, fleet, due, sweeps):
    """With what each was compared with; there is a last sweep as soon as one has done something."""

    def shown() -> dict:
        breaker = sweeps.run("delete-expired", dryRun=True)["breaker"]
        assert (breaker["maxActions"], breaker["maxPercent"], breaker["maxGrowth"]) == (10000, 90, 10)
        return {check["limit"]: check for check in breaker["checks"]}

    checks = shown()
    assert checks["maxActions"] == {"limit": "maxActions", "of": None, "most": 10000, "result": "passed"}
    seen = len(fleet.looked_at())
    assert checks["maxPercent"] == {"limit": "maxPercent", "of": seen, "most": seen * 90 // 100, "result": "passed"}
    assert checks["maxGrowth"]["result"] == "noSweepBefore"
    sweeps.run("delete-expired", dryRun=False)
    assert shown()["maxGrowth"] == {"limit": "maxGrowth", "of": len(due), "most": len(due) * 10, "result": "passed"}


# Cancelling what has waited too long


def test_cancel_stale_cancels_exactly_what_has_waited_too_long(world, fleet, sweeps):
    stale = {e.key for e in fleet.cancelable()}
    assert stale
    planned = sweeps.run("cancel-stale", dryRun=True)
    assert planned["due"] == len(stale)
    check_only_these_are_gone(world, fleet, set())
    report = sweeps.run("cancel-stale", dryRun=False)
    found = observe(world.iot)
    wanted = {e.key: "CANCELED" if e.key in stale else e.status for e in fleet.executions}
    assert {k: v for k, v in found.items() if wanted[k] != v} == {}
    assert found.keys() == wanted.keys()
    assert report["outcomes"]["canceled"] == len(stale), report["outcomes"]
    again = sweeps.run("cancel-stale", dryRun=False)
    assert again["due"] == 0


def test_what_hangs_is_told_with_what_waits_behind_it(world, sweeps):
    """A device that is stuck, with three jobs behind it; and a job that waits alone."""
    world.end_sweeps()
    world.wipe()
    world.set_time_offset("-70d")
    try:
        stuck = world.execution("IN_PROGRESS")
        behind = [world.execution(thing=stuck.thing) for _ in range(2)]
        alone = world.execution()
    finally:
        world.set_time_offset("+0d")
    behind.append(world.execution(thing=stuck.thing))
    truth = world.describe(stuck)
    for dry_run in (True, False):
        report = sweeps.run("cancel-stale", dryRun=dry_run)
        (blocker,) = report["blockers"]
        for told, true in (("since", "startedAt"), ("lastUpdatedAt", "lastUpdatedAt")):
            moment = datetime.datetime.fromisoformat(blocker.pop(told))
            assert abs(moment - truth[true]) < datetime.timedelta(seconds=1), told
        named = {"thingName": stuck.thing, "jobId": stuck.job, "executionNumber": 1, "status": "IN_PROGRESS"}
        assert blocker == {**named, "behind": len(behind), "behindIsAtLeast": False}
        assert report["calls"]["ListJobExecutionsForThing"] == 4
        assert "thingsNotLookedAt" not in report
    statuses = [world.status(m) for m in (stuck, *behind, alone)]
    assert statuses == ["IN_PROGRESS", "CANCELED", "CANCELED", "QUEUED", "CANCELED"]


# Reading sweeps


def test_sweeps_are_listed_newest_first_in_pages(world, sweeps):
    made = []
    for _ in range(3):
        # Ids order sweeps by the second.
        time.sleep(1)
        made.append(sweeps.start("delete-expired", dryRun=True))
        sweeps.ended(made[-1])
    seen, token = [], ""
    while len(seen) < 3:
        query = "maxResults=2" + (f"&nextToken={token}" if token else "") + "&operation=delete-expired"
        answer = sweeps.wire.send("GET", "/sweeps", query)
        assert answer.status == 200, answer
        assert len(answer.json["sweeps"]) <= 2
        seen += [s["sweepId"] for s in answer.json["sweeps"]]
        token = answer.json.get("nextToken")
        if not token:
            break
    assert seen[:3] == made[::-1]


def test_the_report_in_the_bucket_is_the_report_of_the_api(world, sweeps):
    report = sweeps.run("delete-expired", dryRun=True)
    stored = json.loads(world.objects(f"sweeps/{report['sweepId']}/report.json").popitem()[1])
    assert stored == report


def test_a_browser_is_sent_to_the_page_of_the_report_by_a_link_of_its_own(world, fleet, operator, nobody, sweeps):
    report = sweeps.run("delete-expired", dryRun=True)
    path = f"/sweeps/{report['sweepId']}/report"
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    answer = operator.wire.send("GET", path, headers=browser)
    assert answer.status == 303, answer
    assert answer.headers["cache-control"] == "no-store"
    link = answer.headers["location"]
    # Whoever has the link has the page: no credentials are sent.
    with urllib.request.urlopen(link, timeout=60) as response:
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        page = response.read().decode()
    assert f"<h1>Sweep {report['sweepId']}</h1>" in page
    assert f"<dt>due</dt><dd>{report['due']:,}</dd>" in page
    signed = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(link).query))
    assert signed["X-Amz-Expires"] == "300"
    refused = nobody.wire.send("GET", path, headers=browser)
    assert (refused.status, refused.error) == (403, "AccessDeniedException")
    assert "location" not in refused.headers
    assert operator.wire.send("GET", path, headers={"Accept": "application/json"}).json == report
