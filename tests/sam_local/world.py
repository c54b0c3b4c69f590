"""The world of events/world.toml and the objects of events/bucket, once for each event.

Every event has an account of its own on the emulator, so that none sees what another did, and all of them can
be made on one journey through time.
"""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from stack import Stack

EVENTS = Path(__file__).resolve().parent.parent.parent / "events"
SCHEDULES = "arn:aws:scheduler:eu-west-1:123456789012:schedule/default/jobwarden"


class Account:
    """One event's account: its jobs, its bucket and its queues."""

    def __init__(self, stack: Stack, number: int) -> None:
        self._stack = stack
        # To the emulator, twelve digits are the root of the account of that number.
        self.id = f"{number:012d}"
        self.bucket = f"jobwarden-sam-local-{self.id}"
        sqs = self._client("sqs")
        self.queues = {
            name: sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
            for name in ("delete-expired", "cancel-stale")
        }
        s3 = self._client("s3")
        s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": stack.region})
        objects = EVENTS / "bucket"
        for file in objects.rglob("*"):
            if file.is_file():
                s3.put_object(Bucket=self.bucket, Key=file.relative_to(objects).as_posix(), Body=file.read_bytes())

    def _client(self, service: str) -> Any:
        session = boto3.Session(self.id, "test", region_name=self._stack.region)
        return session.client(service, endpoint_url=self._stack.endpoint)

    def environment(self) -> dict[str, str]:
        """The account's credentials."""
        return {"AWS_ACCESS_KEY_ID": self.id, "AWS_SECRET_ACCESS_KEY": "test"}

    def variables(self, function: str) -> dict[str, str]:
        """What a function's environment names and only a deployment knows."""
        return {
            "JOBWARDEN_ACCESS_POLICY": "compiled",
            "JOBWARDEN_RETENTION_RULES": "compiled",
            "JOBWARDEN_BUCKET": self.bucket,
            "JOBWARDEN_DRY_RUN": "false",
            "JOBWARDEN_RETIRE_JOBS": "false",
            "JOBWARDEN_LANES": "",
            "JOBWARDEN_CALLS_PER_SECOND": "100",
            "JOBWARDEN_DELETE_EXPIRED_QUEUE_URL": self.queues["delete-expired"],
            "JOBWARDEN_CANCEL_STALE_QUEUE_URL": self.queues["cancel-stale"],
            # Those of the events.
            "JOBWARDEN_DELETE_EXPIRED_SCHEDULE_ARN": f"{SCHEDULES}-delete-expired",
            "JOBWARDEN_CANCEL_STALE_SCHEDULE_ARN": f"{SCHEDULES}-cancel-stale",
            "JOBWARDEN_QUEUE_URL": self.queues.get(function, ""),
            "JOBWARDEN_SCHEDULE_GROUP": "default",
            "JOBWARDEN_SCHEDULE_QUEUE_ARN": f"arn:aws:sqs:{self._stack.region}:{self.id}:delete-expired.fifo",
            "JOBWARDEN_SCHEDULE_ROLE_ARN": f"arn:aws:iam::{self.id}:role/scheduler",
            "AWS_ENDPOINT_URL": self._stack.endpoint,
        }

    def add(self, job: Mapping[str, Any]) -> None:
        """Makes a job and brings its executions to where they are."""
        iot, devices = self._client("iot"), self._client("iot-jobs-data")
        arns = [iot.create_thing(thingName=execution["thing"])["thingArn"] for execution in job["executions"]]
        tags = [{"Key": key, "Value": value} for key, value in job.get("tags", {}).items()]
        iot.create_job(jobId=job["id"], targets=arns, document="{}", tags=tags)
        for execution in job["executions"]:
            if execution["status"] != "QUEUED":
                devices.update_job_execution(jobId=job["id"], thingName=execution["thing"], status=execution["status"])

    def executions(self) -> dict[str, str]:
        """The status of each execution, by `job/thing`."""
        iot = self._client("iot")
        return {
            f"{job['jobId']}/{row['thingArn'].split(':thing/')[1]}": row["jobExecutionSummary"]["status"]
            for job in iot.list_jobs(maxResults=250)["jobs"]
            for row in iot.list_job_executions_for_job(jobId=job["jobId"], maxResults=250)["executionSummaries"]
        }

    def read(self, key: str) -> bytes:
        return self._client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()


def make(stack: Stack, how_many: int) -> list[Account]:
    """So many worlds, alike."""
    accounts = [Account(stack, number) for number in range(1, how_many + 1)]
    jobs = tomllib.loads((EVENTS / "world.toml").read_text())["job"]
    for created in sorted({job["created"] for job in jobs}):
        moment = datetime.datetime.fromisoformat(created)
        offset = (moment - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
        stack.set_time_offset(f"{offset:+.0f}s")
        for job in jobs:
            if job["created"] == created:
                for account in accounts:
                    account.add(job)
    stack.set_time_offset("+0s")
    return accounts
