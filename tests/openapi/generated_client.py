"""Uses the client that was made from docs/openapi.yaml; tests/e2e/test_generated_client.py makes it and runs this.

generated_client.py API_URL THING JOB HELD_THING HELD_JOB; prints what came, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Generator

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from jobwarden import Client
from jobwarden.api.decisions import read_decision
from jobwarden.api.executions import cancel_job_execution
from jobwarden.api.sweeps import get_sweep, get_sweep_report, list_sweeps, start_sweep
from jobwarden.models import (
    CancelQuestion,
    CancelRequest,
    Operation,
    StartSweepRequest,
    StatusDetails,
    SweepStatus,
)


class SignedForApiGateway(httpx.Auth):
    """Signs as a client of AWS does, with the credentials of the environment."""

    requires_request_body = True

    def __init__(self) -> None:
        keys = (os.environ[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"))
        self.signer = SigV4Auth(Credentials(*keys), "execute-api", os.environ["AWS_REGION"])

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        signed = AWSRequest(request.method, str(request.url), {"host": request.headers["host"]}, request.content)
        self.signer.add_auth(signed)
        request.headers.update(signed.headers.items())
        yield request


def main() -> None:
    api_url, thing, job, held_thing, held_job = sys.argv[1:]
    client = Client(base_url=api_url, raise_on_unexpected_status=True, httpx_args={"auth": SignedForApiGateway()})
    told = {}

    details = StatusDetails.from_dict({"canceledBy": "anna"})
    body = CancelRequest(expected_version=1, status_details=details)
    canceled = cancel_job_execution.sync(thing, job, client=client, body=body)
    told["canceled"] = [canceled.result.value, canceled.confirmed, canceled.execution.status.value]

    question = CancelQuestion(action="CancelJobExecution", job_id=held_job, thing_name=held_thing)
    told["asked"] = read_decision.sync(client=client, body=question).result.value
    refused = cancel_job_execution.sync_detailed(held_thing, held_job, client=client)
    policies = [policy.id for policy in refused.parsed.decision.policies]
    told["refused"] = [refused.status_code, refused.parsed.field_type_.value, policies]

    body = StartSweepRequest(operation=Operation.CANCEL_STALE, dry_run=True)
    sweep = start_sweep.sync(client=client, body=body)
    deadline = time.monotonic() + 60
    while sweep.status != SweepStatus.SUCCEEDED and time.monotonic() < deadline:
        time.sleep(0.25)
        sweep = get_sweep.sync(sweep.sweep_id, client=client)
    told["swept"] = [sweep.status.value, sweep.dry_run]
    report = get_sweep_report.sync(sweep.sweep_id, client=client)
    told["report"] = [report.sweep_id == sweep.sweep_id, report.rows_seen, report.due, len(report.forecast)]
    page = list_sweeps.sync(client=client, operation=Operation.CANCEL_STALE, max_results=1)
    told["listed"] = [one.sweep_id == sweep.sweep_id for one in page.sweeps]
    print(json.dumps(told))


if __name__ == "__main__":
    main()
