"""Faults planted in the template, each of which has to be found: a check that cannot fail checks nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import judges
import pytest
import rendering
import rights

Plant = Callable[[dict[str, Any]], object]


def properties(resources: dict[str, Any], name: str) -> dict[str, Any]:
    return resources[name]["Properties"]


def allow(role: str, action: str, resource: object) -> Plant:
    """One more right for a role."""
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    return lambda r: properties(r, role)["Policies"].append({"PolicyName": "planted", "PolicyDocument": document})


def change(name: str, **values: object) -> Plant:
    return lambda r: properties(r, name).update(values)


def drop(name: str, member: str) -> Plant:
    return lambda r: properties(r, name).pop(member)


def route(resources: dict[str, Any], path: str, method: str) -> dict[str, Any]:
    return properties(resources, "Api")["Body"]["paths"][path][method]


def statements(resources: dict[str, Any], policy: str) -> list[Any]:
    return properties(resources, policy)["PolicyDocument"]["Statement"]


JOBS = {"Fn::Sub": "arn:${AWS::Partition}:iot:${AWS::Region}:${AWS::AccountId}:job/*"}
ANYBODY = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": {"Fn::Sub": "${Bucket.Arn}/*"}}

# A fault in a role, and what is said of it.
RIGHTS: dict[str, tuple[Plant, str]] = {
    "the deleting worker may cancel": (
        allow("DeleteExpiredRole", "iot:CancelJobExecution", JOBS),
        "never: DeleteExpiredRole may iot:CancelJobExecution",
    ),
    "the cancelling worker may delete": (
        allow("CancelStaleRole", "iot:DeleteJobExecution", JOBS),
        "never: CancelStaleRole may iot:DeleteJobExecution",
    ),
    "the cancelling worker may do all that begins with Delete": (
        allow("CancelStaleRole", "iot:Del*", JOBS),
        "never: CancelStaleRole may iot:Del*",
    ),
    "a role may do everything": (allow("ReadDecisionRole", "*", "*"), "never: ReadDecisionRole may *"),
    "a reader may write": (
        allow("ReadSweepsRole", "s3:PutObject", {"Fn::Sub": "${Bucket.Arn}/sweeps/*"}),
        "never: ReadSweepsRole may s3:PutObject",
    ),
    "who starts sweeps reaches AWS IoT": (
        allow("StartSweepRole", "iot:ListJobs", "*"),
        "never: StartSweepRole may iot:ListJobs",
    ),
    "a function may write into any bucket": (
        allow("DeleteExpiredRole", "s3:PutObject", "*"),
        "no-unbounded-rights: DeleteExpiredRole may s3:PutObject on everything",
    ),
    "a worker may write elsewhere in the bucket": (
        allow("CancelStaleRole", "s3:PutObject", {"Fn::Sub": "${Bucket.Arn}/policies/*"}),
        "roles-do-their-own-work: CancelStaleRole may s3:PutObject on ['Bucket/policies/*']",
    ),
    "a worker takes the other's messages": (
        allow("CancelStaleRole", "sqs:ReceiveMessage", {"Fn::GetAtt": ["DeleteExpiredQueue", "Arn"]}),
        "roles-do-their-own-work: CancelStaleRole may sqs:ReceiveMessage on ['DeleteExpiredQueue']",
    ),
    "everything but one action": (
        lambda r: properties(r, "ReadDecisionRole")["Policies"][0]["PolicyDocument"]["Statement"].append(
            {"Effect": "Allow", "NotAction": "iot:DeleteJob", "Resource": "*"}
        ),
        "roles-do-their-own-work: ReadDecisionRole may Allow ['NotAction'] on ['*']",
    ),
    "a policy of AWS's comes along": (
        change("ReadSweepsRole", ManagedPolicyArns=["arn:aws:iam::aws:policy/AmazonS3FullAccess"]),
        "managed-policies: ReadSweepsRole has ['iam policy/AmazonS3FullAccess']",
    ),
    "anybody may assume a role": (
        lambda r: properties(r, "CancelStaleRole")["AssumeRolePolicyDocument"]["Statement"].append(
            {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}
        ),
        "roles-are-assumed-by: CancelStaleRole by ['*', 'lambda.amazonaws.com']",
    ),
    "a role that nobody knows": (
        lambda r: r.update(SpareRole=copy.deepcopy(r["ReadSweepsRole"])),
        "roles-are-known: SpareRole is not in roles.toml",
    ),
    "rights beside the roles": (
        lambda r: r.update(Extra={"Type": "AWS::IAM::ManagedPolicy", "Properties": {}}),
        "rights-are-in-roles: Extra is a AWS::IAM::ManagedPolicy",
    ),
    "a right is missing": (
        lambda r: properties(r, "DeleteExpiredRole")["Policies"].pop(0),
        "roles-can-do-their-work: DeleteExpiredRole may not logs:PutLogEvents on ['DeleteExpiredLogGroup']",
    ),
}

# A fault in what is around the roles, and the rule of rules.guard that breaks.
RULES: dict[str, tuple[Plant, str]] = {
    "a route that nobody has to sign": (
        lambda r: route(r, "/sweeps", "post").pop("security"),
        "every_route_is_signed: Api",
    ),
    "a route with no scheme in its list": (
        lambda r: route(r, "/sweeps", "get").update(security=[]),
        "every_route_is_signed: Api",
    ),
    "a route with another scheme": (
        lambda r: route(r, "/decisions", "post").update(security=[{"api_key": []}]),
        "every_route_is_signed: Api",
    ),
    "a route that may be signed or not": (
        lambda r: route(r, "/decisions", "post").update(security=[{"AWS_IAM": []}, {}]),
        "every_route_is_signed: Api",
    ),
    "a scheme that only has the name": (
        lambda r: properties(r, "Api")["Body"]["components"]["securitySchemes"]["AWS_IAM"].pop(
            "x-amazon-apigateway-authtype"
        ),
        "every_route_is_signed: Api",
    ),
    "a function with an address of its own": (
        lambda r: r.update(Door={"Type": "AWS::Lambda::Url", "Properties": {"AuthType": "NONE"}}),
        "no_way_past_the_api: Door",
    ),
    "anybody may invoke a function": (
        change("StartSweepStartPermissionv1", Principal="*"),
        "no_way_past_the_api: StartSweepStartPermissionv1",
    ),
    "any API may invoke a function": (
        drop("StartSweepStartPermissionv1", "SourceArn"),
        "no_way_past_the_api: StartSweepStartPermissionv1",
    ),
    "requests and answers in the API's log": (
        lambda r: properties(r, "Apiv1Stage")["MethodSettings"][0].update(DataTraceEnabled=True),
        "the_stage_limits_and_logs: Apiv1Stage",
    ),
    "a log group that is kept for ever": (
        drop("DeleteExpiredLogGroup", "RetentionInDays"),
        "every_log_group_has_a_retention: DeleteExpiredLogGroup",
    ),
    "a function that logs somewhere": (
        drop("CancelStale", "LoggingConfig"),
        "every_function_logs_into_the_stacks_groups: CancelStale",
    ),
    "a public bucket": (drop("Bucket", "PublicAccessBlockConfiguration"), "buckets_are_closed: Bucket"),
    "a bucket with one door ajar": (
        lambda r: properties(r, "Bucket")["PublicAccessBlockConfiguration"].update(BlockPublicPolicy=False),
        "buckets_are_closed: Bucket",
    ),
    "a bucket in the clear": (drop("Bucket", "BucketEncryption"), "buckets_are_closed: Bucket"),
    "a bucket without versions": (drop("Bucket", "VersioningConfiguration"), "buckets_keep_what_they_hold: Bucket"),
    "a bucket that goes with the stack": (
        lambda r: r["Bucket"].update(DeletionPolicy="Delete"),
        "buckets_keep_what_they_hold: Bucket",
    ),
    "a bucket that is replaced": (
        lambda r: r["Bucket"].pop("UpdateReplacePolicy"),
        "buckets_keep_what_they_hold: Bucket",
    ),
    "a bucket that anybody may read": (
        lambda r: statements(r, "BucketPolicy").append(ANYBODY),
        "buckets_take_tls_only: BucketPolicy",
    ),
    "a bucket without TLS": (
        lambda r: statements(r, "BucketPolicy")[0].pop("Condition"),
        "buckets_take_tls_only: BucketPolicy",
    ),
    "a queue in the clear": (
        drop("CancelStaleQueue", "SqsManagedSseEnabled"),
        "queues_are_encrypted: CancelStaleQueue",
    ),
    "a queue to which anybody may send": (
        lambda r: statements(r, "QueuesPolicy").append({**ANYBODY, "Action": "sqs:SendMessage", "Resource": "*"}),
        "queues_take_tls_only: QueuesPolicy",
    ),
    "queues without TLS": (
        lambda r: statements(r, "QueuesPolicy")[0].pop("Condition"),
        "queues_take_tls_only: QueuesPolicy",
    ),
}

# What checkov finds, too.
CHECKOV: dict[str, tuple[Plant, str]] = {
    "log": (RULES["a log group that is kept for ever"][0], "CKV_AWS_66: DeleteExpiredLogGroup"),
    "bucket": (RULES["a public bucket"][0], "CKV_AWS_53: Bucket"),
    "door": (RULES["a function with an address of its own"][0], "CKV_AWS_258: Door"),
}


@pytest.mark.parametrize(("plant", "told"), RIGHTS.values(), ids=RIGHTS)
def test_a_role_with_more_or_less_than_its_work_is_found(template, plant, told):
    plant(template["Resources"])
    assert told in rights.findings(template, {})


def test_a_list_of_rights_that_lets_a_worker_do_the_others_work_is_found(template, monkeypatch):
    allow("DeleteExpiredRole", "iot:CancelJobExecution", JOBS)(template["Resources"])
    edited = copy.deepcopy(rights.EXPECTED)
    edited["roles"]["DeleteExpiredRole"]["may"]["iot:CancelJobExecution"] = ["iot job/*"]
    monkeypatch.setattr(rights, "EXPECTED", edited)
    assert rights.findings(template, {}) == ["never: DeleteExpiredRole may iot:CancelJobExecution"]


@pytest.mark.parametrize(("plant", "told"), RULES.values(), ids=RULES)
def test_a_route_log_bucket_or_queue_that_is_open_is_found(template, plant, told, program):
    deployed = rendering.rendered(template, {})
    plant(deployed["Resources"])
    assert judges.guard(program, deployed) == [told]


def test_every_rule_of_cfn_guard_is_broken_by_a_fault():
    rules = {line.split()[1] for line in judges.RULES.read_text().splitlines() if line.startswith("rule ")}
    assert {told.partition(":")[0] for _, told in RULES.values()} == rules


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What checkov says of the template, by default and with everything, and of each plant in it."""
    given = judges.renderings(rendering.translated())
    for name, (plant, _) in CHECKOV.items():
        given[name] = rendering.rendered(rendering.translated(), {})
        plant(given[name]["Resources"])
    return judges.checkov(tmp_path_factory.mktemp("checkov"), given)


def test_what_checkov_finds_is_accepted_by_name_with_a_reason(told):
    found = {*told["default"], *told["everything"]}
    assert [finding for finding in sorted(found) if judges.accepted(finding) is None] == []


def test_what_is_accepted_is_still_found(told):
    used = {judges.accepted(finding) for name in ("default", "everything") for finding in told[name]}
    assert [entry["check"] for number, entry in enumerate(judges.ACCEPTED) if number not in used] == []
    assert all(len(entry["reason"]) > 20 for entry in judges.ACCEPTED)


@pytest.mark.parametrize("name", CHECKOV)
def test_checkov_finds_what_is_planted(told, name):
    assert CHECKOV[name][1] in {finding.partition(" (")[0] for finding in told[name]}
