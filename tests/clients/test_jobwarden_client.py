"""clients/jobwarden_client.py with boto3's own clients, against a server that remembers what it was sent."""

from __future__ import annotations

import contextlib
import threading
import urllib.parse

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError, NoCredentialsError, NoRegionError
from botocore.parsers import ResponseParserError
from jobwarden_client import Sweeps, sign_for_api_gateway
from listener import listening

PLAIN, DRY = False, True
SWEEP = "20261121T020000Z-delete-expired-cd4e754c"


@pytest.fixture
def session(monkeypatch):
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    return boto3.Session("AKIDEXAMPLE", "secret", region_name="eu-west-1")


@pytest.fixture
def client(session):
    """Makes a client of AWS IoT that tries each call `attempts` times."""

    def make(api_url, attempts=1, service="iot"):
        config = botocore.config.Config(retries={"total_max_attempts": attempts, "mode": "standard"})
        return session.client(service, endpoint_url=api_url, config=config)

    return make


@pytest.fixture
def refusing():
    """An API that answers everything with a conflict, and what it was sent."""
    with listening(409, {"x-amzn-ErrorType": "VersionConflictException"}, b'{"message":"it moved on"}') as api:
        yield f"http://{api[0]}/v1", api[1]


def cancel(iot, **more):
    with contextlib.suppress(ClientError):
        iot.cancel_job_execution(thingName="pump-7", jobId="j", **more)


def dry_run(request):
    """What a request says of `dryRun`."""
    return urllib.parse.parse_qs(urllib.parse.urlsplit(request.path).query).get("dryRun")


def check(request, mode):
    assert dry_run(request) == (["true"] if mode is DRY else None)
    assert "/eu-west-1/execute-api/aws4_request" in request.headers["authorization"]


@pytest.mark.parametrize(
    "modes", [(PLAIN, DRY), (DRY, PLAIN), (DRY, DRY), (PLAIN, PLAIN), (PLAIN, DRY, PLAIN), (DRY, PLAIN, DRY)]
)
def test_what_was_asked_last_holds_for_every_later_call(refusing, client, modes):
    api_url, seen = refusing
    iot = client(api_url)
    for mode in modes:
        assert sign_for_api_gateway(iot, dry_run=mode) is iot
        cancel(iot)
        cancel(iot, force=True)
        check(seen[-1], mode)
        check(seen[-2], mode)


def test_what_is_asked_of_one_client_holds_for_no_other(refusing, client):
    api_url, seen = refusing
    before, plain, dry = client(api_url), client(api_url), client(api_url)
    sign_for_api_gateway(plain)
    sign_for_api_gateway(dry, dry_run=True)
    after = client(api_url)
    for iot in (before, plain, dry, after):
        cancel(iot)
    check(seen[1], PLAIN)
    check(seen[2], DRY)
    for other in (seen[0], seen[3]):
        assert dry_run(other) is None
        assert "/eu-west-1/iot/aws4_request" in other.headers["authorization"]


def test_each_try_of_a_dry_run_is_a_dry_run(client):
    with listening(503, {"x-amzn-ErrorType": "ServiceUnavailableException"}, b'{"message":"later"}') as (address, seen):
        cancel(sign_for_api_gateway(client(f"http://{address}", attempts=3), dry_run=True))
    assert len(seen) == 3
    for request in seen:
        check(request, DRY)


def test_a_dry_run_stays_one_when_the_client_is_told_otherwise_between_two_tries(client):
    with listening(503, {"x-amzn-ErrorType": "ServiceUnavailableException"}, b'{"message":"later"}') as (address, seen):
        iot = sign_for_api_gateway(client(f"http://{address}", attempts=2), dry_run=True)
        iot.meta.events.register("before-send.iot", lambda **_: sign_for_api_gateway(iot) and None)
        cancel(iot)
    assert [dry_run(request) for request in seen] == [["true"], ["true"]]


def test_a_dry_run_holds_for_presigned_urls_and_pages(refusing, client):
    api_url, seen = refusing
    iot = sign_for_api_gateway(sign_for_api_gateway(client(api_url)), dry_run=True)
    url = iot.generate_presigned_url("cancel_job_execution", {"thingName": "t", "jobId": "j"})
    assert dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))["dryRun"] == "true"
    with pytest.raises(ClientError):
        list(iot.get_paginator("list_jobs").paginate())
    check(seen[0], DRY)


def test_threads_that_share_a_client_share_its_mode(refusing, client):
    api_url, seen = refusing
    iot = sign_for_api_gateway(sign_for_api_gateway(client(api_url)), dry_run=True)
    threads = [threading.Thread(target=cancel, args=(iot,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    for request in seen:
        check(request, DRY)


@pytest.mark.parametrize("query", ["dryRun=true", "dry%52un=true"])
def test_a_dry_run_that_the_address_names_is_named_once(refusing, client, query):
    api_url, seen = refusing
    cancel(sign_for_api_gateway(client(f"{api_url}?{query}"), dry_run=True), force=True)
    check(seen[0], DRY)


@pytest.mark.parametrize(
    "rest", ["?dryRun=false", "?dry%52un=false", "?dryRun", "?a=b&dryRun=true&dryRun=false", "#v1"]
)
def test_a_dry_run_is_refused_where_the_address_says_otherwise(refusing, client, rest):
    api_url, seen = refusing
    iot = sign_for_api_gateway(client(api_url + rest), dry_run=True)
    with pytest.raises(ValueError, match="dry run"):
        iot.cancel_job_execution(thingName="t", jobId="j", force=True)
    assert seen == []


def test_a_name_that_only_looks_like_a_dry_run_does_not_stand_for_one(refusing, client):
    api_url, seen = refusing
    cancel(sign_for_api_gateway(client(f"{api_url}?xdryRun=true"), dry_run=True))
    check(seen[0], DRY)


def test_a_client_of_another_service_is_refused(refusing, client):
    with pytest.raises(ValueError, match="`iot-data`"):
        sign_for_api_gateway(client(refusing[0], service="iot-data"), dry_run=True)


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_sweeps_are_read_below_the_stage(session, slashes):
    with listening(200, {}, b'{"status":"DONE"}') as (address, seen):
        sweeps = Sweeps(session, f"http://{address}/v1{slashes}")
        assert sweeps.get(SWEEP) == {"status": "DONE"}
        sweeps.get("a/../b?c")
        sweeps.list(operation="delete-expired", nextToken="a b")
    assert [request.path for request in seen] == [
        f"/v1/sweeps/{SWEEP}",
        "/v1/sweeps/a%2F..%2Fb%3Fc",
        "/v1/sweeps?operation=delete-expired&nextToken=a%20b",
    ]


@pytest.mark.parametrize(
    ("status", "headers", "body", "code", "message"),
    [
        (502, {"content-type": "text/html"}, b"<html>Bad Gateway</html>", "502", "<html>Bad Gateway</html>"),
        (504, {}, b"", "504", ""),
        (403, {"x-amzn-ErrorType": "AccessDeniedException"}, b'{"Message":"no"}', "AccessDeniedException", "no"),
        (403, {}, b'{"message":null}', "403", ""),
        (400, {"x-amzn-ErrorType": "InvalidRequestException:http://a/"}, b"[]", "InvalidRequestException", "[]"),
        (500, {}, b"\xff", "500", "\ufffd"),
        (302, {"location": "https://example.com"}, b"", "302", ""),
    ],
)
def test_whatever_is_answered_to_a_refused_call_is_a_client_error(session, status, headers, body, code, message):
    with listening(status, headers, body) as (address, _), pytest.raises(ClientError) as refused:
        Sweeps(session, f"http://{address}").start("delete-expired", dryRun=True)
    assert refused.value.response["Error"] == {"Code": code, "Message": message}
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert refused.value.operation_name == "StartSweep"


@pytest.mark.parametrize("body", [b"", b"<html>Sign in</html>", b"[]", b'"ok"', b"\xff"])
def test_a_success_that_is_no_json_object_is_an_error(session, body):
    with listening(200, {}, body) as (address, _), pytest.raises(ResponseParserError, match="GetSweepReport"):
        Sweeps(session, f"http://{address}").report(SWEEP)


@pytest.mark.parametrize("rest", ["?a=b", "#v1"])
def test_sweeps_take_an_address_without_query_and_fragment(session, rest):
    with pytest.raises(ValueError, match="ApiUrl"):
        Sweeps(session, f"http://127.0.0.1/v1{rest}")


def test_sweeps_ask_for_the_id_of_a_sweep(session):
    with pytest.raises(ValueError, match="sweep"):
        Sweeps(session, "http://127.0.0.1/v1").get("")


def test_missing_credentials_and_a_missing_region_are_named(session, monkeypatch):
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(NoCredentialsError):
        Sweeps(boto3.Session(region_name="eu-west-1"), "http://127.0.0.1/v1").list()
    with pytest.raises(NoRegionError):
        Sweeps(boto3.Session("a", "b"), "http://127.0.0.1/v1").list()
