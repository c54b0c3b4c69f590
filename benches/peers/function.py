"""Python Lambda functions for cancel and delete, as one would write them with boto3.

The bare ones make the one call that was asked for, and check nothing. The reading ones make the calls that Jobwarden's
functions make, in the same order, but decide nothing by them: a job is believed for five seconds, a cancel is pinned to
the version that was read and looked at afterwards, and a deletion's record is in the bucket before.

The clients are made once, outside the handlers, and kept, as AWS advises.
"""

from __future__ import annotations

import gzip
import json
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config

KEPT_SECONDS = 5

CONFIG = Config(retries={"total_max_attempts": 1})
iot = boto3.client("iot", config=CONFIG)

Event = dict[str, Any]
_jobs: dict[str, tuple[float, Event]] = {}
# Only what reads needs what these cost.
_s3 = None
_pool = None


def answer(body: Event) -> Event:
    headers = {"content-type": "application/json"}
    return {"statusCode": 200, "headers": headers, "body": json.dumps(body, default=str)}


def refusal(error: Exception) -> Event:
    name = type(error).__name__
    return {
        "statusCode": error.response["ResponseMetadata"]["HTTPStatusCode"] if hasattr(error, "response") else 503,
        "headers": {"content-type": "application/json", "x-amzn-ErrorType": name},
        "body": json.dumps({"message": str(error)}),
    }


def asked(event: Event) -> tuple[str, str, Event]:
    path = event["pathParameters"]
    return path["jobId"], path["thingName"], json.loads(event.get("body") or "{}")


def cancel(event: Event, _context: object) -> Event:
    """CancelJobExecution, and nothing else."""
    job_id, thing_name, body = asked(event)
    try:
        iot.cancel_job_execution(jobId=job_id, thingName=thing_name, **body)
    except iot.exceptions.ClientError as error:
        return refusal(error)
    return answer({"result": "canceled"})


def delete(event: Event, _context: object) -> Event:
    """DeleteJobExecution, and nothing else."""
    job_id, thing_name, _ = asked(event)
    try:
        iot.delete_job_execution(
            jobId=job_id, thingName=thing_name, executionNumber=int(event["pathParameters"]["executionNumber"])
        )
    except iot.exceptions.ClientError as error:
        return refusal(error)
    return answer({"result": "deleted"})


def described_job(job_id: str) -> Event:
    read = _jobs.get(job_id)
    if read and time.monotonic() - read[0] < KEPT_SECONDS:
        return read[1]
    job = iot.describe_job(jobId=job_id)["job"]
    job["tags"] = [
        tag
        for page in iot.get_paginator("list_tags_for_resource").paginate(resourceArn=job["jobArn"])
        for tag in page["tags"]
    ]
    _jobs[job_id] = (time.monotonic(), job)
    return job


def described(job_id: str, thing_name: str, **number: int) -> tuple[Event, Event]:
    """The execution and its job, at the same time unless the job is known."""
    global _pool  # noqa: PLW0603
    known = _jobs.get(job_id)
    if known and time.monotonic() - known[0] < KEPT_SECONDS:
        job = known[1]
        return iot.describe_job_execution(jobId=job_id, thingName=thing_name, **number)["execution"], job
    _pool = _pool or ThreadPoolExecutor(max_workers=1)
    job = _pool.submit(described_job, job_id)
    execution = iot.describe_job_execution(jobId=job_id, thingName=thing_name, **number)["execution"]
    return execution, job.result()


def cancel_reading(event: Event, _context: object) -> Event:
    """CancelJobExecution with the reads of the guarded one."""
    job_id, thing_name, body = asked(event)
    try:
        execution, job = described(job_id, thing_name)
        iot.cancel_job_execution(
            jobId=job_id, thingName=thing_name, **{"expectedVersion": execution["versionNumber"], **body}
        )
        number = execution["executionNumber"]
        seen = iot.describe_job_execution(jobId=job_id, thingName=thing_name, executionNumber=number)["execution"]
    except iot.exceptions.ClientError as error:
        return refusal(error)
    return answer({"result": "canceled", "status": seen["status"], "execution": execution, "tags": job["tags"]})


def delete_reading(event: Event, _context: object) -> Event:
    """DeleteJobExecution with the reads and the archive of the guarded one."""
    global _s3  # noqa: PLW0603
    job_id, thing_name, _ = asked(event)
    number = int(event["pathParameters"]["executionNumber"])
    try:
        execution, job = described(job_id, thing_name, executionNumber=number)
        _s3 = _s3 or boto3.client("s3", config=CONFIG.merge(Config(s3={"addressing_style": "path"})))
        record = json.dumps({"execution": execution, "job": job}, default=str).encode()
        key = f"archive/date={time.strftime('%Y-%m-%d', time.gmtime())}/by=boto3/{uuid.uuid4()}.jsonl.gz"
        _s3.put_object(Bucket=os.environ["JOBWARDEN_BUCKET"], Key=key, Body=gzip.compress(record))
        iot.delete_job_execution(jobId=job_id, thingName=thing_name, executionNumber=number)
    except iot.exceptions.ClientError as error:
        return refusal(error)
    return answer({"result": "deleted", "archive": key})
