"""The emulated account as a test sees it: things, jobs and executions in any state, and the truth afterwards."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import gzip
import itertools
import json
import time
from collections.abc import Callable, Iterator

import botocore.config

STATES = ("QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED", "TIMED_OUT", "REJECTED", "REMOVED", "CANCELED")
ACTIVE = ("QUEUED", "IN_PROGRESS")
LANES = ("DeleteExpiredQueueUrl", "CancelStaleQueueUrl")
_names = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Made:
    """One execution made for a test."""

    job: str
    thing: str
    number: int = 1

    @property
    def cancel(self) -> dict:
        return {"jobId": self.job, "thingName": self.thing}

    @property
    def delete(self) -> dict:
        return {**self.cancel, "executionNumber": self.number}


class World:
    """Admin access to the emulator, past Jobwarden: what a test sets up and what it checks afterwards."""

    def __init__(self, stack) -> None:
        self.stack = stack
        self.set_time_offset = stack.set_time_offset
        config = botocore.config.Config(max_pool_connections=8, read_timeout=120, retries={"max_attempts": 1})
        client = functools.partial(stack.client, config=config)
        self.iot, self.devices = client("iot"), client("iot-jobs-data")
        self.s3, self.sqs = client("s3"), client("sqs")
        self.functions, self.scheduler = client("lambda"), client("scheduler")
        self.bucket = stack.outputs["BucketName"]
        account = client("sts").get_caller_identity()["Account"]
        self.arn = f"arn:aws:iot:{stack.region}:{account}"

    # Making executions

    def name(self, prefix: str) -> str:
        return f"{prefix}-{next(_names):04}"

    def execution(self, status: str = "QUEUED", *, thing: str | None = None, **job: object) -> Made:
        """A new job's execution in the given state, on a new thing unless one is named."""
        return self.executions([status], thing=thing, **job)[0]

    def executions(self, states: list[str], *, thing: str | None = None, **job: object) -> list[Made]:
        """One thing and job per state; if one must time out, all are made two hours ago."""
        in_the_past = "TIMED_OUT" in states
        if in_the_past:
            self.set_time_offset("-2h")
        try:
            made = [self._queued(status, thing, job) for status in states]
            for m, status in zip(made, states, strict=True):
                if status == "TIMED_OUT":
                    self._start(m)
                elif status != "QUEUED":
                    self.become(m, status)
            if in_the_past:
                # The service notices a silent device when its execution is next read.
                self.set_time_offset("-1h")
                for m, status in zip(made, states, strict=True):
                    if status == "TIMED_OUT":
                        self.iot.list_job_executions_for_job(jobId=m.job)
        finally:
            if in_the_past:
                self.set_time_offset("+0d")
        for m, status in zip(made, states, strict=True):
            assert self.status(m) == status, f"{m} is {self.status(m)} where the test needs {status}"
        return made

    def _queued(self, status: str, thing: str | None, job: dict) -> Made:
        thing = thing or self.name("thing")
        with contextlib.suppress(self.iot.exceptions.ResourceAlreadyExistsException):
            self.iot.create_thing(thingName=thing)
        request: dict = {"jobId": self.name("job"), "document": "{}", "targetSelection": "SNAPSHOT", **job}
        target = f"{self.arn}:thing/{thing}"
        if status == "REMOVED":
            group = self.name("group")
            self.iot.create_thing_group(thingGroupName=group)
            self.iot.add_thing_to_thing_group(thingGroupName=group, thingName=thing)
            target, request["targetSelection"] = f"{self.arn}:thinggroup/{group}", "CONTINUOUS"
            request["description"] = group
        if status == "TIMED_OUT":
            request["timeoutConfig"] = {"inProgressTimeoutInMinutes": 10}
        self.iot.create_job(**request, targets=[target])
        return Made(request["jobId"], thing)

    def _start(self, m: Made) -> None:
        self.devices.update_job_execution(jobId=m.job, thingName=m.thing, status="IN_PROGRESS")

    def become(self, m: Made, status: str) -> None:
        """Moves a QUEUED execution on, as its device or an operator would."""
        if status == "REMOVED":
            group = self.iot.describe_job(jobId=m.job)["job"]["description"]
            self.iot.remove_thing_from_thing_group(thingGroupName=group, thingName=m.thing)
        elif status == "CANCELED":
            self.iot.cancel_job_execution(**m.cancel)
        else:
            if status != "REJECTED":
                self._start(m)
            if status != "IN_PROGRESS":
                self.devices.update_job_execution(jobId=m.job, thingName=m.thing, status=status)

    # The truth afterwards

    def describe(self, m: Made) -> dict | None:
        try:
            return self.iot.describe_job_execution(**m.delete)["execution"]
        except self.iot.exceptions.ResourceNotFoundException:
            return None

    def status(self, m: Made) -> str | None:
        found = self.describe(m)
        return found and found["status"]

    def is_empty(self, queue: str) -> bool:
        """Whether nothing waits in a queue of the stack's outputs and nothing of it is being worked on."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.stack.outputs[queue], AttributeNames=names)["Attributes"]
        return all(int(found[name]) == 0 for name in names)

    def end_sweeps(self) -> None:
        """Waits for sweeps that another test left at work, and drops what will not end."""
        for queue in LANES:
            try:
                wait_until(f"{queue} to be empty", lambda queue=queue: self.is_empty(queue), 20)
            except AssertionError:
                self.sqs.purge_queue(QueueUrl=self.stack.outputs[queue])

    def wipe(self) -> None:
        """Removes every job, thing and group, and what the last sweep had due: the next fleet is another one."""
        for key in self.objects("sweeps/last/"):
            self.s3.delete_object(Bucket=self.bucket, Key=key)
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            for page in self.iot.get_paginator("list_jobs").paginate():
                list(pool.map(lambda row: self.iot.delete_job(jobId=row["jobId"], force=True), page["jobs"]))
            for page in self.iot.get_paginator("list_thing_groups").paginate():
                groups = [row["groupName"] for row in page["thingGroups"]]
                list(pool.map(lambda name: self.iot.delete_thing_group(thingGroupName=name), groups))
            things = [
                t["thingName"] for page in self.iot.get_paginator("list_things").paginate() for t in page["things"]
            ]
            list(pool.map(lambda name: self.iot.delete_thing(thingName=name), things))

    # The deployed stack's parts

    @contextlib.contextmanager
    def configured(self, *functions: str, timeout: int | None = None, **variables: str) -> Iterator[None]:
        """Functions with some variables (or their timeout) changed, for the length of a test."""
        before = {}
        for function in functions:
            name = self.stack.function_name(function)
            now = self.functions.get_function_configuration(FunctionName=name)
            before[name] = {"Environment": {"Variables": now["Environment"]["Variables"]}, "Timeout": now["Timeout"]}
            changed = {"Environment": {"Variables": {**now["Environment"]["Variables"], **variables}}}
            if timeout:
                changed["Timeout"] = timeout
            self._configure(name, changed)
        try:
            yield
        finally:
            for name, configuration in before.items():
                self._configure(name, configuration)

    def _configure(self, name: str, changes: dict) -> None:
        self.functions.update_function_configuration(FunctionName=name, **changes)
        self.functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})

    def objects(self, prefix: str) -> dict[str, bytes]:
        found = {}
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
            for row in page.get("Contents", []):
                found[row["Key"]] = self.s3.get_object(Bucket=self.bucket, Key=row["Key"])["Body"].read()
        return found

    def archived(self, sweep: str) -> list[dict]:
        """The archive's records of one sweep (`api` for what callers deleted), in the order they were written."""
        records = []
        for key, body in self.objects("archive/").items():
            assert key.endswith(".jsonl.gz"), key
            if f"/sweep={sweep}/" in key:
                records += [json.loads(line) for line in gzip.decompress(body).decode().splitlines()]
        return records


def wait_until(what: str, check: Callable[[], object], seconds: float = 60, every: float = 0.25):
    """Polls until the check gives something true, and gives that."""
    deadline = time.monotonic() + seconds
    while True:
        if found := check():
            return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(every)


def count(rows) -> dict:
    return dict(collections.Counter(rows))
