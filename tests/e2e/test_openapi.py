"""docs/openapi.yaml against the deployed stack: its examples are sent, and what comes is what it shows."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable

import document
import pytest
from test_sweeps import Sweeps
from world import Made

DOCUMENT = document.load()
EXAMPLES = {f"{example.operation.name}/{example.name}": example for example in DOCUMENT.examples()}
ERRORS = {
    name: (int(status), shown["value"])
    for operation in DOCUMENT.operations
    for status, response in operation.parts["responses"].items()
    if status.startswith(("4", "5"))
    for name, shown in DOCUMENT.part(response)["content"]["application/json"]["examples"].items()
}
# Who sends an example, and in which status the execution that it is about has to be.
SCENES = {
    "cancelJobExecution/waiting": ("operator", "QUEUED"),
    "cancelJobExecution/running": ("force", "IN_PROGRESS"),
    "cancelJobExecution/planned": ("operator", "QUEUED"),
    "deleteJobExecution/finished": ("operator", "SUCCEEDED"),
    "deleteJobExecution/running": ("force", "IN_PROGRESS"),
    "deleteJobExecution/planned": ("operator", "FAILED"),
    "readDecision/cancel": ("operator", "QUEUED"),
    "readDecision/delete": ("operator", "QUEUED"),
    "readDecision/madeUp": ("force", None),
}
SWEEPS = {
    "startSweep/dryRun": None,
    "listSweeps/filtered": None,
    "getSweep/ended": "delete-expired",
    "getSweepReport/deleteExpired": "delete-expired",
    "getSweepReport/cancelStale": "cancel-stale",
}
CANCEL = "/things/pump-7/jobs/firmware-1-6-0/cancel"

# What differs from one run to the next.
VOLATILE = [
    (re.compile(r"\d{8}T\d{6}Z-(delete-expired|cancel-stale)-[0-9a-f]{8}"), r"SWEEP-\1"),
    (re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z"), "TIME"),
    (re.compile(r"\d{4}-\d{2}-\d{2}"), "DATE"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "DIGEST"),
    (re.compile(r"\b\d{12}\b"), "ACCOUNT"),
]
VOLATILE_NUMBERS = {"durationSeconds"}


def plain(value: str) -> str:
    for pattern, what in VOLATILE:
        value = pattern.sub(what, value)
    return value


def differences(shown, told, place: str = "$") -> list[str]:
    """Where an answer says something else than its example, but for times, digests and names that are made up."""
    if isinstance(shown, dict) and isinstance(told, dict):
        found = [f"{place} has {sorted(told)}, not {sorted(shown)}"] if told.keys() != shown.keys() else []
        return found + [
            d for name in shown.keys() & told.keys() for d in differences(shown[name], told[name], f"{place}.{name}")
        ]
    if isinstance(shown, list) and isinstance(told, list):
        # Thirty days of a forecast say no more than the first of them.
        told = told[: len(shown)] if place.endswith(".forecast") else told
        found = [f"{place} has {len(told)} items, not {len(shown)}"] if len(told) != len(shown) else []
        pairs = enumerate(zip(shown, told, strict=False))
        return found + [d for nth, pair in pairs for d in differences(*pair, f"{place}[{nth}]")]
    if place.rpartition(".")[2] in VOLATILE_NUMBERS:
        return []
    if isinstance(shown, str) and isinstance(told, str):
        shown, told = plain(shown), plain(told)
    same = shown == told and isinstance(shown, bool) == isinstance(told, bool)
    return [] if same else [f"{place} is {told!r}, not {shown!r}"]


def check(example: document.Example, answer) -> None:
    assert answer.status == example.status, answer
    found = differences(example.answer, answer.json)
    assert not found, "\n".join([*found, answer.body.decode()])


def send(caller, example: document.Example, path: str | None = None):
    query = urllib.parse.urlencode(example.query)
    return caller.wire.send(example.operation.method.upper(), path or example.path, query, example.body)


@pytest.fixture
def alone(world):
    """Nothing else is in the account, so that the names of the examples are free."""
    world.end_sweeps()
    world.wipe()
    return world


def make(world, status: str, **job) -> Made:
    return world.execution(status, thing="pump-7", jobId="firmware-1-6-0", **job)


def test_every_example_is_sent():
    assert EXAMPLES.keys() == SCENES.keys() | SWEEPS.keys()
    # The last is of an authorizer that the stack does not have.
    assert ERRORS.keys() == PROVOKED.keys() | {"UnauthorizedException"}


@pytest.mark.parametrize("name", SCENES)
def test_an_example_comes_out_as_it_is_shown(name, alone, principals):
    caller, status = SCENES[name]
    if status:
        make(alone, status)
    check(EXAMPLES[name], send(principals(caller), EXAMPLES[name]))


@pytest.fixture(scope="module")
def swept(world, operator) -> dict[str, str]:
    """A dry run of each sweep over a small fleet with some history."""
    world.end_sweeps()
    world.wipe()
    try:
        for offset, status, thing, job in [
            ("-65d", "QUEUED", "pump-8", "firmware-1-5-0"),
            ("-64d", "QUEUED", "pump-8", "config-12"),
            ("-40d", "SUCCEEDED", "pump-7", "firmware-1-6-0"),
            ("-40d", "QUEUED", "pump-7", "config-13"),
        ]:
            world.set_time_offset(offset)
            last = world.execution(status, thing=thing, jobId=job)
        world.set_time_offset("-29d")
        world.become(last, "SUCCEEDED")
    finally:
        world.set_time_offset("+0d")
    sweeps = Sweeps(operator)
    return {
        operation: sweeps.run(operation, dryRun=True)["sweepId"] for operation in ("delete-expired", "cancel-stale")
    }


@pytest.mark.parametrize("name", SWEEPS)
def test_an_example_of_a_sweep_comes_out_as_it_is_shown(name, swept, operator):
    example = EXAMPLES[name]
    path = example.path.replace(
        DOCUMENT.part({"$ref": "#/components/parameters/SweepId"})["example"], swept.get(SWEEPS[name], "")
    )
    answer = send(operator, example, path)
    check(example, answer)
    if name.startswith("startSweep"):
        Sweeps(operator).ended(answer.json["sweepId"])


def held(world, principals, faults):
    # A job of its own: a function remembers the tags of a job for a while.
    m = world.execution("QUEUED", tags=[{"Key": "jobwarden:hold", "Value": "yes"}])
    return principals("operator").wire.send("PUT", f"/things/{m.thing}/jobs/{m.job}/cancel")


def faulty(operation: str, code: str, status: int) -> Callable:
    def provoke(world, principals, faults):
        make(world, "QUEUED")
        rule = {"service": "iot", "operation": operation, "error": {"code": code, "status": status}}
        with world.configured("CancelExecution", AWS_ENDPOINT_URL_IOT=faults.url), faults.injected(rule):
            return principals("operator").wire.send("PUT", CANCEL)

    return provoke


def cancel(state: str, query: str = "", body: dict | None = None, sign: bool = True) -> Callable:
    def provoke(world, principals, faults):
        make(world, state)
        return principals("operator").wire.send("PUT", CANCEL, query, body, sign=sign)

    return provoke


PROVOKED = {
    "InvalidRequestException": cancel("QUEUED", "force=yes", {"expectedVersion": 0}),
    "ThrottlingException": faulty("CancelJobExecution", "ThrottlingException", 400),
    "AccessDeniedException": held,
    "MissingAuthenticationTokenException": cancel("QUEUED", sign=False),
    "ResourceNotFoundException": lambda world, principals, faults: principals("operator").wire.send(
        "GET", "/sweeps/20261121T020000Z-delete-expired-1a2b3c4d"
    ),
    "InvalidStateTransitionException": cancel("IN_PROGRESS"),
    "VersionConflictException": cancel("QUEUED", body={"expectedVersion": 4}),
    "ServiceUnavailableException": faulty("DescribeJob", "InternalFailureException", 500),
}


@pytest.mark.parametrize("name", PROVOKED)
def test_an_example_of_an_error_comes_out_as_it_is_shown(name, alone, principals, faults):
    answer = PROVOKED[name](alone, principals, faults)
    status, shown = ERRORS[name]
    assert (answer.status, answer.error) == (status, name), answer
    found = differences(shown, answer.json)
    assert not found, "\n".join([*found, answer.body.decode()])
