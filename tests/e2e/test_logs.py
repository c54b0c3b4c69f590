"""What the deployed functions log: an audit trail in its schema, ids that lead on, metrics as listed, no secrets."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess

import jobwarden_client
import pytest
from environments import program
from world import wait_until

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
FUNCTIONS = ("CancelExecution", "DeleteExecution", "StartSweep", "DeleteExpired", "ReadSweeps", "ReadDecision")
# What a job's document and its device say, and nobody else needs to know.
DOCUMENT, DETAIL, TAG = "the-document-says-hunter2", "the-device-says-hunter3", "the-tag-says-hunter4"
SIGNED = re.compile(r"X-Amz-(Signature|Security-Token|Credential)|AWS4-HMAC-SHA256|Authorization", re.IGNORECASE)

VALIDATE = """
import json, sys
import jsonschema
schema, lines = json.load(sys.stdin)
validator = jsonschema.Draft202012Validator(schema)
validator.check_schema(schema)
print(json.dumps([[error.message for error in validator.iter_errors(line)] for line in lines]))
"""


def problems(lines: list[dict]) -> list[list[str]]:
    """What the schema finds wrong with each line, by a validator of JSON Schema (which SAM brings)."""
    told = json.dumps([json.loads((DOCS / "audit.schema.json").read_text()), lines])
    done = subprocess.run(
        [program("sam", "python"), "-c", VALIDATE], input=told, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def logged(world, operator, nobody) -> dict[str, list]:
    """The logs of all functions after a request of each kind and a sweep."""
    m = world.execution("IN_PROGRESS", document=json.dumps({"x": DOCUMENT}), tags=[{"Key": "note", "Value": TAG}])
    world.devices.update_job_execution(
        jobId=m.job, thingName=m.thing, status="SUCCEEDED", statusDetails={"why": DETAIL}
    )
    waiting = world.execution("QUEUED", document=json.dumps({"x": DOCUMENT}))
    iot = operator.boto3()
    with pytest.raises(iot.exceptions.ClientError):
        nobody.boto3().delete_job_execution(**m.delete)
    iot.delete_job_execution(**m.delete)
    iot.cancel_job_execution(**waiting.cancel, statusDetails={"why": DETAIL})
    assert (
        operator.wire.send("POST", "/decisions", body={"action": "CancelJobExecution", "status": "QUEUED"}).status
        == 200
    )
    sweeps = jobwarden_client.Sweeps(operator.session, operator.api_url)
    sweep = sweeps.start("delete-expired", dryRun=True)["sweepId"]
    wait_until("the end of the sweep", lambda: sweeps.get(sweep)["status"] == "SUCCEEDED", 90)
    logs = {function: world.stack.logs(function) for function in FUNCTIONS}
    logs["sweep"] = [sweep]
    logs["deleted"] = [m]
    return logs


def lines(logged: dict[str, list], function: str, event: str) -> list[dict]:
    events = [line for line in logged[function] if isinstance(line, dict) and "fields" in line]
    return [line for line in events if line["fields"].get("event") == event]


def test_every_line_of_the_audit_trail_fits_its_schema(logged):
    trail = [
        line
        for function in FUNCTIONS
        for event in ("decision", "decision_asked", "decision_supposed")
        for line in lines(logged, function, event)
    ]
    assert {line["fields"]["action"] for line in trail} >= {
        "CancelJobExecution", "DeleteJobExecution", "StartSweep", "ReadSweep", "ReadDecision",
    }  # fmt: skip
    assert [found for found in problems(trail) if found] == []
    # And the schema refuses what is otherwise.
    other = json.loads(json.dumps(trail[:4]))
    other[0]["fields"]["audit_version"] = 2
    del other[1]["fields"]["policy_digest"]
    other[2]["fields"]["secret"] = "x"
    other[3]["fields"]["outcome"] = "perhaps"
    assert all(problems(other))


def test_a_decision_leads_to_the_request_of_aws_and_to_the_archive(logged, world):
    (m,) = logged["deleted"]
    (allowed,) = [
        line
        for line in lines(logged, "DeleteExecution", "decision")
        if line["fields"]["job_id"] == m.job and line["fields"]["outcome"] == "allow"
    ]
    (call,) = [line for line in lines(logged, "DeleteExecution", "aws_call") if line["fields"]["job_id"] == m.job]
    assert call["spans"][0]["requestId"] == allowed["spans"][0]["requestId"]
    assert call["fields"]["operation"] == "DeleteJobExecution"
    assert call["fields"]["aws_request_id"]
    assert "error" not in call["fields"]
    refused = lines(logged, "DeleteExecution", "request_refused")[-1]["fields"]
    assert refused["request_id"] in {
        line["fields"]["request_id"]
        for line in lines(logged, "DeleteExecution", "decision")
        if line["fields"]["outcome"] != "allow"
    }


def test_a_request_leads_to_its_sweep_and_the_sweep_to_its_slices(logged):
    (sweep,) = logged["sweep"]
    (started,) = [line for line in lines(logged, "StartSweep", "sweep_started") if line["fields"]["sweep_id"] == sweep]
    decided = [line["fields"]["request_id"] for line in lines(logged, "StartSweep", "decision")]
    assert started["fields"]["request_id"] in decided
    (finished,) = [
        line for line in lines(logged, "DeleteExpired", "sweep_finished") if line["fields"]["sweep_id"] == sweep
    ]
    assert (finished["spans"][1]["sweep_id"], finished["spans"][1]["step"]) == (sweep, 0)


def test_every_metric_is_one_that_is_listed(logged):
    rows = [line.split("|") for line in (DOCS / "metrics.md").read_text().splitlines() if line.startswith("| `")]
    listed = {
        (row[1].strip(" `"), row[2].strip(), "" if names == "none" else names)
        for row in rows
        for names in row[3].strip().split(", ")
    }
    told = set()
    for function in FUNCTIONS:
        for line in logged[function]:
            if not isinstance(line, dict) or "_aws" not in line:
                continue
            (directive,) = line["_aws"]["CloudWatchMetrics"]
            assert directive["Namespace"] == "Jobwarden/jobwarden"
            ((*names,),) = directive["Dimensions"]
            assert all(isinstance(line[name], str) for name in names)
            for metric in directive["Metrics"]:
                assert metric["Name"] in line
                told.add((metric["Name"], metric["Unit"], " + ".join(names)))
    assert told <= listed, told - listed
    # What the adapters count, which no test in process sees.
    assert {("Calls", "Count", ""), ("Calls", "Count", "Operation"), ("Decisions", "Count", "Policy")} <= told
    assert ("SweepsEnded", "Count", "Sweep + Lane + Status") in told


def test_no_line_holds_a_secret(logged, world):
    keys = world.stack.credentials.values()
    secrets = {key.secret_access_key for key in keys} | {key.session_token for key in keys} - {""}
    for function in FUNCTIONS:
        text = json.dumps(logged[function], ensure_ascii=False)
        assert len(text) > 100, function
        for secret in (*secrets, DOCUMENT, DETAIL, TAG):
            assert secret not in text, function
        assert not SIGNED.search(text), function


def test_a_throttled_call_is_counted_and_told(world, operator, faults):
    def counted() -> list[tuple[str | None, int]]:
        lines = [line for line in world.stack.logs("CancelExecution") if isinstance(line, dict) and "Throttles" in line]
        return [(line.get("Operation"), line["Throttles"]) for line in lines]

    m = world.execution("QUEUED")
    before = len(counted())
    rule = {
        "service": "iot",
        "operation": "CancelJobExecution",
        "error": {"code": "ThrottlingException", "status": 400},
    }
    iot = operator.boto3()
    with (
        world.configured("CancelExecution", AWS_ENDPOINT_URL_IOT=faults.url),
        faults.injected(rule),
        pytest.raises(iot.exceptions.ThrottlingException),
    ):
        iot.cancel_job_execution(**m.cancel)
    (call,) = [
        line["fields"]
        for line in world.stack.events("CancelExecution")
        if line["fields"].get("event") == "aws_call" and line["fields"]["job_id"] == m.job
    ]
    assert call["error"] == "ThrottlingException"
    assert counted()[before:] == [(None, 1), ("CancelJobExecution", 1)]
