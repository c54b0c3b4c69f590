"""What is run: the functions as deployed, the peers, and how they are built."""

from __future__ import annotations

import os
import subprocess
import sys

import fast
from environments import ROOT, ensure, program

from .endpoint import Endpoint
from .places import FUNCTIONS, PEERS, TARGET
from .process import Program

BUCKET = "jobwarden"

API = ("cancel-execution", "delete-execution", "start-sweep", "read-sweeps", "read-decision")
WORKERS = ("delete-expired", "cancel-stale")
OTHERS = ("validate-access-policy", "validate-retention-rules")
OURS = API + WORKERS + OTHERS

HELLO = "hello"
FLOOR = "floor"
# A function that makes the calls of a cancel by the SDK, and nothing else.
SDK = "three_calls"
PYTHON = ("cancel", "cancel_reading", "delete", "delete_reading")

COMPILED = {"ACCESS_POLICY": "compiled"}
SCHEDULES = "arn:aws:scheduler:eu-west-1:123456789012:schedule/default/jobwarden"
WORKER = {
    **COMPILED,
    "RETENTION_RULES": "compiled",
    "BUCKET": BUCKET,
    "DRY_RUN": "false",
    "LANES": "",
    "CALLS_PER_SECOND": "1000",
}


def build() -> None:
    """Builds the endpoint and what is measured, in the deployed profile, and the peers' environment.

    BENCH_KEEP_BUILD=1 takes what was built before.
    """
    ensure("peers")
    if os.environ.get("BENCH_KEEP_BUILD") == "1":
        return
    environment = {**os.environ, "CARGO_TARGET_DIR": str(TARGET)}
    benches = ["--release", "--locked", "--manifest-path", "benches/Cargo.toml"]
    # What measures is tested first.
    _run(["cargo", "test", "--quiet", *benches, "--bin", "endpoint"], environment)
    _run(["cargo", "build", *benches, "--bins"], environment)
    packages = [word for name in OURS for word in ("--package", name)]
    # As `cargo lambda` builds for AWS Lambda, but by this machine's own linker.
    environment["CARGO_TARGET_DIR"] = str(FUNCTIONS)
    _run(fast.cargo("build", *packages), environment)
    _run(fast.cargo("build", "--package", "aws", "--example", SDK), environment)


def _run(command: list[str], environment: dict[str, str]) -> None:
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0:
        raise SystemExit(f"cannot be built: {' '.join(command)}")


def binary(name: str) -> str:
    """Where the binary of one of our functions is."""
    return str(FUNCTIONS / fast.TRIPLE / "release" / name)


def ours(name: str, endpoint: Endpoint, calls_per_second: float | None = None) -> Program:
    """One of our functions with the settings that the template gives it."""
    queues = {operation: f"{endpoint.sqs}/123456789012/jobwarden-{operation}.fifo" for operation in WORKERS}
    settings = {
        "cancel-execution": {**COMPILED, "CALLER_IDENTITY": "iam"},
        "delete-execution": {**COMPILED, "CALLER_IDENTITY": "iam", "BUCKET": BUCKET},
        "start-sweep": {
            **COMPILED,
            "CALLER_IDENTITY": "iam",
            "BUCKET": BUCKET,
            "DRY_RUN": "false",
            "LANES": "",
            "DELETE_EXPIRED_QUEUE_URL": queues["delete-expired"],
            "CANCEL_STALE_QUEUE_URL": queues["cancel-stale"],
            **{
                f"{operation.upper().replace('-', '_')}_SCHEDULE_ARN": f"{SCHEDULES}-{operation}"
                for operation in WORKERS
            },
        },
        "delete-expired": {**WORKER, "RETIRE_JOBS": "false", "QUEUE_URL": queues["delete-expired"]},
        "cancel-stale": {**WORKER, "QUEUE_URL": queues["cancel-stale"]},
        "read-sweeps": {**COMPILED, "CALLER_IDENTITY": "iam", "BUCKET": BUCKET},
        "read-decision": {**COMPILED, "CALLER_IDENTITY": "iam"},
    }.get(name, {})
    if calls_per_second is not None:
        settings = {**settings, "CALLS_PER_SECOND": f"{calls_per_second:g}"}
    return Program(name, (binary(name),), {f"JOBWARDEN_{key}": value for key, value in settings.items()})


def hello() -> Program:
    """A function of lambda_runtime that does nothing."""
    return Program(HELLO, (str(TARGET / "release" / "hello"),))


def floor() -> Program:
    """A function that makes one signed call with hyper, and nothing else."""
    return Program(FLOOR, (str(TARGET / "release" / "floor"), "--function"))


def sdk() -> Program:
    """A function that makes the calls of a cancel by the SDK, and nothing else."""
    return Program("SDK alone", (str(FUNCTIONS / fast.TRIPLE / "release" / "examples" / SDK),))


def python(handler: str) -> Program:
    """A Python function with boto3, started as AWS Lambda's own runtime does it."""
    environment = {"PYTHONPATH": str(PEERS), "_HANDLER": f"function.{handler}", "JOBWARDEN_BUCKET": BUCKET}
    command = (str(program("peers", "python")), "-m", "awslambdaric", f"function.{handler}")
    return Program(f"boto3 {handler}".replace("_", " "), command, environment)


def versions() -> dict[str, str]:
    """The versions of everything that was run."""
    return {
        "jobwarden": _first_line("git", "describe", "--always", "--dirty"),
        "rustc": _first_line("rustc", "--version"),
        "python": sys.version.split()[0],
        **_pinned("boto3", "botocore", "awslambdaric", "awscli"),
        **_locked(ROOT / "Cargo.lock", "lambda_runtime", "aws-sdk-iot", "cedar-policy", "tokio", "hyper", "rustls"),
    }


def _first_line(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.splitlines()[0] if done.stdout else "unknown"


def _pinned(*names: str) -> dict[str, str]:
    lines = (ROOT / "dev" / "requirements" / "peers.txt").read_text().split()
    pinned = dict(line.split("==", 1) for line in lines)
    return {name: pinned[name] for name in names}


def _locked(lock: os.PathLike[str], *names: str) -> dict[str, str]:
    import tomllib

    with open(lock, "rb") as file:  # noqa: PTH123
        packages = tomllib.load(file)["package"]
    return {package["name"]: package["version"] for package in packages if package["name"] in names}
