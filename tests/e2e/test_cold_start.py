"""A function that is set up wrongly does not start, and says what is wrong."""

import contextlib
import json
import os
import subprocess

import pytest
from listener import listening
from stack import BUILD_DIRECTORY

SCHEDULES = "arn:aws:scheduler:eu-west-1:123456789012:schedule/default/jobwarden"

WORKER = {
    "ACCESS_POLICY": "compiled",
    "RETENTION_RULES": "compiled",
    "BUCKET": "b",
    "DRY_RUN": "true",
    "LANES": "us=us-east-1",
    "QUEUE_URL": "http://127.0.0.1:9/q",
    "CALLS_PER_SECOND": "8",
}

# What each function takes, with a value that is right.
SETTINGS = {
    "CancelExecution": {"CALLER_IDENTITY": "iam", "ACCESS_POLICY": "compiled"},
    "DeleteExecution": {"CALLER_IDENTITY": "iam", "ACCESS_POLICY": "compiled", "BUCKET": "b"},
    "StartSweep": {
        "CALLER_IDENTITY": "iam",
        "ACCESS_POLICY": "compiled",
        "BUCKET": "b",
        "DRY_RUN": "true",
        "LANES": "",
        "DELETE_EXPIRED_QUEUE_URL": "http://127.0.0.1:9/q",
        "CANCEL_STALE_QUEUE_URL": "http://127.0.0.1:9/q",
        "DELETE_EXPIRED_SCHEDULE_ARN": f"{SCHEDULES}-delete-expired",
        "CANCEL_STALE_SCHEDULE_ARN": f"{SCHEDULES}-cancel-stale",
    },
    "DeleteExpired": {**WORKER, "RETIRE_JOBS": "false"},
    "CancelStale": WORKER,
    "ReadSweeps": {"CALLER_IDENTITY": "iam", "ACCESS_POLICY": "compiled", "BUCKET": "b"},
    "ReadDecision": {"CALLER_IDENTITY": "iam", "ACCESS_POLICY": "compiled"},
    "ValidateAccessPolicy": {},
    "ValidateRetentionRules": {},
}


def start(
    function: str,
    settings: dict[str, str],
    runtime_api: str = "127.0.0.1:9",
    endpoint: str = "http://127.0.0.1:9",
    seconds: float = 30,
) -> tuple[int, dict]:
    """Starts a function's binary as Lambda does; gives its exit code and the last line of its log."""
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_LAMBDA_FUNCTION_NAME": function,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "AWS_LAMBDA_LOG_GROUP_NAME": "group",
    } | {f"JOBWARDEN_{name}": value for name, value in settings.items()}
    binary = BUILD_DIRECTORY / function / "bootstrap"
    done = subprocess.run([binary], env=environment, capture_output=True, text=True, check=False, timeout=seconds)
    lines = done.stdout.strip().splitlines()
    return done.returncode, json.loads(lines[-1]) if lines else {}


def told(function: str, settings: dict[str, str]) -> str:
    code, line = start(function, settings)
    assert code == 1
    assert line["level"] == "ERROR"
    assert line["fields"]["event"] == "start_failed"
    return line["fields"]["error"]


@pytest.mark.parametrize("function", SETTINGS)
def test_a_missing_setting_stops_the_start(stack, function):
    for name in SETTINGS[function]:
        settings = {key: value for key, value in SETTINGS[function].items() if key != name}
        assert f"JOBWARDEN_{name} is missing; set it" in told(function, settings)


@pytest.mark.parametrize("function", SETTINGS)
def test_an_unknown_setting_stops_the_start(stack, function):
    message = told(function, SETTINGS[function] | {"DRYRUN": "false"})
    assert "JOBWARDEN_DRYRUN is not known here; remove it or correct its name" in message


@pytest.mark.parametrize(
    ("function", "name", "value"),
    [
        ("StartSweep", "DRY_RUN", "no"),
        ("StartSweep", "LANES", "us"),
        ("StartSweep", "CANCEL_STALE_SCHEDULE_ARN", "jobwarden-cancel-stale"),
        ("CancelStale", "LANES", "ireland=eu-west-1"),
        ("DeleteExpired", "CALLS_PER_SECOND", "0"),
        ("CancelStale", "CALLS_PER_SECOND", "fast"),
        ("CancelExecution", "CALLER_IDENTITY", "header"),
        ("ReadSweeps", "BUCKET", " "),
        ("DeleteExecution", "ACCESS_POLICY", "policies/access.cedar"),
        ("StartSweep", "ACCESS_POLICY", "appconfig:jobwarden/live"),
        ("CancelStale", "RETENTION_RULES", "s3://bucket/policies/retention.toml"),
    ],
)
def test_a_setting_that_makes_no_sense_stops_the_start(stack, function, name, value):
    assert f"JOBWARDEN_{name}: " in told(function, SETTINGS[function] | {name: value})


@pytest.mark.parametrize("function", SETTINGS)
def test_right_settings_get_as_far_as_asking_for_work(stack, function):
    with listening(500) as (address, seen), contextlib.suppress(subprocess.TimeoutExpired):
        start(function, SETTINGS[function], runtime_api=address, seconds=3)
    assert [request.path for request in seen][:1] == ["/2018-06-01/runtime/invocation/next"]
