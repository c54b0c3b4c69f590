"""The recipes of clients/README.md: what boto3, the AWS CLI and curl really put on the wire."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from conftest import Principal
from listener import Request, listening

KEYS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI", "session-token")


@pytest.fixture
def listener():
    """A caller of something that answers everything with a version conflict, and what that was sent."""
    error = {"x-amzn-ErrorType": "VersionConflictException"}
    with listening(409, error, b'{"message":"it moved on"}') as (address, seen):
        yield Principal("caller", f"http://{address}/prod", "eu-west-1", KEYS), seen


def check_signature(caller: Principal, request: Request) -> None:
    """The signature is the one that AWS computes, for execute-api in the API's Region."""
    authorization = request.headers["authorization"]
    assert "/eu-west-1/execute-api/aws4_request" in authorization
    signed = authorization.split("SignedHeaders=")[1].split(",")[0].split(";")

    class AsSent(SigV4Auth):
        def headers_to_sign(self, _):
            headers = HTTPHeaders()
            for name in signed:
                headers[name] = request.headers[name]
            return headers

    replayed = AWSRequest(
        request.method,
        caller.api_url.removesuffix("/prod") + request.path,
        {k: request.headers[k] for k in signed},
        request.body,
    )
    replayed.context["timestamp"] = request.headers["x-amz-date"]
    signer = AsSent(KEYS, "execute-api", "eu-west-1")
    wanted = signer.signature(signer.string_to_sign(replayed, signer.canonical_request(replayed)), replayed)
    assert authorization.endswith(f"Signature={wanted}")
    assert request.headers["x-amz-security-token"] == KEYS.token


def test_boto3_signs_for_execute_api_below_the_stage(listener):
    caller, seen = listener
    iot = caller.boto3()
    with pytest.raises(iot.exceptions.VersionConflictException, match="it moved on"):
        iot.cancel_job_execution(
            thingName="site:7:pump", jobId="j", force=True, expectedVersion=3, statusDetails={"by": "me"}
        )
    assert (seen[0].method, seen[0].path) == ("PUT", "/prod/things/site%3A7%3Apump/jobs/j/cancel?force=true")
    assert json.loads(seen[0].body) == {"expectedVersion": 3, "statusDetails": {"by": "me"}}
    check_signature(caller, seen[0])


def test_boto3_asks_for_a_dry_run_with_every_request_of_such_a_client(listener):
    caller, seen = listener
    iot = caller.boto3(dry_run=True)
    for arguments in ({"force": True, "namespaceId": "n"}, {}):
        with pytest.raises(iot.exceptions.ClientError):
            iot.delete_job_execution(thingName="t", jobId="j", executionNumber=1, **arguments)
    start = "/prod/things/t/jobs/j/executionNumber/1?"
    assert [r.path for r in seen] == [f"{start}force=true&namespaceId=n&dryRun=true", f"{start}dryRun=true"]
    for request in seen:
        check_signature(caller, request)


def test_boto3_leaves_other_clients_alone(listener):
    caller, seen = listener
    caller.boto3()
    import boto3

    other = boto3.client(
        "iot", region_name="eu-west-1", endpoint_url=caller.api_url, aws_access_key_id="a", aws_secret_access_key="b"
    )
    with pytest.raises(other.exceptions.ClientError):
        other.describe_job(jobId="j")
    assert "/eu-west-1/iot/aws4_request" in seen[0].headers["authorization"]


def test_boto3_needs_no_handler_in_a_process_of_its_own(listener):
    caller, seen = listener
    script = "import boto3; boto3.client('iot').cancel_job_execution(thingName='t', jobId='j')"
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={**caller.environment, **caller.recipe},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "VersionConflictException" in ran.stderr
    assert seen[0].path == "/prod/things/t/jobs/j/cancel"
    check_signature(caller, seen[0])


def test_the_cli_signs_for_execute_api_below_the_stage(listener):
    caller, seen = listener
    ran = caller.cli(
        "cancel-job-execution", "--thing-name", "site:7:pump", "--job-id", "j", "--force", "--expected-version", "3"
    )
    assert ran.returncode != 0
    assert "(VersionConflictException) when calling the CancelJobExecution operation: it moved on" in ran.stderr
    assert seen[0].path == "/prod/things/site%3A7%3Apump/jobs/j/cancel?force=true"
    check_signature(caller, seen[0])
    caller.cli("delete-job-execution", "--thing-name", "t", "--job-id", "j", "--execution-number", "7", "--no-force")
    assert (seen[1].method, seen[1].path) == ("DELETE", "/prod/things/t/jobs/j/executionNumber/7?force=false")
    check_signature(caller, seen[1])


def test_curl_signs_for_execute_api(listener):
    caller, seen = listener
    url = f"{caller.api_url}/things/t/jobs/j/cancel?dryRun=true&force=true"
    ran = caller.curl("--request", "PUT", url, "--data", '{"expectedVersion":2}')
    assert ran.stdout.splitlines() == ['{"message":"it moved on"}', "409"]
    assert seen[0].body == b'{"expectedVersion":2}'
    check_signature(caller, seen[0])
