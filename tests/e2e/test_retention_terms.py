"""What a retention rule says besides durations: full archives, force for what is stuck, and how many successes stay."""

from __future__ import annotations

import dataclasses
import gzip
import json

import pytest
from conftest import ROOT
from test_policy_source import POLICIES, RULES, version_of
from test_sweeps import Sweeps
from world import Made

# What a thing has last taken of these stays, however old it is.
ENDED = ("SUCCEEDED", "FAILED", "TIMED_OUT", "REJECTED", "REMOVED", "CANCELED")
ROLLOUTS = f"""
[[rule]]
name = "rollouts"
job_ids = ["rollout-*"]
keep_last = 1
delete_after = {{ {", ".join(f'{status} = "30d"' for status in ENDED)} }}
archive = "summary"

"""

STUCK = (ROOT / "policies" / "examples" / "stuck-devices.cedar").read_text()


@pytest.fixture(scope="module")
def forcing(world):
    """A deployment whose rules archive in full, force what is stuck and keep rollouts, and whose policies agree."""
    rules = RULES.replace('archive = "summary"', 'archive = "full"').replace(
        '{ QUEUED = "60d" }', '{ QUEUED = "60d", IN_PROGRESS = { after = "7d", force = true } }'
    )
    assert "force = true" in rules.partition("[default]")[2]
    rules = rules.replace("\n[default]\n", f"{ROLLOUTS}[default]\n")
    policies = f"{POLICIES}\n{STUCK}"
    versions = {
        "RetentionRulesVersion": version_of(world, "policies/retention.toml", rules),
        "AccessPolicyVersion": version_of(world, "policies/access.cedar", policies),
    }
    world.stack.deploy({"PolicySource": "bucket", **versions})
    yield
    world.stack.deploy({"PolicySource": "compiled", "AccessPolicyVersion": "", "RetentionRulesVersion": ""})


@pytest.fixture
def past(world):
    """Runs a function some days ago."""
    world.end_sweeps()
    world.wipe()

    def then(days: int, make):
        world.set_time_offset(f"-{days}d")
        try:
            return make()
        finally:
            world.set_time_offset("+0d")

    return then


def report_progress(world, m, step: str) -> None:
    update = {"jobId": m.job, "thingName": m.thing, "status": "IN_PROGRESS", "statusDetails": {"step": step}}
    world.devices.update_job_execution(**update)


def test_what_is_stuck_is_cancelled_by_force_and_archived_whole(world, operator, forcing, past):
    def made():
        stuck = world.execution("IN_PROGRESS", jobId=world.name("config"))
        working = world.execution("IN_PROGRESS", jobId=world.name("config"))
        firmware = world.execution("IN_PROGRESS", jobId=world.name("firmware"))
        report_progress(world, stuck, "downloading")
        return stuck, working, firmware

    stuck, working, firmware = past(8, made)
    report_progress(world, working, "half way")
    report = Sweeps(operator).run("cancel-stale")
    assert report["results"] == [
        {"rule": "default", "status": "IN_PROGRESS", "outcome": "canceled", "count": 1},
    ]
    # The policy that was added is for configuration jobs.
    refused = {"rule": "default", "status": "IN_PROGRESS", "verdict": "refused: noPermit", "count": 1}
    assert refused in report["kept"]
    assert world.status(stuck) == "CANCELED"
    assert [world.status(m) for m in (working, firmware)] == ["IN_PROGRESS", "IN_PROGRESS"]
    (record,) = world.archived(report["sweepId"])
    assert (record["archive"], record["force"], record["job"]["jobId"]) == ("full", True, stuck.job)
    assert record["execution"]["statusDetails"] == {"step": "downloading"}
    assert record["execution"]["status"] == "IN_PROGRESS"
    # It can be sent again, to the things that lost it.
    (targets,) = world.objects(f"sweeps/{report['sweepId']}/reissue/{stuck.job}/").values()
    world.iot.create_job(jobId=f"{stuck.job}-again", document="{}", targets=json.loads(targets))
    assert world.status(dataclasses.replace(stuck, job=f"{stuck.job}-again")) == "QUEUED"


def test_a_full_archive_keeps_what_the_device_said(world, operator, forcing, past):
    def made():
        m = world.execution("IN_PROGRESS")
        details = {"error": "disk full"}
        world.devices.update_job_execution(jobId=m.job, thingName=m.thing, status="FAILED", statusDetails=details)
        return m

    m = past(100, made)
    before = world.describe(m)
    report = Sweeps(operator).run("delete-expired")
    assert report["outcomes"] == {"deleted": 1}
    (told,) = world.objects(report["outcomesPrefix"]).values()
    (row,) = [json.loads(line) for line in gzip.decompress(told).splitlines()]
    assert (row["jobId"], row["thingName"], row["executionNumber"]) == (m.job, m.thing, m.number)
    assert (row["rule"], row["status"], row["outcome"]) == ("default", "FAILED", "deleted")
    assert world.describe(m) is None
    (record,) = world.archived(report["sweepId"])
    assert (record["archive"], record["force"]) == ("full", False)
    assert record["execution"]["statusDetails"] == before["statusDetails"]["detailsMap"] == {"error": "disk full"}
    assert record["execution"]["versionNumber"] == before["versionNumber"]


def test_what_a_thing_has_last_taken_stays(world, operator, forcing, past):
    thing = world.name("thing")

    def taken():
        return world.execution("SUCCEEDED", thing=thing, jobId=world.name("rollout"))

    made = [past(days, taken) for days in (100, 90, 80)]
    other = past(70, lambda: world.execution("SUCCEEDED", thing=thing))
    report = Sweeps(operator).run("delete-expired")
    assert report["outcomes"] == {"deleted": 3}, report
    assert {"rule": "rollouts", "status": "SUCCEEDED", "verdict": "amongLast", "count": 1} in report["kept"]
    # One look at the thing for each of the two that went by this rule.
    assert report["calls"]["ListJobExecutionsForThing"] == 2
    assert [world.status(m) for m in (*made, other)] == [None, None, "SUCCEEDED", None]
    again = Sweeps(operator).run("delete-expired")
    assert (again["due"], "ListJobExecutionsForThing" in again["calls"]) == (0, False)


@pytest.fixture
def retiring(world):
    """A deployment whose rules and parameters have finished jobs deleted whole."""
    rules = RULES.replace("[default]\n", "[default]\nretire_jobs = true\n")
    assert rules != RULES
    version = version_of(world, "policies/retention.toml", rules)
    policies = version_of(world, "policies/access.cedar", POLICIES)
    versions = {"RetentionRulesVersion": version, "AccessPolicyVersion": policies}
    world.stack.deploy({"PolicySource": "bucket", "RetireJobs": "true", **versions})
    yield
    world.stack.deploy(
        {"PolicySource": "compiled", "RetireJobs": "false", "AccessPolicyVersion": "", "RetentionRulesVersion": ""}
    )


def test_a_finished_job_goes_whole_and_leaves_its_document(world, operator, retiring, past):
    document = json.dumps({"operation": "update", "to": "1.6.0"})

    def made_of(states):
        things = [world.name("thing") for _ in states]
        targets = [world.iot.create_thing(thingName=thing)["thingArn"] for thing in things]
        made = [Made(world.name("job"), thing) for thing in things]
        made = [dataclasses.replace(m, job=made[0].job) for m in made]
        world.iot.create_job(jobId=made[0].job, targets=targets, document=document)
        for m, status in zip(made, states, strict=True):
            if status != "QUEUED":
                world.become(m, status)
        return made

    def made():
        return made_of(["SUCCEEDED", "FAILED", "SUCCEEDED"]), made_of(["SUCCEEDED", "QUEUED"])

    finished, going_on = past(100, made)
    job = finished[0].job
    described = world.iot.describe_job(jobId=job)["job"]
    assert described["status"] == "COMPLETED"
    report = Sweeps(operator).run("delete-expired")
    assert report["outcomes"] == {"deletedWithJob": 3, "deleted": 1}
    assert report["wholeJobs"] == {"planned": 1, "executions": 3, "deleted": 1}
    assert report["calls"]["DeleteJob"] == report["calls"]["DeleteJobExecution"] == 1
    with pytest.raises(world.iot.exceptions.ResourceNotFoundException):
        world.iot.describe_job(jobId=job)
    assert [world.status(m) for m in going_on] == [None, "QUEUED"]
    records = world.archived(report["sweepId"])
    assert sorted(record["action"] for record in records) == ["DeleteJob"] * 3 + ["DeleteJobExecution"]
    (kept,) = world.objects("jobs/").values()
    (record,) = [json.loads(line) for line in gzip.decompress(kept).splitlines()]
    assert (record["job"]["jobId"], record["executions"], record["document"]) == (job, 3, document)
    assert record["description"]["job"]["jobArn"] == described["jobArn"]
    assert record["description"]["job"]["jobProcessDetails"] == described["jobProcessDetails"]
