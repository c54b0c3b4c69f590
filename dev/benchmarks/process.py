"""Functions as plain processes: what AWS Lambda starts, started here, and looked at while it runs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .endpoint import Endpoint
from .places import LOGS

Json = dict[str, Any]


@dataclass(frozen=True)
class Program:
    """How a function is started."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class Running:
    """A function that has asked for work."""

    endpoint: Endpoint
    pid: int
    log: Path
    # Seconds from the start of the process to its first poll of the Runtime API.
    init: float = 0.0
    # After its end: the seconds of CPU that it took, in all.
    cpu: float = 0.0

    def invoke(self, event: Json) -> tuple[Any, float]:
        return self.endpoint.invoke(event)

    def peak(self) -> float:
        """The most memory that was resident, in MB (10^6 bytes)."""
        return high_water(Path(f"/proc/{self.pid}/status").read_text())


def high_water(status: str) -> float:
    """What the text of /proc/PID/status says was the most that was resident, in MB (10^6 bytes)."""
    told = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    if not told:
        raise ValueError("VmHWM is not told; has the process ended?")
    return int(told[1]) * 1024 / 1e6


@contextlib.contextmanager
def running(endpoint: Endpoint, program: Program) -> Iterator[Running]:
    """Starts a function, waits until it asks for work, and ends it."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "AWS_LAMBDA_RUNTIME_API": endpoint.runtime,
        "AWS_LAMBDA_FUNCTION_NAME": program.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "AWS_LAMBDA_LOG_GROUP_NAME": "group",
        **endpoint.environment(),
        **program.environment,
    }
    log = LOGS / f"{program.name}.log"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [(os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644), (os.POSIX_SPAWN_DUP2, 1, 2)]
    endpoint.forget()
    began = time.time()
    pid = os.posix_spawn(program.command[0], program.command, environment, file_actions=actions)
    process = Running(endpoint, pid, log)
    try:
        process.init = first_poll(endpoint, pid, log) - began
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            _, _, usage = os.wait4(pid, 0)
            process.cpu = usage.ru_utime + usage.ru_stime
        endpoint.forget()


def first_poll(endpoint: Endpoint, pid: int, log: Path) -> float:
    """When the function polled first. One that never does ends the run with its log."""
    try:
        return endpoint.polled()
    except TimeoutError as error:
        ended, status = os.waitpid(pid, os.WNOHANG)
        what = f"ended with {os.waitstatus_to_exitcode(status)}" if ended else "never asked for work"
        lines = log.read_text().splitlines()[-20:]
        raise SystemExit("\n".join([f"{log.stem} {what}: {error}", *lines])) from None
