"""Talks to Jobwarden with boto3: the two guarded operations as AWS IoT's own, and its sweeps.

    import boto3
    from jobwarden_client import Sweeps, sign_for_api_gateway

    iot = sign_for_api_gateway(boto3.client("iot", endpoint_url=API_URL))
    iot.cancel_job_execution(thingName="pump-7", jobId="firmware-1-6-0", expectedVersion=2)

    sweeps = Sweeps(boto3.Session(), API_URL)
    sweep = sweeps.start("delete-expired", dryRun=True)
    print(sweeps.report(sweep["sweepId"]))

API Gateway wants signatures made for `execute-api`, where AWS IoT's clients sign for `iot`. Each part
below stands alone: copy what you need.
"""

import functools
import json
import urllib.parse

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError, NoCredentialsError, NoRegionError
from botocore.httpsession import URLLib3Session
from botocore.parsers import ResponseParserError


def sign_for_api_gateway(client, dry_run=False):
    """Returns the same client; with `dry_run` its requests decide and report, and act on nothing.

    A client has one mode: what the last call of this function said holds for every later call of the client,
    in every thread. Use two clients for two modes. Other clients keep signing for AWS IoT itself.
    """
    service = client.meta.service_model.service_name
    if service != "iot":
        raise ValueError(f"the client is of `{service}`; Jobwarden is called with a client of `iot`")
    client.meta.jobwarden_dry_run = dry_run
    # botocore drops a second handler of the same unique_id, so the one handler reads what was set last.
    handler = functools.partial(_before_sign, client.meta)
    client.meta.events.register("before-sign.iot", handler, unique_id="jobwarden")
    return client


def _before_sign(meta, request, **_):
    request.context.setdefault("signing", {})["signing_name"] = "execute-api"
    # All tries of a call share one context: the call stays what it was at its first try.
    if request.context.setdefault("jobwarden_dry_run", meta.jobwarden_dry_run):
        request.url = _for_a_dry_run(request.url)


def _for_a_dry_run(url):
    """The URL with `dryRun=true`, once."""
    parts = urllib.parse.urlsplit(url)
    query = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
    said = [value for name, value in query if name == "dryRun"]
    if said == ["true"]:
        return url
    if said or "#" in url:
        raise ValueError(f"this would be no dry run: endpoint_url has a `dryRun` or a `#` of its own, in `{url}`")
    return url + ("&" if parts.query else "" if url.endswith("?") else "?") + "dryRun=true"


class Sweeps:
    """Starts and reads sweeps; what the API refuses is a ClientError, as from any boto3 client."""

    def __init__(self, session, api_url):
        if "?" in api_url or "#" in api_url:
            raise ValueError(f"`{api_url}` has a query or a fragment; give the stack's output ApiUrl as it is")
        self._session = session
        self._api_url = api_url.rstrip("/")
        self._http = URLLib3Session()

    def start(self, operation, **members):
        """`dryRun`, `lane` and `releasePlan` are the members there are."""
        return self._call("StartSweep", "POST", "/sweeps", body={"operation": operation, **members})

    def list(self, **query):
        return self._call("ListSweeps", "GET", "/sweeps", query)

    def get(self, sweep_id):
        return self._call("GetSweep", "GET", _path_of(sweep_id))

    def report(self, sweep_id):
        return self._call("GetSweepReport", "GET", f"{_path_of(sweep_id)}/report")

    def _call(self, name, method, path, query=None, body=None):
        query = f"?{urllib.parse.urlencode(query, quote_via=urllib.parse.quote)}" if query else ""
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/json"} if data else {}
        request = AWSRequest(method, self._api_url + path + query, headers, data)
        credentials = self._session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        if self._session.region_name is None:
            raise NoRegionError
        keys = credentials.get_frozen_credentials()
        SigV4Auth(keys, "execute-api", self._session.region_name).add_auth(request)
        answer = self._http.send(request.prepare())
        text = answer.content.decode(errors="replace")
        members = _members(text)
        if answer.status_code < 300 and members is not None:
            return members
        if answer.status_code < 300:
            raise ResponseParserError(f"the answer to {name} is no JSON object: `{text[:500]}`")
        # Of API Gateway's own refusals some say `Message`, and a proxy on the way answers HTML.
        message = text[:500] if members is None else members.get("message") or members.get("Message") or ""
        error = {
            "Code": answer.headers.get("x-amzn-ErrorType", str(answer.status_code)).split(":")[0],
            "Message": message,
        }
        metadata = {"HTTPStatusCode": answer.status_code, "HTTPHeaders": dict(answer.headers)}
        raise ClientError({"Error": error, "ResponseMetadata": metadata}, name)


def _path_of(sweep_id):
    if not sweep_id:
        raise ValueError("the id of a sweep is empty; `start` answers it as `sweepId`")
    return f"/sweeps/{urllib.parse.quote(sweep_id, safe='')}"


def _members(text):
    """The members of a JSON object; None for anything else."""
    try:
        members = json.loads(text)
    except ValueError:
        return None
    return members if isinstance(members, dict) else None
