"""Each exception the two operations model, raised by real clients as their own types, from real causes."""

from __future__ import annotations

import pytest

FUNCTIONS = ("CancelExecution", "DeleteExecution")


@pytest.fixture(scope="module")
def through_faults(world, faults):
    """Both functions reach AWS IoT through the fault proxy for the length of this module."""
    with world.configured(*FUNCTIONS, AWS_ENDPOINT_URL_IOT=faults.url):
        yield faults


def call(iot, operation: str, m, **more):
    if operation == "cancel":
        return iot.cancel_job_execution(**m.cancel, **more)
    return iot.delete_job_execution(**m.delete, **more)


ACTS = {"cancel": "CancelJobExecution", "delete": "DeleteJobExecution"}
both = pytest.mark.parametrize("operation", ["cancel", "delete"])


def state_for(operation: str) -> str:
    """A state in which the operation would succeed."""
    return "QUEUED" if operation == "cancel" else "SUCCEEDED"


@both
def test_success_is_an_empty_answer_to_boto3_and_says_more_to_others(operation, world, operator):
    m = world.execution(state_for(operation))
    answer = call(operator.boto3(), operation, m)
    assert answer.keys() == {"ResponseMetadata"}
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert world.status(m) == ("CANCELED" if operation == "cancel" else None)

    m = world.execution(state_for(operation))
    path = f"/things/{m.thing}/jobs/{m.job}" + ("/cancel" if operation == "cancel" else "/executionNumber/1")
    answer = operator.wire.send("PUT" if operation == "cancel" else "DELETE", path)
    assert answer.status == 200, answer
    assert answer.json["dryRun"] is False
    assert answer.json["decision"]["outcome"] == "allow"
    assert all(p["id"] and p["reason"] for p in answer.json["decision"]["policies"])
    assert answer.json["execution"]["jobId"] == m.job
    assert answer.json["execution"]["thingName"] == m.thing
    assert answer.json["execution"]["executionNumber"] == 1


@both
def test_an_unknown_execution_is_resource_not_found(operation, world, operator):
    iot = operator.boto3()
    m = world.execution()
    for arguments in (
        {"thingName": m.thing, "jobId": "no-such-job"},
        {"thingName": "no-such-thing", "jobId": m.job},
    ):
        number = {"executionNumber": 1} if operation == "delete" else {}
        verb = iot.delete_job_execution if operation == "delete" else iot.cancel_job_execution
        with pytest.raises(iot.exceptions.ResourceNotFoundException) as raised:
            verb(**arguments, **number)
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert world.status(m) == "QUEUED"


def test_an_unknown_execution_number_is_resource_not_found(world, operator):
    iot = operator.boto3()
    m = world.execution("SUCCEEDED")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.delete_job_execution(**m.cancel, executionNumber=2)
    assert world.status(m) == "SUCCEEDED"


def test_a_stale_version_is_a_version_conflict(world, operator):
    iot = operator.boto3()
    m = world.execution()
    with pytest.raises(iot.exceptions.VersionConflictException) as raised:
        iot.cancel_job_execution(**m.cancel, expectedVersion=7)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert world.status(m) == "QUEUED"
    iot.cancel_job_execution(**m.cancel, expectedVersion=1)
    assert world.status(m) == "CANCELED"


def test_a_running_execution_is_an_invalid_state_transition_without_force(world, force):
    iot = force.boto3()
    m = world.execution("IN_PROGRESS")
    with pytest.raises(iot.exceptions.InvalidStateTransitionException):
        iot.cancel_job_execution(**m.cancel)
    with pytest.raises(iot.exceptions.InvalidStateTransitionException):
        iot.delete_job_execution(**m.delete)
    assert world.status(m) == "IN_PROGRESS"


@both
def test_a_malformed_request_is_invalid_request(operation, world, operator):
    iot = operator.boto3()
    m = world.execution(state_for(operation))
    bad = {**(m.cancel if operation == "cancel" else m.delete), "jobId": "not.a.job.id"}
    verb = iot.cancel_job_execution if operation == "cancel" else iot.delete_job_execution
    with pytest.raises(iot.exceptions.InvalidRequestException, match="jobId") as raised:
        verb(**bad)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


# The name in the service, where it comes from, and what is left untouched when it strikes.
@both
@pytest.mark.parametrize(("code", "status"), [("ThrottlingException", 400), ("ServiceUnavailableException", 503)])
@pytest.mark.parametrize("reached", ["the decision's reads", "the act itself"])
def test_a_fault_of_the_service_has_its_own_name(operation, code, status, reached, world, operator, through_faults):
    m = world.execution(state_for(operation))
    iot = operator.boto3()
    target = ACTS[operation] if reached == "the act itself" else "DescribeJobExecution"
    rule = {"service": "iot", "operation": target, "error": {"code": code, "status": status}}
    with through_faults.injected(rule):
        with pytest.raises(iot.exceptions.ClientError) as raised:
            call(iot, operation, m)
        fired = through_faults.fired()
    assert isinstance(raised.value, getattr(iot.exceptions, code)), raised.value
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert fired, "the fault was never reached"
    if reached == "the act itself":
        assert len(fired) == 1, "cancel and delete are never resent blindly"
    assert world.status(m) == state_for(operation)


@both
@pytest.mark.parametrize("fact", ["DescribeJob", "ListTagsForResource"])
def test_a_fact_that_cannot_be_read_is_never_treated_as_absent(operation, fact, world, operator, through_faults):
    m = world.execution(state_for(operation), tags=[{"Key": "jobwarden:hold", "Value": "yes"}])
    iot = operator.boto3()
    with through_faults.injected(
        {"service": "iot", "operation": fact, "error": {"code": "InternalFailureException", "status": 500}}
    ):
        with pytest.raises(iot.exceptions.ServiceUnavailableException):
            call(iot, operation, m)
        assert through_faults.fired(), "the fault was never reached"
    assert world.status(m) == state_for(operation)


def test_a_lost_answer_to_a_cancel_is_looked_up_and_not_resent(world, operator, through_faults):
    m = world.execution()
    rule = {"service": "iot", "operation": "CancelJobExecution", "response": {"abort_frac": 0.0}, "times": 1}
    with through_faults.injected(rule):
        operator.boto3().cancel_job_execution(**m.cancel)
        assert len(through_faults.fired()) == 1
    assert world.status(m) == "CANCELED"
    assert world.describe(m)["versionNumber"] == 2, "cancelled once"


@both
def test_a_refusal_is_access_denied_with_the_policy_and_its_reason(operation, world, operator):
    m = world.execution(state_for(operation), tags=[{"Key": "jobwarden:hold", "Value": ""}])
    iot = operator.boto3()
    with pytest.raises(iot.exceptions.ClientError) as raised:
        call(iot, operation, m)
    error = raised.value.response
    assert error["Error"]["Code"] == "AccessDeniedException"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert "policy `held-jobs-are-untouchable`: the job is tagged jobwarden:hold" in error["Error"]["Message"]
    assert world.status(m) == state_for(operation)


# The same with the AWS CLI, once for each kind of answer.


def test_the_cli_cancels_and_deletes(world, operator):
    m = world.execution()
    ran = operator.cli("cancel-job-execution", "--thing-name", m.thing, "--job-id", m.job, "--expected-version", "1")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert world.status(m) == "CANCELED"
    ran = operator.cli("delete-job-execution", "--thing-name", m.thing, "--job-id", m.job, "--execution-number", "1")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert world.status(m) is None


def cli_arguments(operation: str, thing: str, job: str) -> list[str]:
    if operation == "cancel":
        return ["cancel-job-execution", "--thing-name", thing, "--job-id", job]
    return ["delete-job-execution", "--thing-name", thing, "--job-id", job, "--execution-number", "1"]


def check_cli(ran, operation: str, name: str) -> None:
    assert ran.returncode in (254, 255)
    assert f"An error occurred ({name}) when calling the {ACTS[operation]} operation" in ran.stderr


@pytest.mark.parametrize(
    ("operation", "state", "arguments", "name"),
    [
        ("cancel", "QUEUED", ["--expected-version", "9"], "VersionConflictException"),
        ("cancel", "SUCCEEDED", [], "InvalidStateTransitionException"),
        ("delete", "IN_PROGRESS", [], "InvalidStateTransitionException"),
        ("cancel", "IN_PROGRESS", ["--force"], "AccessDeniedException"),
        ("delete", "QUEUED", ["--force"], "AccessDeniedException"),
        ("cancel", "QUEUED", ["--expected-version", "0"], "InvalidRequestException"),
        ("delete", "SUCCEEDED", ["--namespace-id", "a b"], "InvalidRequestException"),
    ],
)
def test_the_cli_names_the_exception(operation, state, arguments, name, world, operator):
    m = world.execution(state)
    check_cli(operator.cli(*cli_arguments(operation, m.thing, m.job), *arguments), operation, name)
    assert world.status(m) == state


@both
def test_the_cli_names_a_job_that_is_not_there(operation, world, operator):
    check_cli(operator.cli(*cli_arguments(operation, "t", "none")), operation, "ResourceNotFoundException")


@both
@pytest.mark.parametrize(("code", "status"), [("ThrottlingException", 400), ("ServiceUnavailableException", 503)])
def test_the_cli_names_a_fault_of_the_service(operation, code, status, world, operator, through_faults):
    m = world.execution(state_for(operation))
    rule = {"service": "iot", "operation": ACTS[operation], "error": {"code": code, "status": status}}
    with through_faults.injected(rule):
        check_cli(operator.cli(*cli_arguments(operation, m.thing, m.job)), operation, code)
    assert world.status(m) == state_for(operation)


def test_curl_gets_the_wire_form_of_an_error(world, operator):
    m = world.execution()
    ran = operator.curl(
        "--include",
        "--request",
        "PUT",
        f"{operator.api_url}/things/{m.thing}/jobs/{m.job}/cancel",
        "--data",
        '{"expectedVersion":4}',
    )
    head, _, body = ran.stdout.replace("\r", "").partition("\n\n")
    assert "x-amzn-errortype: versionconflictexception" in head.lower()
    assert body.splitlines()[-1] == "409"
    assert '"message"' in body
