"""Runs every file of events/ with `sam local invoke`, and `sam local start-api` with real HTTP calls.

The functions run in containers, as on Lambda; what they call is the emulator, which also has the deployed
stack. A file's name begins with its function, and events/expected.toml says what has to come out.

Where no Docker engine can run this says why and passes, unless SAM_LOCAL_INSIST=1.

    .local/venv-clients/bin/python tests/sam_local/run.py [PART_OF_A_FILE_NAME...]
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "dev"), str(Path(__file__).resolve().parent)]

import engine  # noqa: E402
import fast  # noqa: E402
import given  # noqa: E402
from environments import program  # noqa: E402
from stack import BUILD_DIRECTORY, Stack, StackError  # noqa: E402

EVENTS = ROOT / "events"
IMAGE = f"public.ecr.aws/lambda/provided:al2023-{fast.ARCHITECTURE}"
AT_ONCE = 2


def template_id(event: Path) -> str:
    """The function's id in the template: `cancel-execution.allowed.json` is for CancelExecution."""
    return "".join(word.capitalize() for word in event.name.split(".")[0].split("-"))


class Local:
    """`sam local` on the built template, with the environment that the deployed functions have."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        built = (BUILD_DIRECTORY / "template.yaml").read_text()
        # `sam local` hands a function only variables that the template names.
        named = built.replace(
            "Globals:\n  Function:\n",
            "Globals:\n  Function:\n    Environment:\n      Variables:\n        AWS_ENDPOINT_URL: ''\n",
            1,
        )
        if named == built:
            raise StackError("the built template has no Globals to add AWS_ENDPOINT_URL to")
        self._template = BUILD_DIRECTORY / f"sam-local-{stack.name}.yaml"
        self._template.write_text(named)
        self._variables = stack.directory / "variables.json"
        self._variables.write_text(json.dumps({function: self._deployed(function) for function in self._functions()}))

    def _functions(self) -> Iterator[str]:
        return (name.removesuffix("FunctionName") for name in self._stack.outputs if name.endswith("FunctionName"))

    def _deployed(self, function: str) -> dict[str, str]:
        name = self._stack.function_name(function)
        configuration = self._stack.client("lambda").get_function_configuration(FunctionName=name)
        return {**configuration["Environment"]["Variables"], "AWS_ENDPOINT_URL": self._stack.endpoint}

    def command(self, *words: str) -> list[str]:
        return [
            str(program("sam", "sam")), "local", *words, "--template", str(self._template),
            "--env-vars", str(self._variables), "--region", self._stack.region, "--skip-pull-image",
            "--parameter-overrides", f"Architecture={fast.ARCHITECTURE}",
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        environment = self._stack.environment()
        # `sam` itself calls nobody.
        del environment["AWS_ENDPOINT_URL"]
        return environment

    def invoke(self, event: Path) -> Any:
        """The function's answer to an event."""
        done = subprocess.run(
            self.command("invoke", template_id(event), "--event", str(event)),
            cwd=ROOT, env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=180,
        )  # fmt: skip
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        if not lines:
            raise StackError(f"no answer from `sam local invoke`:\n{done.stderr[-2000:]}")
        return json.loads(lines[-1])

    def close(self) -> None:
        self._template.unlink(missing_ok=True)


def complaints(expected: dict[str, Any], answer: Any) -> list[str]:
    """What is wrong with an answer."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    found = []
    if "status" in expected and (not isinstance(answer, dict) or answer.get("statusCode") != expected["status"]):
        found.append(f"status {answer.get('statusCode') if isinstance(answer, dict) else 'missing'}")
    if "error" in expected and _error_type(answer) != expected["error"]:
        found.append(f"error {_error_type(answer)}")
    # A body is a string of JSON within JSON: look into it as it is, too.
    plain = text + (str(answer.get("body", "")) if isinstance(answer, dict) else "")
    found += [f"no `{part}`" for part in expected.get("contains", []) if part not in plain]
    found += [f"has `{part}`" for part in expected.get("lacks", []) if part in plain]
    return [*found, text[:1500]] if found else []


def _error_type(answer: Any) -> str | None:
    if not isinstance(answer, dict):
        return None
    headers = {**answer.get("headers", {}), **{k: v[0] for k, v in (answer.get("multiValueHeaders") or {}).items()}}
    lower = {name.lower(): value for name, value in headers.items()}
    return lower.get("x-amzn-errortype") or answer.get("errorType")


def invoke_all(stack: Stack, local: Local, wanted: list[str]) -> dict[str, list[str]]:
    """The complaints about each event; no complaints, no entry's lines."""
    expected = tomllib.loads((EVENTS / "expected.toml").read_text())
    files = sorted(EVENTS.glob("*.json"))
    strays = sorted(set(expected) ^ {file.name for file in files})
    results = {name: ["is not both a file of events/ and in events/expected.toml"] for name in strays}

    def one(event: Path) -> list[str]:
        wants = expected[event.name]
        try:
            made = given.prepare(stack, event, wants, stack.directory)
            return complaints(wants, local.invoke(made))
        except (StackError, ValueError, subprocess.TimeoutExpired) as error:
            return [str(error)]

    chosen = [file for file in files if file.name in expected and (not wanted or any(w in file.name for w in wanted))]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for event, found in zip(chosen, pool.map(one, chosen), strict=True):
            results[event.name] = found
            print(f"{'FAILED' if found else 'ok    '} sam local invoke {event.name}", flush=True)
            for line in found:
                print(f"         {line}")
    return results


@contextlib.contextmanager
def api(local: Local) -> Iterator[str]:
    """`sam local start-api` on a loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (BUILD_DIRECTORY / "start-api.log").open("wb")
    running = subprocess.Popen(
        local.command("start-api", "--host", "127.0.0.1", "--port", str(port), "--warm-containers", "LAZY"),
        cwd=ROOT, env=local.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and running.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        # It removes its containers when interrupted.
        os.killpg(running.pid, signal.SIGINT)
        try:
            running.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
        log.close()


def call(url: str, method: str, path: str, body: str | None = None) -> dict[str, Any]:
    request = urllib.request.Request(f"{url}{path}", method=method, data=body.encode() if body else None)
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return {"statusCode": response.status, "headers": dict(response.headers), "body": response.read().decode()}
    except urllib.error.HTTPError as error:
        return {"statusCode": error.code, "headers": dict(error.headers), "body": error.read().decode()}


# It carries no IAM identity: a well-formed request is refused, and a malformed one is told what is wrong.
CANCEL = "/things/sensor-1/jobs/job-1/cancel"
DELETE = "/things/sensor-1/jobs/job-1/executionNumber/1"
REFUSED = {"status": 403, "error": "AccessDeniedException"}
INVALID = {"status": 400, "error": "InvalidRequestException"}
HTTP_CALLS: list[tuple[str, str, str | None, dict[str, Any]]] = [
    ("PUT", CANCEL, None, REFUSED),
    ("PUT", CANCEL + "?force=true", '{"expectedVersion":1}', REFUSED),
    ("PUT", CANCEL + "?force=perhaps", None, {**INVALID, "contains": ["force"]}),
    ("PUT", CANCEL, "{", INVALID),
    ("PUT", "/things/a%3Ab/jobs/job-1/cancel", None, REFUSED),
    ("DELETE", DELETE, None, REFUSED),
    ("DELETE", DELETE + "?nonsense=1", None, {**INVALID, "contains": ["nonsense"]}),
    ("POST", "/sweeps", '{"operation":"delete-expired"}', REFUSED),
    ("GET", "/sweeps", None, REFUSED),
    ("GET", "/nowhere", None, {"status": 403}),
]


def call_all(local: Local) -> dict[str, list[str]]:
    results = {}
    with api(local) as url:
        for method, path, body, wants in HTTP_CALLS:
            found = complaints(wants, call(url, method, path, body))
            name = f"{method} {path} {body or ''}".strip()
            results[name] = found
            print(f"{'FAILED' if found else 'ok    '} sam local start-api {name}", flush=True)
            for line in found:
                print(f"         {line}")
    return results


def main() -> int:
    try:
        engine.require(IMAGE)
        address = engine.address()
    except engine.NoEngineError as reason:
        insists = os.environ.get("SAM_LOCAL_INSIST") == "1"
        print(f"sam-local: {'cannot run' if insists else 'left out'}: {reason}")
        return 1 if insists else 0
    wanted = sys.argv[1:]
    with Stack.start(address=address, parameters=given.PARAMETERS, say=print) as stack:
        given.world(stack)
        local = Local(stack)
        try:
            results = invoke_all(stack, local, wanted)
            if not wanted:
                results |= call_all(local)
        finally:
            local.close()
    failed = sum(1 for found in results.values() if found)
    for name, found in results.items():
        if found:
            print(f"FAILED {name}: {found[0]}")
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except StackError as error:
        raise SystemExit(f"error: {error}") from None
