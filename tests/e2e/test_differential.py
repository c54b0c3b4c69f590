"""The in-process account against the emulator: the same random commands, and the same comes of them.

What is found in the one and not in the other is a mistake in one of them. Known differences, which are left out:
the emulator has no retries, lists in another order, tells no forceCanceled, and reads the clock; the fake knows no
transitions that a device may not make, so devices make only those that they may.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import subprocess
import sys

import botocore.exceptions
import pytest
from conftest import ROOT

SEEDS = [int(seed) for seed in os.environ.get("DIFFERENTIAL_SEEDS", "1 2 3 4 5 6").split()]
COMMANDS = 120
ACTIVE = {"QUEUED": ["IN_PROGRESS", "REJECTED"], "IN_PROGRESS": ["IN_PROGRESS", "SUCCEEDED", "FAILED"]}
STATUSES = ["QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED", "CANCELED"]


@dataclasses.dataclass
class Fake:
    """The account in the process of an example of the Rust tests."""

    process: subprocess.Popen

    def __call__(self, command: dict) -> dict:
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture
def fake():
    cargo = [sys.executable, ROOT / "dev" / "fast.py", "run", "--quiet", "--package", "tests"]
    # The emulator deletes what is QUEUED without force, as AWS has been seen to.
    command = [*cargo, "--example", "fake_account", "--", "--deletes-queued"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Fake(process)
        process.stdin.close()


class Emulator:
    """The same commands for the emulator, in the same words."""

    def __init__(self, world) -> None:
        self.world = world

    def __call__(self, command: dict) -> dict:
        try:
            return {"ok": getattr(self, command["do"])(**{k: v for k, v in command.items() if k != "do"})}
        except botocore.exceptions.ClientError as error:
            return {"error": error.response["Error"]["Code"]}

    def create(self, job: str, things: list[str]) -> None:
        for thing in things:
            with contextlib.suppress(self.world.iot.exceptions.ResourceAlreadyExistsException):
                self.world.iot.create_thing(thingName=thing)
        targets = [f"{self.world.arn}:thing/{thing}" for thing in things]
        self.world.iot.create_job(jobId=job, document="{}", targetSelection="SNAPSHOT", targets=targets)

    def update(self, job: str, thing: str, status: str) -> None:
        self.world.devices.update_job_execution(jobId=job, thingName=thing, status=status)

    def cancel(self, job: str, thing: str, version: int, force: bool) -> None:
        self.world.iot.cancel_job_execution(jobId=job, thingName=thing, expectedVersion=version, force=force)

    def delete(self, job: str, thing: str, number: int) -> None:
        self.world.iot.delete_job_execution(jobId=job, thingName=thing, executionNumber=number)

    def describe(self, job: str, thing: str, number: int | None = None) -> dict:
        numbered = {} if number is None else {"executionNumber": number}
        found = self.world.iot.describe_job_execution(jobId=job, thingName=thing, **numbered)["execution"]
        return {"number": found["executionNumber"], "status": found["status"], "version": found["versionNumber"]}

    def list(self, job: str, status: str | None = None) -> list[dict]:
        only = {} if status is None else {"status": status}
        rows = self.world.iot.list_job_executions_for_job(jobId=job, **only)["executionSummaries"]
        return [
            {
                "thing": row["thingArn"].rpartition("thing/")[2],
                "number": row["jobExecutionSummary"]["executionNumber"],
                "status": row["jobExecutionSummary"]["status"],
            }
            for row in rows
        ]


def commands(rng: random.Random, known: dict, jobs: list[str], things: list[str]) -> dict:
    """A command at random. Most are about what is there, some about what is not."""
    job, thing = rng.choice(jobs), rng.choice(things)
    there = known.get((job, thing))
    kind = rng.choice(["update", "update", "cancel", "cancel", "delete", "describe", "list"])
    if kind == "update":
        if there is None or there["status"] not in ACTIVE:
            return {"do": "describe", "job": job, "thing": thing}
        return {"do": "update", "job": job, "thing": thing, "status": rng.choice(ACTIVE[there["status"]])}
    if kind == "cancel":
        version = there["version"] if there and rng.random() < 0.8 else rng.randint(1, 5)
        return {"do": "cancel", "job": job, "thing": thing, "version": version, "force": rng.random() < 0.5}
    if kind == "delete":
        return {"do": "delete", "job": job, "thing": thing, "number": rng.choice([1, 1, 1, 2])}
    if kind == "describe":
        return {"do": "describe", "job": job, "thing": thing, **rng.choice([{}, {"number": 1}, {"number": 2}])}
    return {"do": "list", "job": job, **rng.choice([{}, {"status": rng.choice(STATUSES)}])}


def in_order(answer: dict) -> dict:
    if isinstance(answer.get("ok"), list):
        return {"ok": sorted(answer["ok"], key=lambda row: (row["thing"], row["number"]))}
    return answer


@pytest.mark.parametrize("seed", SEEDS)
def test_the_fake_and_the_emulator_do_the_same(world, fake, seed):
    rng, emulator = random.Random(seed), Emulator(world)
    jobs = [world.name(f"differential-{seed}") for _ in range(3)]
    things = [world.name(f"differential-{seed}") for _ in range(4)]
    told = []

    def both(command: dict) -> dict:
        told.append(command)
        here, there = in_order(fake(command)), in_order(emulator(command))
        assert here == there, f"fake {here}, emulator {there}, after {json.dumps(told)}"
        return here

    for job in jobs:
        emulator_things = things if job == jobs[0] else rng.sample(things, 3)
        both({"do": "create", "job": job, "things": emulator_things})
    seen = set()
    for _ in range(COMMANDS):
        known = {}
        for job in jobs:
            for row in fake({"do": "list", "job": job})["ok"]:
                described = fake({"do": "describe", "job": job, "thing": row["thing"]})["ok"]
                known[(job, row["thing"])] = described
        command = commands(rng, known, jobs, things)
        answer = both(command)
        seen.add((command["do"], answer.get("error")))
        both({"do": "list", "job": command["job"]})
        if "thing" in command:
            both({"do": "describe", "job": command["job"], "thing": command["thing"]})
    # It went through what there is, and not only through what is refused.
    assert {kind for kind, error in seen if error is None} == {"update", "cancel", "delete", "describe", "list"}
    assert {error for kind, error in seen if kind == "cancel"} > {"VersionConflictException", None}
