"""The events that functions get here: the sample events of events/, aimed at the endpoint's fleet."""

from __future__ import annotations

import copy
import json
import uuid
from typing import Any

from environments import ROOT

Json = dict[str, Any]

# What can be cancelled again and again: the endpoint puts it back.
WAITING_JOB = "cancel-me"
WAITING_THING = "stale-000000"


def sample(name: str) -> Json:
    return json.loads((ROOT / "events" / f"{name}.json").read_text())


def _call(name: str, parameters: dict[str, str] | None, body: Json | None) -> Json:
    """A sample of a call of the API with other parameters in its path, and a request id of its own."""
    event = copy.deepcopy(sample(name))
    path = event["resource"]
    for key, value in (parameters or {}).items():
        path = path.replace(f"{{{key}}}", value)
    context = event["requestContext"]
    event |= {"path": path, "pathParameters": parameters, "body": None if body is None else json.dumps(body)}
    context |= {"path": f"/v1{path}", "requestId": str(uuid.uuid4())}
    return event


def cancel() -> Json:
    parameters = {"thingName": WAITING_THING, "jobId": WAITING_JOB}
    return _call("cancel-execution.allowed", parameters, {"statusDetails": {"by": "anna"}})


def delete(due: tuple[str, str, int]) -> Json:
    job_id, thing_name, number = due
    parameters = {"thingName": thing_name, "jobId": job_id, "executionNumber": str(number)}
    return _call("delete-execution.allowed", parameters, None)


def start(operation: str, dry_run: bool = True, release: str | None = None) -> Json:
    asked: Json = {"operation": operation}
    asked |= {"dryRun": dry_run} if release is None else {"releasePlan": release}
    return _call("start-sweep.allowed", None, asked)


def read_sweep(sweep_id: str) -> Json:
    return _call("read-sweeps.one", {"sweepId": sweep_id}, None)


def decide() -> Json:
    asked = {"action": "CancelJobExecution", "jobId": WAITING_JOB, "thingName": WAITING_THING}
    return _call("read-decision.allowed", None, asked)


def sweep_id(answer: Json) -> str:
    """The id of a sweep that the API has started."""
    if answer["statusCode"] != 202:
        raise SystemExit(f"the sweep was not started: {str(answer)[:1000]}")
    return json.loads(answer["body"])["sweepId"]
