"""Jobwarden on this machine: the real template, deployed by `sam deploy` to an emulator on loopback.

From a test or a script (run it with `.local/venv-clients/bin/python`, which has boto3):

    from stack import Stack                       # with dev/ on sys.path

    with Stack.start(parameters={"DryRun": "false"}) as stack:
        stack.api_url                             # of the deployed REST API, on loopback, no DNS needed
        stack.endpoint, stack.region              # of the emulator: endpoint_url and region of any client
        stack.outputs["BucketName"]               # every output of the template
        stack.credentials["operator"]             # also "force" and "nobody"; the users behind them are
                                                  # "anna", "fred" and "mallory": Credentials
        stack.session("operator")                 # a boto3 session of that caller
        stack.client("iot")                       # the account's root; endpoint and region are set
        stack.client("iot", caller="operator", endpoint_url=stack.api_url)
        stack.set_time_offset("-40d")             # AWS IoT now lives forty days ago; "+0d" comes back
        stack.logs("CancelExecution")             # what that function logged, as a list of dicts and strings
        stack.invoke("StartSweep", {...})         # a direct invocation, as admin
        stack.deploy({"DryRun": "true"})          # again, with other parameters
        stack.environment("operator")             # AWS_* variables for a child process such as the AWS CLI

Every stack has its own emulator on a port of its own and its own files under `.local/stacks/`, so that
several run at once. Leaving the `with` ends the emulator; so does the end of the process that started it.

`Stack.start(name=..., say=...)`: `say` is called with one line for each step, for those who show progress.

From a shell:

    python dev/stack.py build | up | down | status
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environments
import fast
import gaps
from environments import LOCAL, ROOT, program

REGION = "eu-west-1"
STACK_NAME = "jobwarden"
BUILD_DIRECTORY = LOCAL / "build"
STACKS_DIRECTORY = LOCAL / "stacks"
STACK_ENV = LOCAL / "stack.env"
STACK_PROFILES = LOCAL / "stack.aws"

# Callers of the API, and the roles they assume. Access policies know the first two by name.
CALLERS = {"operator": "jobwarden-operators", "force": "jobwarden-force", "nobody": "jobwarden-nobody"}
# The IAM users behind them: each may assume its one role, and nothing else.
USERS = {"operator": "anna", "force": "fred", "nobody": "mallory"}

# What a stack for tests and the demo has otherwise than a first deployment: schedules stand still, so that
# no sweep starts by itself.
PARAMETERS = {
    "CreateOperatorRoles": "true",
    "DeleteExpiredScheduleState": "DISABLED",
    "CancelStaleScheduleState": "DISABLED",
    "ApiRateLimit": "1000",
    "ApiBurstLimit": "1000",
    # The emulator does not know AWS::Logs::QueryDefinition.
    "LogQueries": "false",
}

SOURCES = (
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    ".cargo",
    "template.yaml",
    "shared",
    "aws",
    "functions",
    "policies",
    "tests/Cargo.toml",
    "costs/Cargo.toml",
    "dev/requirements/sam.txt",
)


class StackError(Exception):
    """What went wrong with a stack, in a sentence for the person who started it."""


@dataclass(frozen=True)
class Credentials:
    access_key_id: str
    secret_access_key: str
    session_token: str

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_SESSION_TOKEN": self.session_token,
        }


ADMIN = Credentials("test", "test", "")


def _quiet(_line: str) -> None:
    pass


def _child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without its AWS settings, which must not reach a real account, and without
    settings of the functions, which refuse those that they do not know."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JOBWARDEN_"))}
    return {
        **inherited,
        "SAM_CLI_TELEMETRY": "0",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        **extra,
    }


# ---- Building ---------------------------------------------------------------------------------------------


def _fingerprint() -> str:
    digest = hashlib.sha256(json.dumps([fast.ENVIRONMENT, fast.ARCHITECTURE]).encode())
    for source in SOURCES:
        path = ROOT / source
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def build(say: Callable[[str], None] = _quiet) -> Path:
    """Builds the functions with `sam build` in the fast profile, if a source changed; gives the template.

    With STACK_KEEP_BUILD=1 the last build is used as it is, for work on something else meanwhile.
    """
    if platform.system() != "Linux":
        raise StackError("the functions are Linux programs, and the emulator runs them here: use Linux, or WSL")
    LOCAL.mkdir(exist_ok=True)
    with (LOCAL / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        template = BUILD_DIRECTORY / "template.yaml"
        stamp = BUILD_DIRECTORY / "stamp"
        wanted = _fingerprint()
        if not (template.is_file() and (os.environ.get("STACK_KEEP_BUILD") == "1" or _text(stamp) == wanted)):
            environments.ensure("sam")
            _sam_build(say)
            stamp.write_text(wanted)
        return template


def _sam_build(say: Callable[[str], None]) -> None:
    log = LOCAL / "build.log"
    say(f"sam build (minutes the first time; {log.relative_to(ROOT)})")
    tools = program("sam", "sam").parent
    command = [tools / "sam", "build", "--template", ROOT / "template.yaml", "--build-dir", BUILD_DIRECTORY]
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    began = time.time()
    with log.open("w") as output:
        running = subprocess.Popen(
            [*command, "--parameter-overrides", f"Architecture={fast.ARCHITECTURE}"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_child_environment({**fast.ENVIRONMENT, "AWS_DEFAULT_REGION": REGION, "PATH": path}),
        )
        while True:
            try:
                running.wait(timeout=20)
                break
            except subprocess.TimeoutExpired:
                say(f"sam build: {_crates_built_since(began)} crates so far, {time.time() - began:.0f} s")
            except BaseException:
                running.terminate()
                raise
    if running.returncode != 0:
        raise StackError(f"sam build failed:\n{_tail(log, 40)}")


def _crates_built_since(began: float) -> int:
    """`sam build` keeps cargo's output to itself; what cargo finished is in its directory."""
    finished = (ROOT / "target" / fast.TRIPLE / "release" / "deps").glob("*.d")
    return sum(1 for file in finished if file.stat().st_mtime >= began)


def _text(file: Path) -> str:
    return file.read_text(errors="replace") if file.is_file() else ""


def _tail(file: Path, lines: int) -> str:
    return "\n".join(file.read_text(errors="replace").splitlines()[-lines:])


# ---- The stack --------------------------------------------------------------------------------------------


class Stack:
    """A deployed stack on an emulator of its own. Made by `Stack.start`."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self.name = name
        self.region = REGION
        self.directory = STACKS_DIRECTORY / name
        self.outputs: dict[str, str] = {}
        self.credentials: dict[str, Credentials] = {}
        self.parameters: dict[str, str] = {}
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._address = "127.0.0.1"

    @classmethod
    def start(
        cls,
        parameters: Mapping[str, str] | None = None,
        *,
        name: str | None = None,
        say: Callable[[str], None] = _quiet,
        emulator_environment: Mapping[str, str] | None = None,
        detached: bool = False,
    ) -> Stack:
        """Builds, starts an emulator and deploys to it. With `detached` it outlives this process."""
        environments.ensure("sam", "emulator")
        template = build(say)
        stack = cls.empty(name=name, say=say, emulator_environment=emulator_environment, detached=detached)
        try:
            stack._template = template
            stack.deploy(parameters or {})
            stack._make_nobody()
            stack._make_users()
            stack.renew_credentials()
        except BaseException:
            stack.stop(keep_files=True)
            raise
        return stack

    @classmethod
    def empty(
        cls,
        *,
        name: str | None = None,
        say: Callable[[str], None] = _quiet,
        emulator_environment: Mapping[str, str] | None = None,
        detached: bool = False,
        address: str = "127.0.0.1",
    ) -> Stack:
        """Starts an emulator and deploys nothing.

        It listens on loopback, unless `address` says otherwise: that of Docker's bridge is one that containers
        reach.
        """
        environments.ensure("emulator")
        _remove_leftovers()
        stack = cls(name or f"{os.getpid()}-{secrets.token_hex(3)}", say)
        stack._address = address
        try:
            stack._start_emulator(emulator_environment or {}, detached)
        except BaseException:
            stack.stop(keep_files=True)
            raise
        return stack

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- Where things are --

    @property
    def endpoint(self) -> str:
        return f"http://{self._address}:{self._port}"

    @property
    def api_url(self) -> str:
        """The deployed API. (`{id}.execute-api.localhost` would need a resolver that knows `*.localhost`.)"""
        return f"{self.endpoint}/_aws/execute-api/{self.outputs['ApiId']}/{self.outputs['ApiStage']}"

    @property
    def emulator_log(self) -> Path:
        return self.directory / "emulator.log"

    # -- Clients --

    def session(self, caller: str = "admin") -> Any:
        """A boto3 session of `operator`, `force`, `nobody` or `admin`."""
        import boto3

        credentials = ADMIN if caller == "admin" else self.credentials[caller]
        return boto3.Session(
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            aws_session_token=credentials.session_token or None,
            region_name=self.region,
        )

    def client(self, service: str, caller: str = "admin", **settings: Any) -> Any:
        """A boto3 client of a caller; it goes to the emulator unless `endpoint_url` says otherwise."""
        return self.session(caller).client(service, **{"endpoint_url": self.endpoint, **settings})

    def environment(self, caller: str = "admin") -> dict[str, str]:
        """The environment of a child process that acts as a caller, for example the AWS CLI."""
        credentials = ADMIN if caller == "admin" else self.credentials[caller]
        return _child_environment(
            {
                **{name: value for name, value in credentials.environment().items() if value},
                "AWS_ENDPOINT_URL": self.endpoint,
                "AWS_REGION": self.region,
                "AWS_DEFAULT_REGION": self.region,
            }
        )

    def settings(self) -> dict[str, str]:
        """Where it is and whom it knows, as variables of a shell. The AWS CLI's profiles are in `profiles`.

        `CLOCK` is a file with how far from the present its AWS IoT lives, such as `-40d`.
        """
        settings = {
            "API_URL": self.api_url,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "BUCKET": self.outputs["BucketName"],
            "CLOCK": str(self.directory / "clock"),
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        for caller, credentials in {**self.credentials, "admin": ADMIN}.items():
            settings[f"{caller.upper()}_ACCESS_KEY_ID"] = credentials.access_key_id
            settings[f"{caller.upper()}_SECRET_ACCESS_KEY"] = credentials.secret_access_key
            settings[f"{caller.upper()}_SESSION_TOKEN"] = credentials.session_token
        return settings

    def profiles(self) -> str:
        """A configuration file for the AWS CLI: the account's administrator, and a profile of each caller."""
        parts = []
        for name, credentials in {"default": ADMIN, **self.credentials}.items():
            settings = {name.lower(): value for name, value in credentials.environment().items() if value}
            lines = [f"{key} = {value}" for key, value in {"region": self.region, **settings}.items()]
            parts.append("\n".join([f"[{name}]" if name == "default" else f"[profile {name}]", *lines]))
        return "\n\n".join(parts) + "\n"

    # -- Doing things --

    def set_time_offset(self, offset: str) -> None:
        """Moves AWS IoT's clock: `-40d`, `-90m`, and `+0d` for the present."""
        from emulator import parse_offset

        parse_offset(offset)
        written = self.directory / "clock.new"
        written.write_text(offset, encoding="ascii")
        written.replace(self.directory / "clock")

    def function_name(self, function: str) -> str:
        return self.outputs[f"{function}FunctionName"]

    def invoke(self, function: str, event: Mapping[str, Any], **settings: Any) -> Any:
        """Invokes a function by its id in the template; gives what it returned, or raises what it raised."""
        response = self.client("lambda").invoke(
            FunctionName=self.function_name(function), Payload=json.dumps(event).encode(), **settings
        )
        payload = response["Payload"].read()
        if "FunctionError" in response:
            raise StackError(f"{function} failed: {payload.decode(errors='replace')}")
        return json.loads(payload) if payload else None

    def logs(self, function: str) -> list[Any]:
        """What a function has logged, oldest first: dicts where it logged JSON, else strings."""
        slug = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in function).lstrip("-")
        return [_json_or_text(message) for message in self._log_messages(f"/aws/lambda/{STACK_NAME}-{slug}")]

    def events(self, function: str) -> list[dict[str, Any]]:
        """Of that, the lines about events: a line of metrics has no `fields`."""
        return [line for line in self.logs(function) if isinstance(line, dict) and "fields" in line]

    def _log_messages(self, group: str) -> Iterator[str]:
        logs = self.client("logs")
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
            for event in page["events"]:
                yield event["message"]

    def deploy(self, parameters: Mapping[str, str]) -> None:
        """Deploys the built template; `parameters` are added to those of the last deployment."""
        self.parameters = {**PARAMETERS, "Architecture": fast.ARCHITECTURE, **self.parameters, **parameters}
        self._say("sam deploy")
        log = self.directory / "deploy.log"
        with log.open("a") as output:
            done = subprocess.run(
                [
                    program("sam", "sam"),
                    "deploy",
                    "--template-file",
                    self._template,
                    "--stack-name",
                    STACK_NAME,
                    "--region",
                    self.region,
                    "--resolve-s3",
                    "--capabilities",
                    "CAPABILITY_NAMED_IAM",
                    "--no-confirm-changeset",
                    "--no-fail-on-empty-changeset",
                    "--no-progressbar",
                    "--parameter-overrides",
                    *(f'{name}="{value}"' for name, value in self.parameters.items()),
                ],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                env=self.environment(),
            )
        if done.returncode != 0:
            raise StackError(f"sam deploy failed:\n{_tail(log, 40)}")
        cloudformation = self.client("cloudformation")
        described = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"][0]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
        gaps.close(
            cloudformation.get_template(StackName=STACK_NAME, TemplateStage="Processed")["TemplateBody"],
            {
                resource["LogicalResourceId"]: resource["PhysicalResourceId"]
                for resource in cloudformation.describe_stack_resources(StackName=STACK_NAME)["StackResources"]
            },
            {given["ParameterKey"]: given["ParameterValue"] for given in described["Parameters"]},
            self.client,
        )

    def renew_credentials(self) -> None:
        """Assumes the roles of the callers, each as its own user."""
        for caller, role in CALLERS.items():
            assumed = self.client("sts", caller=USERS[caller]).assume_role(
                RoleArn=self._role_arn(role), RoleSessionName=caller, DurationSeconds=43200
            )["Credentials"]
            self.credentials[caller] = Credentials(
                assumed["AccessKeyId"], assumed["SecretAccessKey"], assumed["SessionToken"]
            )

    def _role_arn(self, role: str) -> str:
        return f"arn:aws:iam::{self.client('sts').get_caller_identity()['Account']}:role/{role}"

    def _make_users(self) -> None:
        iam = self.client("iam")
        for caller, user in USERS.items():
            statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": self._role_arn(CALLERS[caller])}
            document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.create_user(UserName=user)
            iam.put_user_policy(UserName=user, PolicyName="assume-its-role", PolicyDocument=document)
            key = iam.create_access_key(UserName=user)["AccessKey"]
            self.credentials[user] = Credentials(key["AccessKeyId"], key["SecretAccessKey"], "")

    def _make_nobody(self) -> None:
        """A role that may call the API and that no access policy knows."""
        iam = self.client("iam")
        operators = iam.get_role(RoleName=CALLERS["operator"])["Role"]
        iam.create_role(
            RoleName=CALLERS["nobody"],
            MaxSessionDuration=43200,
            AssumeRolePolicyDocument=json.dumps(operators["AssumeRolePolicyDocument"]),
        )
        for policy in iam.list_role_policies(RoleName=CALLERS["operator"])["PolicyNames"]:
            document = iam.get_role_policy(RoleName=CALLERS["operator"], PolicyName=policy)["PolicyDocument"]
            iam.put_role_policy(RoleName=CALLERS["nobody"], PolicyName=policy, PolicyDocument=json.dumps(document))

    # -- The emulator --

    def _start_emulator(self, extra: Mapping[str, str], detached: bool) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        scratch = self.directory / "tmp"
        scratch.mkdir(parents=True)
        self._port = free_port(self._address)
        self._say(f"starting the emulator on {self.endpoint}")
        environment = _child_environment(
            {
                "AWS_ACCESS_KEY_ID": ADMIN.access_key_id,
                "AWS_SECRET_ACCESS_KEY": ADMIN.secret_access_key,
                # The functions inherit this: their calls come back to the emulator.
                "AWS_ENDPOINT_URL": self.endpoint,
                "AWS_DEFAULT_REGION": self.region,
                "MINISTACK_REGION": self.region,
                "BIND_HOST": self._address,
                "GATEWAY_PORT": str(self._port),
                # Signatures and IAM policies count: of the callers, and of the functions' roles.
                "AUTH": "true",
                "LAMBDA_EXECUTOR": "local",
                # The emulator looks for a Docker engine to tidy up. It is not to find one.
                "DOCKER_HOST": f"unix://{scratch}/no-docker",
                # It would listen for MQTT and SFTP on every interface.
                "IOT_MTLS_ENABLED": "0",
                "SFTP_ENABLED": "0",
                "TMPDIR": str(scratch),
                "STATE_DIR": str(self.directory / "state"),
                "S3_DATA_DIR": str(self.directory / "s3"),
                "PYTHONUNBUFFERED": "1",
                **extra,
            }
        )
        command = [program("emulator", "python"), ROOT / "dev" / "emulator.py", "--clock", self.directory / "clock"]
        if not detached:
            command += ["--parent", str(os.getpid())]
        with self.emulator_log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        (self.directory / "pid").write_text(str(self._process.pid))
        self._wait_until_healthy()

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise StackError(f"the emulator did not start:\n{_tail(self.emulator_log, 20)}")

    def stop(self, keep_files: bool = False) -> None:
        """Ends the emulator and the functions' processes, which are all in its process group."""
        if self._process is not None:
            _end_group(self._process.pid, self._process.poll)
            self._process = None
        if not keep_files:
            shutil.rmtree(self.directory, ignore_errors=True)


def _json_or_text(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line


def free_port(address: str = "127.0.0.1") -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def _end_group(leader: int, ended: Callable[[], object | None]) -> None:
    """Ends a process group that we started, first politely."""
    for polite in (True, False):
        try:
            os.killpg(leader, signal.SIGTERM if polite else signal.SIGKILL)
        except ProcessLookupError:
            ended()
            return
        deadline = time.monotonic() + (10 if polite else 5)
        while time.monotonic() < deadline:
            ended()
            try:
                os.killpg(leader, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)


# ---- The stack that is kept running -------------------------------------------------------------------------


UP_DIRECTORY = STACKS_DIRECTORY / "up"


def _emulator_of(directory: Path) -> int | None:
    """The process of the emulator that has its files in a directory, if it still runs."""
    try:
        pid = int((directory / "pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if str(directory / "clock").encode() in command else None


def _remove_leftovers() -> None:
    """Removes the files of stacks that were not stopped in order, an hour after they were made."""
    for directory in STACKS_DIRECTORY.glob("*"):
        made = directory / "pid"
        if made.is_file() and made.stat().st_mtime < time.time() - 3600 and _emulator_of(directory) is None:
            shutil.rmtree(directory, ignore_errors=True)


def up(parameters: Mapping[str, str]) -> None:
    """Starts a stack that stays, and writes where it is and whom it knows to `.local/stack.env`."""
    if _emulator_of(UP_DIRECTORY) is not None:
        raise StackError(f"a stack is up already, see {STACK_ENV.relative_to(ROOT)}; `make down` ends it")
    stack = Stack.start(parameters, name="up", say=lambda line: print(f"  {line}", flush=True), detached=True)
    lines = {**stack.settings(), "AWS_CONFIG_FILE": str(STACK_PROFILES)}
    STACK_PROFILES.touch(mode=0o600)
    STACK_PROFILES.write_text(stack.profiles())
    STACK_ENV.touch(mode=0o600)
    STACK_ENV.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    print(f"up: {stack.api_url}\nsettings and credentials: {STACK_ENV.relative_to(ROOT)}; `make down` ends it")


def down() -> None:
    """Ends the stack that `up` started."""
    pid = _emulator_of(UP_DIRECTORY)
    if pid is not None:
        _end_group(pid, lambda: None)
    shutil.rmtree(UP_DIRECTORY, ignore_errors=True)
    STACK_ENV.unlink(missing_ok=True)
    STACK_PROFILES.unlink(missing_ok=True)
    print("down" if pid is not None else "no stack was up")


def status() -> None:
    """Says whether a stack is up."""
    pid = _emulator_of(UP_DIRECTORY)
    print("no stack is up" if pid is None else f"up, process {pid}, see {STACK_ENV.relative_to(ROOT)}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Jobwarden's real template on an emulator on loopback")
    parser.add_argument("command", choices=["build", "up", "down", "status"])
    parser.add_argument("parameters", nargs="*", metavar="NAME=VALUE", help="parameters of the template, for `up`")
    arguments = parser.parse_args()
    try:
        if arguments.command == "build":
            build(lambda line: print(line, flush=True))
        elif arguments.command == "up":
            up(dict(parameter.split("=", 1) for parameter in arguments.parameters))
        elif arguments.command == "down":
            down()
        else:
            status()
    except StackError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "dev"))
    main()
