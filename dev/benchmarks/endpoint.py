"""The load endpoint: AWS as the benchmarks need it, on loopback (benches/)."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .places import LOGS, TARGET

Json = dict[str, Any]

BINARY = TARGET / "release" / "endpoint"
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# The longest that a call of the control takes: an invocation may be a whole slice.
SECONDS = 1000
# The longest that a function takes to start.
START_SECONDS = 30


@dataclass(frozen=True)
class Fleet:
    """A fleet, and how it answers."""

    jobs: int = 1
    of_a_job: int = 1000
    due_share: float = 0.5
    latency_ms: str = "0"
    # Calls a second by operation; others are not throttled.
    limits: tuple[tuple[str, float], ...] = ()

    @property
    def rows(self) -> int:
        return self.jobs * self.of_a_job

    def told(self) -> Json:
        return {
            "jobs": self.jobs,
            "executionsPerJob": self.of_a_job,
            "dueShare": self.due_share,
            "latencyMs": self.latency_ms,
            "limits": dict(self.limits),
        }


class Endpoint:
    """A running endpoint, and its control."""

    def __init__(self, served: Json) -> None:
        self.iot: str = served["iot"]
        self.plain: str = served["iotPlain"]
        self.runtime: str = served["runtime"]
        self.s3: str = served["bucket"]
        self.sqs: str = served["sqs"]
        self.authority: str = served["ca"]
        # What is trusted: the system's certificates, which a function of AWS Lambda reads as well, and the endpoint's.
        self.trusted = TARGET / "certificates" / "trusted.pem"
        system = SYSTEM_CERTIFICATES.read_text() if SYSTEM_CERTIFICATES.is_file() else ""
        self.trusted.write_text(system + Path(self.authority).read_text())

    def environment(self) -> dict[str, str]:
        """How AWS is called here, by SDKs in any language."""
        return {
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_IOT": self.iot,
            "AWS_ENDPOINT_URL_S3": self.s3,
            "AWS_ENDPOINT_URL_SQS": self.sqs,
            "SSL_CERT_FILE": str(self.trusted),
            "AWS_CA_BUNDLE": str(self.trusted),
        }

    def reset(self, fleet: Fleet) -> None:
        """A new fleet, counts at zero, and an empty bucket and queue."""
        self._call(self.plain, "POST", "/_reset", fleet.told())

    def calls(self) -> dict[str, Json]:
        """What was called since the reset, by operation."""
        return self._call(self.plain, "GET", "/_calls")

    def due(self, limit: int) -> list[tuple[str, str, int]]:
        return [(job, thing, number) for job, thing, number in self._call(self.plain, "GET", f"/_due?limit={limit}")]

    def messages(self) -> list[Json]:
        """The queued messages, each as an event of SQS, taken."""
        return self._call(self.plain, "GET", "/_messages")

    def forget(self) -> None:
        self._call(self._runtime, "POST", "/_forget")

    def polled(self) -> float:
        """When a function asked for work first, in seconds of UNIX time; waits for it.

        Raises TimeoutError if none does, or if it could not start.
        """
        first = self._call(self._runtime, "GET", "/_polled", seconds=START_SECONDS)
        if "at" not in first:
            raise TimeoutError(first)
        return first["at"]

    def invoke(self, event: Json) -> tuple[Any, float]:
        """The answer of the function that is running, and the seconds that it took."""
        done = self._call(self._runtime, "POST", "/_invoke", event)
        if "error" in done:
            raise SystemExit(f"a function failed: {str(done['error'])[:1000]}")
        return done["answer"], done["micros"] / 1e6

    def object(self, bucket: str, key: str) -> bytes:
        return _exchange(self.s3, "GET", f"/{bucket}/{key}")[0]

    def writes(self, bucket: str) -> int:
        """How often something was written to the bucket since the reset: its ETags number the writes."""
        _, headers = _exchange(self.s3, "PUT", f"/{bucket}/benchmarks/writes", {})
        return int(headers["etag"].strip('"'), 16) - 1

    @property
    def _runtime(self) -> str:
        return f"http://{self.runtime}"

    @staticmethod
    def _call(base: str, method: str, path: str, body: Json | None = None, seconds: float = SECONDS) -> Any:
        answered, _ = _exchange(base, method, path, body, seconds)
        return json.loads(answered) if answered.strip() else None


def _exchange(
    base: str, method: str, path: str, body: Json | None = None, seconds: float = SECONDS
) -> tuple[bytes, http.client.HTTPMessage]:
    address = urlsplit(base)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=seconds)
    try:
        sent = None if body is None else json.dumps(body).encode()
        connection.request(method, address.path.rstrip("/") + path, sent, {"content-type": "application/json"})
        answer = connection.getresponse()
        read = answer.read()
    finally:
        connection.close()
    if answer.status >= 300:
        raise SystemExit(f"the endpoint answered {method} {path} with {answer.status}: {read[:500]!r}")
    return read, answer.headers


@contextlib.contextmanager
def serving() -> Iterator[Endpoint]:
    """Runs an endpoint with a small fleet, and ends it."""
    LOGS.mkdir(parents=True, exist_ok=True)
    certificates = TARGET / "certificates"
    certificates.mkdir(exist_ok=True)
    command = [BINARY, "--certificates", certificates, "--jobs", "1", "--executions-per-job", "1000"]
    with (
        (LOGS / "endpoint.log").open("w") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdin
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"the endpoint did not start; see {LOGS / 'endpoint.log'}")
        try:
            yield Endpoint(json.loads(line))
        finally:
            process.stdin.close()
            process.wait(timeout=30)
