"""Every parameter of both operations over the wire: the good ones work, the bad ones are a clear 400."""

from __future__ import annotations

import base64
import json

import pytest


@pytest.fixture(scope="module")
def m(world):
    """One execution no bad request may touch."""
    return world.execution()


def cancel_path(m, thing: str | None = None, job: str | None = None) -> str:
    return f"/things/{thing or m.thing}/jobs/{job or m.job}/cancel"


def delete_path(m, number: str = "1", thing: str | None = None, job: str | None = None) -> str:
    return f"/things/{thing or m.thing}/jobs/{job or m.job}/executionNumber/{number}"


def check_refused(answer, member: str, *words: str) -> None:
    assert answer.status == 400, (answer.status, answer.body)
    assert answer.error == "InvalidRequestException", answer.headers
    assert set(answer.json) == {"__type", "message"}
    for word in (member, *words):
        assert word.lower() in answer.message.lower(), f"{word!r} is not in {answer.message!r}"


@pytest.fixture(autouse=True)
def nothing_happened(world, m):
    yield
    assert world.describe(m)["versionNumber"] == 1
    assert world.status(m) == "QUEUED"


LONG = 9223372036854775807
BAD_BODIES = [
    # body, the member the message names, words about the limit
    ("not json", "body", ()),
    ("[]", "body", ()),
    ('"text"', "body", ()),
    ("null ", "body", ()),
    ("{", "body", ()),
    ('{"expectedVersion":1}{"expectedVersion":1}', "body", ()),
    ('{"expectedVersion":"1"}', "expectedVersion", ()),
    ('{"expectedVersion":1.5}', "expectedVersion", ()),
    ('{"expectedVersion":true}', "expectedVersion", ()),
    ('{"expectedVersion":0}', "expectedVersion", ("1",)),
    ('{"expectedVersion":-1}', "expectedVersion", ("1",)),
    (f'{{"expectedVersion":{LONG + 1}}}', "expectedVersion", ()),
    ('{"expectedVersion":1e400}', "expectedVersion", ("whole number",)),
    ('{"expectedVersion":' + "9" * 400 + "}", "expectedVersion", ("whole number",)),
    ('{"expectedVersion":1,"expectedVersion":2}', "expectedVersion", ()),
    ('{"expectedversion":1}', "expectedversion", ()),
    ('{"force":true}', "force", ()),
    ('{"dryRun":true}', "dryRun", ()),
    ('{"statusDetails":[]}', "statusDetails", ()),
    ('{"statusDetails":"x"}', "statusDetails", ()),
    ('{"statusDetails":{"k":1}}', "statusDetails", ()),
    ('{"statusDetails":{"k":null}}', "statusDetails", ()),
    ('{"statusDetails":{"k":{"a":"b"}}}', "statusDetails", ()),
    ('{"statusDetails":{"":"v"}}', "statusDetails", ("1",)),
    ('{"statusDetails":{"k":""}}', "statusDetails", ("1",)),
    ('{"statusDetails":{"a b":"v"}}', "statusDetails", ("[a-zA-Z0-9:_-]",)),
    (json.dumps({"statusDetails": {"k" * 129: "v"}}), "statusDetails", ("128",)),
    (json.dumps({"statusDetails": {"k": "v" * 1025}}), "statusDetails", ("1024",)),
    (json.dumps({"statusDetails": {"k": "a\nb"}}), "statusDetails", ()),
    (json.dumps({"statusDetails": {"k": "\u200b"}}), "statusDetails", ()),
    (json.dumps({"statusDetails": {"k": "\ue000"}}), "statusDetails", ()),
    (json.dumps({"statusDetails": {f"k{n}": "v" for n in range(11)}}), "statusDetails", ("10",)),
    ('{"statusDetails":{"k":"v","k":"w"}}', "`k`", ("repeated",)),
    ('{"statusDetails":' + '{"a":' * 2000 + "1" + "}" * 2000 + "}", "", ()),
]


@pytest.mark.parametrize(("body", "member", "words"), BAD_BODIES, ids=[body[:40] for body, _, _ in BAD_BODIES])
def test_a_bad_body_is_refused_by_name(body, member, words, m, operator):
    check_refused(operator.wire.send("PUT", cancel_path(m), body=body), member, *words)


def test_bytes_that_are_not_text_are_refused(m, operator):
    check_refused(operator.wire.send("PUT", cancel_path(m), body=b'{"expectedVersion":\xff}'), "body")


def test_an_oversized_body_is_refused(m, operator):
    body = json.dumps({"statusDetails": {"k": "v" * 300_000}})
    check_refused(operator.wire.send("PUT", cancel_path(m), body=body), "")


def test_a_base64_body_in_the_clear_is_refused(m, operator):
    check_refused(operator.wire.send("PUT", cancel_path(m), body=base64.b64encode(b'{"expectedVersion":9}')), "body")


def test_a_body_the_gateway_encodes_is_decoded(m, world, operator):
    """With binary media types an API hands bodies over in base64; the version in it must be seen."""
    event = api_event(m, base64.b64encode(b'{"expectedVersion":9}').decode(), encoded=True)
    answer = world.stack.invoke("CancelExecution", event)
    assert (answer["statusCode"], header(answer)) == (409, "VersionConflictException"), answer
    for broken in ("%%%", base64.b64encode(b"\xff\xfe").decode(), base64.b64encode(b"[1]").decode()):
        answer = world.stack.invoke("CancelExecution", api_event(m, broken, encoded=True))
        assert (answer["statusCode"], header(answer)) == (400, "InvalidRequestException"), answer
        assert "body" in json.loads(answer["body"])["message"]


def header(answer: dict) -> str | None:
    return next((v for k, v in (answer.get("headers") or {}).items() if k.lower() == "x-amzn-errortype"), None)


def api_event(m, body: str | None, encoded: bool = False) -> dict:
    arn = "arn:aws:sts::000000000000:assumed-role/jobwarden-operators/somebody"
    return {
        "resource": "/things/{thingName}/jobs/{jobId}/cancel",
        "path": cancel_path(m),
        "httpMethod": "PUT",
        "headers": {"content-type": "application/json"},
        "multiValueHeaders": {"content-type": ["application/json"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"thingName": m.thing, "jobId": m.job},
        "stageVariables": None,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "0a1b2c3d",
            "httpMethod": "PUT",
            "identity": {"accountId": "000000000000", "userArn": arn, "sourceIp": "127.0.0.1"},
            "path": "/v1" + cancel_path(m),
            "requestId": "00000000-0000-0000-0000-000000000001",
            "requestTimeEpoch": 1700000000000,
            "resourcePath": "/things/{thingName}/jobs/{jobId}/cancel",
            "stage": "v1",
        },
        "body": body,
        "isBase64Encoded": encoded,
    }


BAD_QUERIES = [
    ("force=yes", "force"),
    ("force=TRUE", "force"),
    ("force=", "force"),
    ("force=1", "force"),
    ("force=true&force=true", "force"),
    ("force=true&force=false", "force"),
    ("Force=true", "Force"),
    ("dryRun=maybe", "dryRun"),
    ("dryrun=true", "dryrun"),
    ("dryRun=true&dryRun=false", "dryRun"),
    ("expectedVersion=1", "expectedVersion"),
    ("unknown=1", "unknown"),
    (f"{'x' * 3000}=1", ""),
]


@pytest.mark.parametrize(("query", "member"), [*BAD_QUERIES, ("namespaceId=n", "namespaceId")], ids=lambda v: v[:30])
def test_a_bad_query_of_a_cancel_is_refused_by_name(query, member, m, force):
    check_refused(force.wire.send("PUT", cancel_path(m), query), member)


@pytest.mark.parametrize(
    ("query", "member"),
    [
        *BAD_QUERIES,
        ("namespaceId=", "namespaceId"),
        ("namespaceId=a.b", "namespaceId"),
        ("namespaceId=a%20b", "namespaceId"),
        ("namespaceId=a&namespaceId=b", "namespaceId"),
        ("executionNumber=1", "executionNumber"),
    ],
    ids=lambda v: v[:30],
)
def test_a_bad_query_of_a_delete_is_refused_by_name(query, member, m, force):
    check_refused(force.wire.send("DELETE", delete_path(m), query), member)


@pytest.mark.parametrize("number", ["0", "-1", "1.0", "one", "%20", "1%20", "+1", "0x1", str(LONG + 1), "9" * 200])
def test_a_bad_execution_number_is_refused_by_name(number, m, operator):
    check_refused(operator.wire.send("DELETE", delete_path(m, number)), "executionNumber")


@pytest.mark.parametrize(
    ("thing", "words"),
    [("a%20b", ("[a-zA-Z0-9:_-]",)), ("a%2Fb", ()), ("%C3%A9", ()), ("a.b", ()), ("t" * 129, ("128",))],
)
def test_a_bad_thing_name_is_refused_by_name(thing, words, m, operator):
    answers = [
        operator.wire.send("PUT", cancel_path(m, thing=thing)),
        operator.wire.send("DELETE", delete_path(m, thing=thing)),
    ]
    for answer in answers:
        if thing == "a%2Fb" and answer.status in (403, 404) and answer.error != "InvalidRequestException":
            continue  # The gateway may read an escaped slash as a slash: then there is no such route.
        check_refused(answer, "thingName", *words)


@pytest.mark.parametrize(
    ("job", "words"), [("a%3Ab", ("[a-zA-Z0-9_-]",)), ("a.b", ()), ("a%20b", ()), ("j" * 65, ("64",))]
)
def test_a_bad_job_id_is_refused_by_name(job, words, m, operator):
    check_refused(operator.wire.send("PUT", cancel_path(m, job=job)), "jobId", *words)
    check_refused(operator.wire.send("DELETE", delete_path(m, job=job)), "jobId", *words)


@pytest.mark.parametrize("body", ["{}", '{"force":true}', "x"])
def test_a_delete_takes_no_body(body, m, operator):
    """Except an empty object, which some clients send where there is nothing to say."""
    answer = operator.wire.send("DELETE", delete_path(m), "dryRun=true", body=body)
    if body == "{}" and answer.error == "InvalidStateTransitionException":
        return
    check_refused(answer, "body")


# What is right at its limits works.


def test_limits_themselves_are_allowed(world, operator):
    thing = ":".join(["t" * 63, "_-" * 32])
    assert len(thing) == 128
    m = world.execution(thing=thing)
    details = {f"k{n}" + "k" * 126: "v" * 1024 for n in range(9)} | {"a:b_c-D9": "prêt, ok ✓"}
    operator.boto3().cancel_job_execution(**m.cancel, expectedVersion=1, statusDetails=details)
    after = world.describe(m)
    assert after["status"] == "CANCELED"
    assert after["statusDetails"]["detailsMap"] == details


def test_a_thing_name_with_colons_reaches_the_thing(world, operator):
    m = world.execution("SUCCEEDED", thing="site:7:pump")
    operator.boto3().delete_job_execution(**m.delete)
    assert world.status(m) is None


def test_force_false_is_no_force(world, operator):
    m = world.execution()
    operator.boto3().cancel_job_execution(**m.cancel, force=False)
    assert world.status(m) == "CANCELED"


def test_a_huge_but_legal_version_is_a_conflict(m, operator):
    iot = operator.boto3()
    with pytest.raises(iot.exceptions.VersionConflictException):
        iot.cancel_job_execution(**m.cancel, expectedVersion=LONG)


def test_a_huge_but_legal_execution_number_is_not_found(m, operator):
    iot = operator.boto3()
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.delete_job_execution(**m.cancel, executionNumber=LONG)


def test_an_empty_body_and_an_empty_object_say_the_same(world, operator):
    for body in (None, "", "{}"):
        m = world.execution()
        answer = operator.wire.send("PUT", cancel_path(m), body=body)
        assert answer.status == 200, answer
        assert world.status(m) == "CANCELED"


def test_the_namespace_is_passed_on_where_the_policy_allows_it(world, operator):
    """A delete that names a namespace of a job that has none goes through; the parameter is legal."""
    m = world.execution("SUCCEEDED")
    operator.boto3().delete_job_execution(**m.delete, namespaceId="customer_managed-1")
    assert world.status(m) is None


# Sweeps have members of their own.


@pytest.mark.parametrize(
    ("body", "member"),
    [
        (None, "operation"),
        ("", "operation"),
        ("x", "body"),
        ("{}", "operation"),
        ('{"operation":"delete-everything"}', "operation"),
        ('{"operation":null}', "operation"),
        ('{"operation":"delete-expired","dryRun":"true"}', "dryRun"),
        ('{"operation":"delete-expired","dryrun":true}', "dryrun"),
        ('{"operation":"delete-expired","releasePlan":""}', "releasePlan"),
        ('{"operation":"delete-expired","releasePlan":7}', "releasePlan"),
        ('{"operation":"delete-expired","operation":"cancel-stale"}', "operation"),
    ],
)
def test_a_bad_sweep_is_refused_by_name(body, member, operator):
    check_refused(operator.wire.send("POST", "/sweeps", body=body), member)


@pytest.mark.parametrize(
    ("query", "member"),
    [
        ("operation=x", "operation"),
        ("maxResults=0", "maxResults"),
        ("maxResults=x", "maxResults"),
        ("maxResults=1000000", "maxResults"),
        ("nextToken=%00", "nextToken"),
        ("unknown=1", "unknown"),
        ("operation=delete-expired&operation=cancel-stale", "operation"),
    ],
)
def test_a_bad_question_about_sweeps_is_refused_by_name(query, member, operator):
    check_refused(operator.wire.send("GET", "/sweeps", query), member)


@pytest.mark.parametrize("path", ["/sweeps/no-such-sweep", "/sweeps/no-such-sweep/report", "/sweeps/..%2Farchive"])
def test_an_unknown_sweep_is_not_found_or_refused(path, operator):
    answer = operator.wire.send("GET", path)
    assert answer.status in (400, 403, 404), answer
    assert answer.error in (
        "ResourceNotFoundException",
        "InvalidRequestException",
        "MissingAuthenticationTokenException",
        None,
    )
