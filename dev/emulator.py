"""Runs the AWS emulator (ministack) on a loopback port, with a clock for AWS IoT that can be moved.

The clock is a file: `-40d` in it makes AWS IoT (its jobs, executions and devices) live forty days ago,
and `+0d` brings it back. Only IoT is moved. Signatures, queues, schedules and the functions stay in the
present, as they have to: a signature of forty days ago is refused, and a function's deadline would be over.

Started by `dev/stack.py` with the emulator's own environment; not meant to be called by hand.
"""

from __future__ import annotations

import argparse
import datetime as real_datetime
import os
import re
import signal
import sys
import threading
import time as real_time
import types
from pathlib import Path

OFFSET = re.compile(r"([+-])(\d+(?:\.\d+)?)([smhdw])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_offset(text: str) -> float:
    """The seconds that an offset such as `-40d` or `-1.5h` stands for."""
    match = OFFSET.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"`{text}` is not an offset such as -40d, -1.5h or +0d")
    sign, number, unit = match.groups()
    return (-1 if sign == "-" else 1) * float(number) * SECONDS[unit]


class Clock:
    """The present, moved by what the control file says at the time of asking."""

    def __init__(self, control: Path) -> None:
        self._control = control

    def offset(self) -> float:
        try:
            return parse_offset(self._control.read_text(encoding="ascii"))
        except FileNotFoundError:
            return 0.0

    def time(self) -> float:
        return real_time.time() + self.offset()


def moved_time_module(clock: Clock) -> types.ModuleType:
    """The module `time`, except for the time."""
    module = types.ModuleType("time")
    module.__dict__.update({name: getattr(real_time, name) for name in dir(real_time)})
    module.time = clock.time
    module.time_ns = lambda: int(clock.time() * 1e9)
    return module


def moved_datetime_class(clock: Clock) -> type[real_datetime.datetime]:
    """The class `datetime`, except for what it says is now."""

    class MovedDatetime(real_datetime.datetime):
        @classmethod
        def now(cls, tz: real_datetime.tzinfo | None = None) -> real_datetime.datetime:
            return real_datetime.datetime.fromtimestamp(clock.time(), tz)

    return MovedDatetime


def call_loopback_tls(app: types.ModuleType) -> None:
    """Lets plain HTTP on loopback stand for TLS: the template's policies refuse everything else."""
    pin = app.pin_request_origin
    app.pin_request_origin = lambda source_ip, _secure: pin(source_ip, True)


def exit_with(parent: int) -> None:
    """Ends this process when the one that started it is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            real_time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clock", type=Path, required=True, help="the control file of the clock")
    parser.add_argument("--parent", type=int, help="end when this process is no longer the parent")
    arguments = parser.parse_args()
    if arguments.parent:
        exit_with(arguments.parent)

    from ministack import app
    from ministack.services import iot

    clock = Clock(arguments.clock)
    for name in ("time", "datetime"):
        if not hasattr(iot, name):
            raise SystemExit(f"this version of the emulator's IoT does not use `{name}`: its clock cannot be moved")
    iot.time = moved_time_module(clock)
    iot.datetime = moved_datetime_class(clock)

    call_loopback_tls(app)

    sys.argv = sys.argv[:1]
    app.main()


if __name__ == "__main__":
    main()
