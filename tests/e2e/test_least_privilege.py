"""Each function's role, worn by the test: what it must not be able to do, it cannot."""

from __future__ import annotations

import json

import boto3
import pytest
from botocore.exceptions import ClientError

FUNCTIONS = (
    *("CancelExecution", "DeleteExecution", "StartSweep", "DeleteExpired", "CancelStale", "ReadSweeps"),
    *("ReadDecision", "ValidateAccessPolicy", "ValidateRetentionRules"),
)


@pytest.fixture(scope="module")
def wear(world):
    """Clients with the role of a function; for the length of this module the account's root may assume it."""
    iam, sts = world.stack.client("iam"), world.stack.client("sts")
    account = sts.get_caller_identity()["Account"]
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"},
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
        ],
    }
    before, sessions = {}, {}
    for function in FUNCTIONS:
        configuration = world.functions.get_function_configuration(FunctionName=world.stack.function_name(function))
        arn = configuration["Role"]
        role = arn.rpartition("/")[2]
        before[role] = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))
        keys = sts.assume_role(RoleArn=arn, RoleSessionName="a-test")["Credentials"]
        sessions[function] = boto3.Session(
            keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], world.stack.region
        )
    yield lambda function, service: sessions[function].client(service, endpoint_url=world.stack.endpoint)
    for role, document in before.items():
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(document))


def denied(call, **arguments) -> bool:
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")
    return False


@pytest.mark.parametrize("function", FUNCTIONS)
def test_cancelling_and_deleting_belong_to_those_who_need_them(function, world, wear):
    iot = wear(function, "iot")
    queued, done = world.executions(["QUEUED", "SUCCEEDED"])
    may_cancel = function in ("CancelExecution", "DeleteExecution", "CancelStale")
    may_delete = function in ("DeleteExecution", "DeleteExpired")
    assert denied(iot.cancel_job_execution, **queued.cancel) is not may_cancel
    assert denied(iot.delete_job_execution, **done.delete) is not may_delete
    assert world.status(queued) == ("CANCELED" if may_cancel else "QUEUED")
    assert world.status(done) == (None if may_delete else "SUCCEEDED")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_function_may_do_more_to_aws_iot(function, world, wear):
    iot = wear(function, "iot")
    m = world.execution()
    assert denied(iot.delete_job, jobId=m.job, force=True)
    assert denied(iot.cancel_job, jobId=m.job, force=True)
    assert denied(iot.delete_thing, thingName=m.thing)
    assert denied(iot.update_job, jobId=m.job, description="x")
    assert denied(iot.create_thing, thingName="another")
    assert world.status(m) == "QUEUED"


def test_whole_jobs_are_deleted_where_the_deployment_allows_it(world, wear):
    # Without force, as the sweep asks: this job is active, so AWS refuses who may.
    m = world.execution()
    refused = {function for function in FUNCTIONS if denied(wear(function, "iot").delete_job, jobId=m.job)}
    assert refused == set(FUNCTIONS)
    world.stack.deploy({"RetireJobs": "true"})
    try:
        refused = {function for function in FUNCTIONS if denied(wear(function, "iot").delete_job, jobId=m.job)}
        assert refused == set(FUNCTIONS) - {"DeleteExpired"}
        assert not denied(wear("DeleteExpired", "iot").get_job_document, jobId=m.job)
    finally:
        world.stack.deploy({"RetireJobs": "false"})
    assert world.status(m) == "QUEUED"


@pytest.mark.parametrize("function", ["StartSweep", "ReadSweeps", "ValidateAccessPolicy"])
def test_who_has_nothing_to_do_with_jobs_sees_none(function, world, wear):
    iot = wear(function, "iot")
    m = world.execution()
    assert denied(iot.list_jobs)
    assert denied(iot.describe_job_execution, **m.delete)


def test_what_a_thing_has_is_listed_only_where_it_counts(world, wear):
    thing = world.execution().thing
    listers = {f for f in FUNCTIONS if not denied(wear(f, "iot").list_job_executions_for_thing, thingName=thing)}
    assert listers == {"CancelExecution", "DeleteExecution", "ReadDecision", "CancelStale", "DeleteExpired"}


def test_the_queues_are_used_only_where_the_work_is(world, wear):
    attempts = {"send": "send_message", "take": "receive_message", "give back": "change_message_visibility"}

    def may(function: str, queue: str, what: str) -> bool:
        sqs = wear(function, "sqs")
        # Nothing is really sent, taken or given back: the arguments are wrong where the right is there.
        arguments = {
            "send": {"MessageBody": "x"},
            "take": {"MaxNumberOfMessages": 99},
            "give back": {"ReceiptHandle": "none", "VisibilityTimeout": 0},
        }[what]
        return not denied(getattr(sqs, attempts[what]), QueueUrl=world.stack.outputs[queue], **arguments)

    for queue, worker in (("DeleteExpiredQueueUrl", "DeleteExpired"), ("CancelStaleQueueUrl", "CancelStale")):
        assert {f for f in FUNCTIONS if may(f, queue, "send")} == {"StartSweep", worker}
        assert {f for f in FUNCTIONS if may(f, queue, "take")} == {worker}
        assert {f for f in FUNCTIONS if may(f, queue, "give back")} == {worker}


def test_the_bucket_is_written_only_where_the_work_is(world, wear):
    bucket = world.bucket

    def may_write(function: str, key: str) -> bool:
        return not denied(wear(function, "s3").put_object, Bucket=bucket, Key=key, Body=b"{}")

    try:
        assert {f for f in FUNCTIONS if may_write(f, "archive/a-test.jsonl")} == {
            "DeleteExecution",
            "DeleteExpired",
            "CancelStale",
        }
        assert {f for f in FUNCTIONS if may_write(f, "sweeps/a-test/state.json")} == {
            "StartSweep",
            "DeleteExpired",
            "CancelStale",
        }
        assert {f for f in FUNCTIONS if may_write(f, "outcomes/a-test.jsonl")} == {"DeleteExpired", "CancelStale"}
        assert not [f for f in FUNCTIONS if may_write(f, "elsewhere")]
    finally:
        for key in ("archive/a-test.jsonl", "outcomes/a-test.jsonl", "sweeps/a-test/state.json", "elsewhere"):
            world.s3.delete_object(Bucket=bucket, Key=key)


def deployed_documents(world, function: str) -> set[str]:
    """The configuration profiles whose deployed versions a function's role may read. The emulator lets everybody
    read them, so this is read from the role's policies."""
    iam = world.stack.client("iam")
    configuration = world.functions.get_function_configuration(FunctionName=world.stack.function_name(function))
    role = configuration["Role"].rpartition("/")[2]
    resources = []
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            if any(action.startswith("appconfig:") for action in actions):
                assert sorted(actions) == ["appconfig:GetLatestConfiguration", "appconfig:StartConfigurationSession"]
                given = statement["Resource"]
                resources += given if isinstance(given, list) else [given]
    prefix = f"application/{world.stack.outputs['PolicyApplicationId']}/environment/"
    prefix += f"{world.stack.outputs['PolicyEnvironmentId']}/configuration/"
    return {resource.partition(prefix)[2] for resource in resources}


def test_policies_and_rules_are_read_only_where_they_count(world, wear):
    """From AppConfig and from the bucket; no function may deploy or write them."""
    keys = {"AccessPolicy": "policies/access.cedar", "RetentionRules": "policies/retention.toml"}
    workers, validators = {"DeleteExpired", "CancelStale"}, {"ValidateAccessPolicy", "ValidateRetentionRules"}
    readers = {"AccessPolicy": set(FUNCTIONS) - validators, "RetentionRules": workers}
    for document, key in keys.items():
        version = world.s3.put_object(Bucket=world.bucket, Key=key, Body=b"x")["VersionId"]
        profile = world.stack.outputs[f"{document}ProfileId"]
        for function in FUNCTIONS:
            s3 = wear(function, "s3")
            reads = function in readers[document]
            assert denied(s3.get_object, Bucket=world.bucket, Key=key, VersionId=version) is not reads, function
            assert (profile in deployed_documents(world, function)) is reads, function
            assert denied(s3.put_object, Bucket=world.bucket, Key=key, Body=b"x"), function
            assert denied(
                wear(function, "appconfig").create_hosted_configuration_version,
                ApplicationId=world.stack.outputs["PolicyApplicationId"],
                ConfigurationProfileId=profile,
                Content=b"x",
                ContentType="text/plain",
            ), function
