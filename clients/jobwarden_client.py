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

import json
import urllib.parse

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session


def sign_for_api_gateway(client, dry_run=False):
    """Returns the same client; with `dry_run` its requests decide and report, and act on nothing.

    It touches the one client it is given; every other client keeps signing for AWS IoT itself.
    """
    handler = _for_a_dry_run if dry_run else _for_execute_api
    client.meta.events.register("before-sign.iot", handler, unique_id="jobwarden")
    return client


def _for_execute_api(request, **_):
    request.context.setdefault("signing", {})["signing_name"] = "execute-api"


def _for_a_dry_run(request, **_):
    _for_execute_api(request)
    # A retry signs the same request again.
    if "dryRun=true" not in request.url:
        request.url += ("&" if "?" in request.url else "?") + "dryRun=true"


class Sweeps:
    """Starts and reads sweeps; what the API refuses is a ClientError, as from any boto3 client."""

    def __init__(self, session, api_url):
        self._session = session
        self._api_url = api_url.rstrip("/")
        self._http = URLLib3Session()

    def start(self, operation, **members):
        """`dryRun`, `lane` and `releasePlan` are the members there are."""
        return self._call("StartSweep", "POST", "/sweeps", body={"operation": operation, **members})

    def list(self, **query):
        return self._call("ListSweeps", "GET", "/sweeps", query)

    def get(self, sweep_id):
        return self._call("GetSweep", "GET", f"/sweeps/{sweep_id}")

    def report(self, sweep_id):
        return self._call("GetSweepReport", "GET", f"/sweeps/{sweep_id}/report")

    def _call(self, name, method, path, query=None, body=None):
        url = self._api_url + path + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body)
        request = AWSRequest(method, url, {"Content-Type": "application/json"} if data else {}, data)
        credentials = self._session.get_credentials().get_frozen_credentials()
        SigV4Auth(credentials, "execute-api", self._session.region_name).add_auth(request)
        answer = self._http.send(request.prepare())
        said = json.loads(answer.content or b"{}")
        if answer.status_code < 300:
            return said
        error = {
            "Code": answer.headers.get("x-amzn-ErrorType", str(answer.status_code)).split(":")[0],
            "Message": said.get("message", ""),
        }
        metadata = {"HTTPStatusCode": answer.status_code, "HTTPHeaders": dict(answer.headers)}
        raise ClientError({"Error": error, "ResponseMetadata": metadata}, name)
