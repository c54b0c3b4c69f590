"""Exact expiry: an execution that ends is looked at again when it is due, through AWS IoT's events, EventBridge
Scheduler and the lane of the deleting sweeps."""

from __future__ import annotations

import datetime
import json

import pytest
from stack import StackError
from world import wait_until

DAY = datetime.timedelta(days=1)
# Scheduler is precise to a minute, and a schedule is for a minute from now at least.
PUNCTUAL_SECONDS = 150


def enable_events(world, enabled: bool) -> None:
    world.iot.update_event_configurations(eventConfigurations={"JOB_EXECUTION": {"Enabled": enabled}})


@pytest.fixture(scope="module", autouse=True)
def events(world):
    """The account with job execution events, as README.md asks for, for the length of this module."""
    world.end_sweeps()
    enable_events(world, True)
    yield
    enable_events(world, False)


@pytest.fixture(autouse=True)
def clean(world):
    """No schedules left for the next test, and AWS IoT in the present."""
    yield
    world.set_time_offset("+0d")
    for schedule in schedules(world).values():
        world.scheduler.delete_schedule(GroupName=schedule["GroupName"], Name=schedule["Name"])


def schedules(world) -> dict[tuple[str, str], dict]:
    """What is scheduled, by job and thing."""
    group = world.stack.outputs["ExpiryScheduleGroupName"]
    found = {}
    for row in world.scheduler.list_schedules(GroupName=group)["Schedules"]:
        schedule = world.scheduler.get_schedule(GroupName=group, Name=row["Name"])
        message = json.loads(schedule["Target"]["Input"])
        found[message["jobId"], message["thingName"]] = schedule
    return found


def scheduled(world, m) -> dict:
    wait_until(f"a schedule for {m}", lambda: (m.job, m.thing) in schedules(world), 30)
    return schedules(world)[m.job, m.thing]


def made(world, offset: str, states: list[str], **job) -> list:
    world.set_time_offset(offset)
    try:
        executions = [world._queued(status, None, dict(job)) for status in states]
        for m, status in zip(executions, states, strict=True):
            world.become(m, status)
    finally:
        world.set_time_offset("+0d")
    return executions


def time_of(schedule: dict) -> datetime.datetime:
    expression = schedule["ScheduleExpression"]
    assert expression.startswith("at(") and expression.endswith(")"), expression
    return datetime.datetime.fromisoformat(expression[3:-1]).replace(tzinfo=datetime.timezone.utc)


def test_what_ends_is_deleted_when_its_retention_is_over_and_its_schedule_is_gone(world):
    (plain,) = made(world, "-30d", ["SUCCEEDED"])
    (held,) = made(world, "-30d", ["SUCCEEDED"], tags=[{"Key": "jobwarden:hold", "Value": "audit"}])
    for m in (plain, held):
        scheduled(world, m)
    assert world.status(plain) == "SUCCEEDED"
    wait_until(f"{plain} to be deleted", lambda: world.status(plain) is None, PUNCTUAL_SECONDS)
    wait_until("the schedules to be gone", lambda: not schedules(world), 60)
    wait_until("the lane to be empty", lambda: world.is_empty("DeleteExpiredQueueUrl"), 60)
    assert world.status(held) == "SUCCEEDED"

    records = [r for r in world.archived("expiry") if r["job"]["jobId"] in (plain.job, held.job)]
    assert [(r["job"]["jobId"], r["execution"]["thingName"]) for r in records] == [(plain.job, plain.thing)]
    assert records[0]["principal"] == "sweeper delete-expired"
    logged = [line["fields"] for line in world.stack.events("DeleteExpired")]
    checked = [f for f in logged if f.get("event") == "expiry_checked" and f["job_id"] == plain.job]
    assert len(checked) == 1, checked
    assert f"expiry {checked[0]['name']}" == records[0]["origin"]
    assert world.is_empty("DeleteExpiredDeadLettersUrl")


def test_each_status_is_scheduled_for_the_end_of_its_own_retention(world):
    limits = {"SUCCEEDED": 30, "FAILED": 90, "REJECTED": 90, "CANCELED": 30, "REMOVED": 30}
    executions = made(world, "-29d", list(limits))
    for m, (status, days) in zip(executions, limits.items(), strict=True):
        schedule = scheduled(world, m)
        ended = world.describe(m)["lastUpdatedAt"]
        late = (time_of(schedule) - ended - days * DAY).total_seconds()
        assert 0 < late < 15, (status, late)
        target = schedule["Target"]
        assert schedule["ScheduleExpressionTimezone"] == "UTC"
        assert schedule["ActionAfterCompletion"] == "DELETE"
        assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
        assert target["SqsParameters"] == {"MessageGroupId": "delete-expired"}
        queue = world.stack.outputs["DeleteExpiredQueueUrl"]
        attributes = world.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        assert target["Arn"] == attributes["QueueArn"]
        # Scheduler sends no deduplication id.
        assert attributes["ContentBasedDeduplication"] == "true"
    assert len(schedules(world)) == len(executions)


def test_what_is_kept_for_ever_is_not_scheduled_and_a_deletion_neither(world):
    (kept,) = made(world, "-29d", ["SUCCEEDED"], jobId=world.name("keep"))
    (last,) = made(world, "-29d", ["SUCCEEDED"])
    scheduled(world, last)
    world.iot.delete_job_execution(**last.delete)
    (after,) = made(world, "-29d", ["SUCCEEDED"])
    scheduled(world, after)
    assert schedules(world).keys() == {(m.job, m.thing) for m in (last, after)}
    assert world.status(kept) == "SUCCEEDED"
    logged = [line for line in world.stack.logs("ScheduleExpiry") if isinstance(line, dict)]
    assert not [line for line in logged if line.get("level") == "ERROR"]


def event(world, m, **changes) -> dict:
    arn = f"{world.arn}:thing/{m.thing}"
    at = int(datetime.datetime.now(datetime.timezone.utc).timestamp()) - 86400
    told = {"eventType": "JOB_EXECUTION", "eventId": "e", "timestamp": at, "operation": "succeeded", "jobId": m.job}
    return {**told, "thingArn": arn, "status": "SUCCEEDED", **changes}


def test_an_event_that_comes_twice_makes_one_schedule_and_a_bad_one_fails(world):
    (m,) = made(world, "-1d", ["SUCCEEDED"])
    scheduled(world, m)
    told = event(world, m)
    first, again = (world.stack.invoke("ScheduleExpiry", told)["checks"][0] for _ in range(2))
    assert first["name"] == again["name"]
    assert again["scheduled"] == "before"
    with pytest.raises(StackError, match="thingArn"):
        world.stack.invoke("ScheduleExpiry", event(world, m, thingArn="pump"))


def test_without_the_parameter_nothing_of_it_is_there(world):
    function = world.stack.function_name("ScheduleExpiry")

    def there() -> dict[str, bool]:
        functions = [f["FunctionName"] for f in world.functions.list_functions(MaxItems=50)["Functions"]]
        groups = world.scheduler.list_schedule_groups()["ScheduleGroups"]
        queue = world.stack.outputs["DeleteExpiredQueueUrl"]
        attributes = world.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        return {
            "function": function in functions,
            "rule": bool(world.iot.list_topic_rules()["rules"]),
            "group": any("exact-expiry" in group["Name"] for group in groups),
            "output": "ScheduleExpiryFunctionName" in world.stack.outputs,
            "deduplication": attributes.get("ContentBasedDeduplication") == "true",
        }

    assert all(there().values()), there()
    world.stack.deploy({"ExactExpiry": "false"})
    try:
        gone = there()
        # The emulator leaves an attribute of a queue as it was.
        gone.pop("deduplication")
        assert not any(gone.values()), gone
    finally:
        world.stack.deploy({"ExactExpiry": "true"})
    assert all(there().values()), there()
