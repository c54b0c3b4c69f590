"""Who may do what: identity comes from the signature alone, and what no policy permits is refused."""

from __future__ import annotations

import pytest
from fleet import identity
from stack import CALLERS, USERS


def test_unsigned_requests_are_refused_on_every_route(world, operator):
    m = world.execution()
    routes = [
        ("PUT", f"/things/{m.thing}/jobs/{m.job}/cancel"),
        ("DELETE", f"/things/{m.thing}/jobs/{m.job}/executionNumber/1"),
        ("POST", "/sweeps"),
        ("POST", "/decisions"),
        ("GET", "/sweeps"),
        ("GET", "/sweeps/some-sweep"),
        ("GET", "/sweeps/some-sweep/report"),
    ]
    for method, path in routes:
        answer = operator.wire.send(method, path, sign=False)
        assert answer.status == 403, (method, path, answer)
        assert answer.error == "MissingAuthenticationTokenException", (method, path, answer.headers)
    assert world.status(m) == "QUEUED"


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-user-arn": "arn:aws:sts::000000000000:assumed-role/jobwarden-force/x"},
        {"x-amzn-iam-user-arn": "arn:aws:sts::000000000000:assumed-role/jobwarden-force/x"},
        {"x-jobwarden-groups": "jobwarden-force", "x-forwarded-user": "jobwarden-force"},
    ],
)
def test_identity_never_comes_from_a_header(headers, world, nobody):
    m = world.execution()
    answer = nobody.wire.send("PUT", f"/things/{m.thing}/jobs/{m.job}/cancel", headers=headers)
    assert (answer.status, answer.error) == (403, "AccessDeniedException")
    assert world.status(m) == "QUEUED"


def test_each_caller_is_a_user_who_may_assume_its_one_role(world, principals):
    iam = world.stack.client("iam")
    assert sorted(user["UserName"] for user in iam.list_users()["Users"]) == sorted(USERS.values())
    for caller, user in USERS.items():
        sts = world.stack.client("sts", caller=user)
        for role in CALLERS.values():
            arn = iam.get_role(RoleName=role)["Role"]["Arn"]
            if role == CALLERS[caller]:
                sts.assume_role(RoleArn=arn, RoleSessionName="a-test")
            else:
                with pytest.raises(sts.exceptions.ClientError, match="AccessDenied"):
                    sts.assume_role(RoleArn=arn, RoleSessionName="a-test")
        # Without the role the user is nobody to the API.
        m = world.execution()
        answer = principals(user).wire.send("PUT", f"/things/{m.thing}/jobs/{m.job}/cancel")
        assert answer.status == 403, (user, answer)
        assert world.status(m) == "QUEUED"


def refused(call, **arguments) -> str:
    """The message of the refusal that a call must end in."""
    iot = call.__self__
    with pytest.raises(iot.exceptions.ClientError) as raised:
        call(**arguments)
    error = raised.value.response
    assert error["Error"]["Code"] == "AccessDeniedException", error
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 403
    return error["Error"]["Message"]


def test_somebody_in_no_group_may_do_nothing(world, nobody):
    iot = nobody.boto3()
    queued, done = world.executions(["QUEUED", "SUCCEEDED"])
    assert "no policy permits" in refused(iot.cancel_job_execution, **queued.cancel)
    assert "no policy permits" in refused(iot.delete_job_execution, **done.delete)
    assert (world.status(queued), world.status(done)) == ("QUEUED", "SUCCEEDED")
    for method, path, body in [
        ("POST", "/sweeps", {"operation": "delete-expired", "dryRun": True}),
        ("GET", "/sweeps", None),
    ]:
        answer = nobody.wire.send(method, path, body=body)
        assert (answer.status, answer.error) == (403, "AccessDeniedException"), answer


def test_an_operator_may_not_force(world, operator):
    iot = operator.boto3()
    running, done = world.executions(["IN_PROGRESS", "SUCCEEDED"])
    for message in (
        refused(iot.cancel_job_execution, **running.cancel, force=True),
        refused(iot.delete_job_execution, **running.delete, force=True),
        refused(iot.delete_job_execution, **done.delete, force=True),
    ):
        assert "force-needs-the-force-group" in message
        assert "only members of the force group may use force" in message
    assert (world.status(running), world.status(done)) == ("IN_PROGRESS", "SUCCEEDED")


def test_a_member_of_the_force_group_may_force(world, force):
    iot = force.boto3()
    one, other = world.executions(["IN_PROGRESS", "IN_PROGRESS"])
    iot.cancel_job_execution(**one.cancel, force=True)
    assert world.status(one) == "CANCELED"
    iot.delete_job_execution(**other.delete, force=True)
    assert world.status(other) is None
    record = next(r for r in world.archived("api") if identity(r) == (other.job, other.thing, 1))
    assert record["execution"]["status"] == "CANCELED"


@pytest.mark.parametrize(
    ("job", "policy"),
    [
        ({"tags": [{"Key": "jobwarden:hold", "Value": "case 7"}]}, "held-jobs-are-untouchable"),
        ({"namespaceId": "aws-gg-deployments"}, "namespaced-jobs-belong-to-another-service"),
    ],
)
def test_nobody_touches_protected_jobs(job, policy, world, force):
    iot = force.boto3()
    queued, done = world.executions(["QUEUED", "SUCCEEDED"], **job)
    for message in (
        refused(iot.cancel_job_execution, **queued.cancel),
        refused(iot.cancel_job_execution, **queued.cancel, force=True),
        refused(iot.delete_job_execution, **done.delete),
        refused(iot.delete_job_execution, **done.delete, force=True),
    ):
        assert policy in message
    assert (world.status(queued), world.status(done)) == ("QUEUED", "SUCCEEDED")


def test_a_forced_cancel_is_refused_where_another_execution_may_come_next(world, force):
    iot = force.boto3()
    retries = {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 2}]}
    retried = world.execution("IN_PROGRESS", jobExecutionsRetryConfig=retries)
    continuous = world.execution("IN_PROGRESS", targetSelection="CONTINUOUS")
    for m in (retried, continuous):
        refused(iot.cancel_job_execution, **m.cancel, force=True)
        refused(iot.delete_job_execution, **m.delete, force=True)
        assert world.status(m) == "IN_PROGRESS"


def test_a_dry_run_decides_and_acts_on_nothing(world, operator, force):
    queued, running, done = world.executions(["QUEUED", "IN_PROGRESS", "SUCCEEDED"])
    before = [world.describe(m) for m in (queued, running, done)]
    archives = world.objects("archive/").keys()
    operator.boto3(dry_run=True).cancel_job_execution(**queued.cancel, expectedVersion=1)
    operator.boto3(dry_run=True).delete_job_execution(**done.delete)
    force.boto3(dry_run=True).cancel_job_execution(**running.cancel, force=True)
    force.boto3(dry_run=True).delete_job_execution(**running.delete, force=True)
    answer = operator.wire.send("PUT", f"/things/{queued.thing}/jobs/{queued.job}/cancel", "dryRun=true")
    assert answer.json["dryRun"] is True
    assert answer.json["decision"]["outcome"] == "allow"
    assert answer.json["execution"]["status"] == "QUEUED"
    assert [world.describe(m) for m in (queued, running, done)] == before
    assert world.objects("archive/").keys() == archives


def test_a_dry_run_refuses_what_the_real_call_would_refuse(world, operator, nobody):
    running = world.execution("IN_PROGRESS")
    assert "force" in refused(operator.boto3(dry_run=True).cancel_job_execution, **running.cancel, force=True)
    refused(nobody.boto3(dry_run=True).cancel_job_execution, **running.cancel)
    iot = operator.boto3(dry_run=True)
    with pytest.raises(iot.exceptions.InvalidStateTransitionException):
        iot.cancel_job_execution(**running.cancel)
    with pytest.raises(iot.exceptions.VersionConflictException):
        iot.cancel_job_execution(**world.execution().cancel, expectedVersion=4)
