"""One deployed stack for the whole suite, and the clients of its principals."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator

import boto3
import botocore.config
import pytest
from botocore.credentials import Credentials

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("dev", "clients", "tests/e2e", "tests/openapi", "tests/docs")]

import fast  # noqa: E402
import faults as faults_module  # noqa: E402
import fleet as fleet_module  # noqa: E402
from jobwarden_client import sign_for_api_gateway  # noqa: E402
from stack import Stack  # noqa: E402
from wire import Wire, documented  # noqa: E402
from world import World  # noqa: E402

# The emulator has no quota, so the suite's sweeps need not keep one.
PARAMETERS = {"DryRun": "false", "CallsPerSecond": "1000", "SliceSeconds": "60"}


@dataclasses.dataclass(frozen=True)
class Principal:
    """A caller of the API with every client the recipes name."""

    name: str
    api_url: str
    region: str
    credentials: Credentials

    def boto3(self, **options: object):
        """The IoT client, pointed at Jobwarden as clients/README.md says; it does not retry by itself."""
        config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=60)
        return sign_for_api_gateway(self.session.client("iot", endpoint_url=self.api_url, config=config), **options)

    @property
    def session(self) -> boto3.Session:
        keys = self.credentials
        return boto3.Session(keys.access_key, keys.secret_key, keys.token, self.region)

    @property
    def wire(self) -> Wire:
        return Wire(self.api_url, self.region, self.credentials)

    @property
    def environment(self) -> dict[str, str]:
        """What a shell of this principal has set, and nothing of the developer's own."""
        return {
            "PATH": os.environ["PATH"],
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_PAGER": "",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": self.credentials.secret_key,
            "AWS_SESSION_TOKEN": self.credentials.token or "",
        }

    @property
    def recipe(self) -> dict[str, str]:
        """What a process needs besides that only ever talks to Jobwarden."""
        return {"AWS_DATA_PATH": str(ROOT / "clients" / "models"), "AWS_ENDPOINT_URL_IOT": self.api_url}

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`aws iot ...` against Jobwarden, with the recipe's two variables."""
        aws = pathlib.Path(sys.executable).with_name("aws")
        return subprocess.run(
            [sys.executable, aws, "iot", *arguments],
            env={**self.environment, **self.recipe},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def curl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The curl recipe; the body and then the status on a line of its own."""
        command = ["curl", "--silent", "--show-error", "--aws-sigv4", f"aws:amz:{self.region}:execute-api"]
        command += ["--user", f"{self.credentials.access_key}:{self.credentials.secret_key}"]
        if self.credentials.token:
            command += ["--header", f"x-amz-security-token: {self.credentials.token}"]
        command += ["--header", "content-type: application/json", "--write-out", "\n%{http_code}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--terminal-to", help="where the picture of a terminal is to be put")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with Stack.start(PARAMETERS) as running, documented(running.api_url):
        yield running


@pytest.fixture(scope="session")
def world(stack: Stack) -> World:
    return World(stack)


@pytest.fixture(scope="session")
def principals(stack: Stack) -> Callable[[str], Principal]:
    def principal(name: str) -> Principal:
        keys = stack.credentials[name]
        credentials = Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token)
        return Principal(name, stack.api_url, stack.region, credentials)

    return principal


@pytest.fixture(scope="session")
def operator(principals) -> Principal:
    return principals("operator")


@pytest.fixture(scope="session")
def force(principals) -> Principal:
    return principals("force")


@pytest.fixture(scope="session")
def nobody(principals) -> Principal:
    return principals("nobody")


@pytest.fixture(scope="session")
def binary() -> pathlib.Path:
    """`jobwarden`, built as a part of the whole workspace, so that nothing that is there already is compiled again."""
    cargo = [sys.executable, ROOT / "dev" / "fast.py", "build", "--quiet", "--workspace", "--bin", "jobwarden"]
    subprocess.run(cargo, cwd=ROOT, check=True, timeout=1800)
    return ROOT / "target" / fast.TRIPLE / "release" / "jobwarden"


@pytest.fixture(scope="session")
def faults(stack: Stack, tmp_path_factory) -> Iterator[faults_module.Faults]:
    log = tmp_path_factory.mktemp("faults") / "microburst.log"
    with faults_module.proxy(stack.endpoint, log) as running:
        # Its first fault takes seconds, while it reads the services' models: longer than a function waits.
        with running.injected({"service": "iot", "operation": "DescribeJobExecution", "error": {"code": "Gone"}}):
            client = stack.client("iot", endpoint_url=running.url)
            with contextlib.suppress(client.exceptions.ClientError):
                client.describe_job_execution(jobId="j", thingName="t")
        yield running


@pytest.fixture
def fleet(world: World) -> fleet_module.Fleet:
    """A fresh fleet with ninety days of history, alone in the account, with no sweep at work."""
    world.end_sweeps()
    world.wipe()
    return fleet_module.make(world.stack)
