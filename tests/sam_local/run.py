"""Runs every file of events/ with `sam local invoke`, and `sam local start-api` with real HTTP calls.

The functions run in containers, as on Lambda; what they call is the emulator, which also has the deployed
stack. A file's name begins with its function, and events/expected.toml says what has to come out.

Where no Docker engine can run this says why and passes, unless SAM_LOCAL_INSIST=1.

    .local/venv-clients/bin/python tests/sam_local/run.py [PART_OF_A_FILE_NAME...] [start-api]
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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "dev"), str(Path(__file__).resolve().parent)]

import engine  # noqa: E402
import fast  # noqa: E402
import world  # noqa: E402
from environments import program  # noqa: E402
from stack import BUILD_DIRECTORY, Stack, StackError, build, free_port  # noqa: E402

IMAGE = f"public.ecr.aws/lambda/provided:al2023-{fast.ARCHITECTURE}"
AT_ONCE = 2
# The container may start a function before its own runtime API listens. One that opens nothing else at its start is
# there first, finds nobody, and ends.
NOT_LISTENING = ("(rapid) Init failed", "tcp connect error: Connection refused")
STARTS = 3
FUNCTIONS = (
    *("cancel-execution", "delete-execution", "start-sweep", "delete-expired", "cancel-stale", "read-sweeps"),
    *("read-decision", "validate-access-policy", "validate-retention-rules"),
)


def template_id(function: str) -> str:
    """The function's id in the template: cancel-execution is CancelExecution."""
    return "".join(word.capitalize() for word in function.split("-"))


class Local:
    """`sam local` on the built template."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        built = build(print).read_text()
        # `sam local` hands a function only variables that the template names.
        before, variables, after = built.partition("    Environment:\n      Variables:\n")
        if not before.partition("\nGlobals:\n")[1] or "\nResources:\n" in before:
            raise StackError("the built template's Globals have no variables to add AWS_ENDPOINT_URL to")
        named = f"{before}{variables}        AWS_ENDPOINT_URL: ''\n{after}"
        self._template = BUILD_DIRECTORY / f"sam-local-{stack.name}.yaml"
        self._template.write_text(named)

    def command(self, account: world.Account, *words: str) -> list[str]:
        variables = self._stack.directory / f"variables-{account.id}.json"
        variables.write_text(json.dumps({template_id(name): account.variables(name) for name in FUNCTIONS}))
        return [
            str(program("sam", "sam")), "local", *words, "--template", str(self._template),
            "--env-vars", str(variables), "--region", self._stack.region, "--skip-pull-image",
            "--parameter-overrides", f"Architecture={fast.ARCHITECTURE}",
        ]  # fmt: skip

    def environment(self, account: world.Account) -> dict[str, str]:
        # `sam` asks the emulator who it is. Asking AWS would cost seconds, and an answer.
        return self._stack.environment() | account.environment()

    def invoke(self, event: Path, account: world.Account) -> Any:
        """The function's answer to an event."""
        for _ in range(STARTS):
            done = subprocess.run(
                self.command(account, "invoke", template_id(event.name.split(".")[0]), "--event", str(event)),
                cwd=ROOT, env=self.environment(account), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                check=False, timeout=180,
            )  # fmt: skip
            if not all(part in done.stdout + done.stderr for part in NOT_LISTENING):
                break
            print(f"again  {event.name}: it was started before the container's runtime API listened", flush=True)
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        try:
            return json.loads(lines[-1])
        except (IndexError, ValueError):
            raise StackError(f"no answer from `sam local invoke`:\n{done.stdout}\n{done.stderr[-3000:]}") from None

    def close(self) -> None:
        self._template.unlink(missing_ok=True)


def complaints(expected: Mapping[str, Any], answer: Any) -> list[str]:
    """What is wrong with an answer."""
    fields = answer if isinstance(answer, dict) else {}
    found = []
    if expected.get("fails", False) != ("errorType" in fields):
        found.append("the invocation fails" if "errorType" in fields else "the invocation does not fail")
    if "status" in expected:
        if fields.get("statusCode") != expected["status"]:
            found.append(f"status {fields.get('statusCode')}")
        if _error_type(fields) != expected.get("error"):
            found.append(f"error {_error_type(fields)}")
    # A body is a string of JSON within JSON: look into it as it is, too.
    text = json.dumps(answer, separators=(",", ":"))
    plain = text + str(fields.get("body", ""))
    found += [f"no {part}" for part in expected.get("contains", []) if part not in plain]
    return [*found, text[:1500]] if found else []


def changes(expected: Mapping[str, Any], before: Mapping[str, str], account: world.Account) -> list[str]:
    """What is wrong with what an event changed. (How many calls it took is counted in process.)"""
    after = account.executions()
    deleted = sorted(before.keys() - after.keys())
    changed = sorted(f"{key} {status}" for key, status in after.items() if before.get(key) != status)
    canceled = sorted(f"{key} CANCELED" for key in expected.get("canceled", []))
    found = []
    if deleted != sorted(expected.get("deleted", [])):
        found.append(f"deleted {deleted}")
    if changed != canceled:
        found.append(f"changed {changed}")
    if "sweep" in expected:
        status = json.loads(account.read(f"sweeps/{expected['sweep']}/state.json"))["status"]
        if status != expected["sweep_status"]:
            found.append(f"the sweep's status is {status}")
    return found


def _error_type(answer: Mapping[str, Any]) -> str | None:
    lower = {name.lower(): value for name, value in (answer.get("headers") or {}).items()}
    return lower.get("x-amzn-errortype")


def invoke_all(stack: Stack, local: Local, wanted: list[str]) -> dict[str, list[str]]:
    """What is wrong, by event."""
    expected = tomllib.loads((world.EVENTS / "expected.toml").read_text())
    files = sorted(world.EVENTS.glob("*.json"))
    strays = sorted(set(expected) ^ {file.name for file in files})
    results = {name: ["is not both a file of events/ and in events/expected.toml"] for name in strays}
    chosen = [file for file in files if file.name in expected and (not wanted or any(w in file.name for w in wanted))]
    accounts = world.make(stack, len(chosen))

    def one(event: Path, account: world.Account) -> list[str]:
        wants = expected[event.name]
        try:
            before = account.executions()
            answer = local.invoke(event, account)
            return complaints(wants, answer) + changes(wants, before, account)
        except (StackError, subprocess.TimeoutExpired) as error:
            return [str(error)]

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for event, found in zip(chosen, pool.map(one, chosen, accounts), strict=True):
            results[event.name] = found
            say(f"sam local invoke {event.name}", found)
    return results


def say(what: str, found: list[str]) -> None:
    print(f"{'FAILED' if found else 'ok    '} {what}", flush=True)
    for line in found:
        print(f"         {line}")


@contextlib.contextmanager
def api(local: Local, account: world.Account) -> Iterator[str]:
    """`sam local start-api` on a loopback port."""
    port = free_port()
    log = (BUILD_DIRECTORY / "start-api.log").open("wb")
    running = subprocess.Popen(
        local.command(account, "start-api", "--host", "127.0.0.1", "--port", str(port), "--warm-containers", "LAZY"),
        cwd=ROOT, env=local.environment(account), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        start_new_session=True,
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


# It carries no IAM identity: a malformed request is told what is wrong, and a well-formed one is refused.
CANCEL = "/things/sensor-1/jobs/job-1/cancel"
DELETE = "/things/sensor-1/jobs/job-1/executionNumber/1"
REFUSED = {"status": 403, "error": "AccessDeniedException", "contains": ["carries no IAM identity"]}
INVALID = {"status": 400, "error": "InvalidRequestException"}
HTTP_CALLS: list[tuple[str, str, str | None, dict[str, Any]]] = [
    ("PUT", CANCEL, None, REFUSED),
    ("PUT", CANCEL + "?force=true", '{"expectedVersion":1}', REFUSED),
    ("PUT", CANCEL + "?force=perhaps", None, {**INVALID, "contains": ["force"]}),
    ("PUT", CANCEL, "{", {**INVALID, "contains": ["body"]}),
    ("PUT", "/things/a%3Ab/jobs/job-1/cancel", None, REFUSED),
    ("DELETE", DELETE, None, REFUSED),
    ("DELETE", DELETE + "?nonsense=1", None, {**INVALID, "contains": ["nonsense"]}),
    ("POST", "/sweeps", '{"operation":"delete-expired"}', REFUSED),
    ("GET", "/sweeps", None, REFUSED),
    ("GET", "/nowhere", None, {"status": 403}),
]


def call_all(local: Local, account: world.Account) -> dict[str, list[str]]:
    """What is wrong, by HTTP call."""
    results = {}
    with api(local, account) as url:
        for method, path, body, wants in HTTP_CALLS:
            found = complaints(wants, call(url, method, path, body))
            name = f"{method} {path} {body or ''}".strip()
            results[name] = found
            say(f"sam local start-api {name}", found)
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
    with Stack.empty(address=address, say=print) as stack:
        local = Local(stack)
        try:
            results = invoke_all(stack, local, wanted)
            if not wanted or "start-api" in wanted:
                results |= call_all(local, world.Account(stack, 999))
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
