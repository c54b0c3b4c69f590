"""The command line against the deployed stack, as an operator runs it. The commands of docs/cli.md: test_docs.py."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import pty
import re
import shlex
import signal
import stat
import subprocess

import pytest
from conftest import ROOT
from terminal import Terminal, picture
from world import World

THINGS, JOBS = 20, 6
DUE = THINGS * JOBS
NO_SUCH = "20200101T000000Z-delete-expired-00000000"


@dataclasses.dataclass(frozen=True)
class Jobwarden:
    """The command line of one principal."""

    binary: pathlib.Path
    environment: dict[str, str]
    directory: pathlib.Path

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.binary, *arguments],
            env={**self.environment, **environment},
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def json(self, *arguments: str) -> dict:
        done = self(*arguments, "--output", "json")
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def on_a_terminal(self, *arguments: str, **environment: str):
        terminal, end = pty.openpty()
        command = [self.binary, *arguments]
        streams = {"stdin": end, "stdout": end, "stderr": end}
        settings = {"cwd": self.directory, "env": {**self.environment, "TERM": "xterm", **environment}}
        with subprocess.Popen(command, **streams, **settings) as running:
            os.close(end)
            try:
                yield Terminal(terminal, running)
            finally:
                running.kill()
                os.close(terminal)


def percents(written: str) -> list[int]:
    return [int(share) for share in re.findall(r"applying  \[[#.]{20}\] +(\d+)%", written)]


@pytest.fixture(scope="session")
def command(binary, stack, tmp_path_factory):
    def of(principal) -> Jobwarden:
        directory = tmp_path_factory.mktemp("cli")
        (directory / "policies").symlink_to(ROOT / "policies")
        environment = {
            **principal.environment,
            "JOBWARDEN_API": principal.api_url,
            "JOBWARDEN_BUCKET": stack.outputs["BucketName"],
            "TMPDIR": str(directory),
        }
        return Jobwarden(binary, environment, directory)

    return of


@pytest.fixture
def operator_cli(command, operator) -> Jobwarden:
    return command(operator)


@pytest.fixture
def reader(command, operator, stack) -> Jobwarden:
    """Whoever may read the bucket; in the emulator that is the account's administrator."""
    ours = command(operator)
    return dataclasses.replace(ours, environment={**ours.environment, **stack.environment("admin")})


@pytest.fixture
def much_due(world: World) -> list[str]:
    """Successes of a hundred days ago, of several jobs, and nothing else: more than the breaker lets pass."""
    world.end_sweeps()
    world.wipe()
    things = [world.name("thing") for _ in range(THINGS)]
    jobs = [world.name("job") for _ in range(JOBS)]
    world.set_time_offset("-100d")
    try:
        for thing in things:
            world.iot.create_thing(thingName=thing)
        for job in jobs:
            targets = [f"{world.arn}:thing/{thing}" for thing in things]
            world.iot.create_job(jobId=job, document="{}", targetSelection="SNAPSHOT", targets=targets)
        update = world.devices.update_job_execution
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            for status in ("IN_PROGRESS", "SUCCEEDED"):
                all_of_them = [(job, thing) for job in jobs for thing in things]
                list(pool.map(lambda one, s=status: update(jobId=one[0], thingName=one[1], status=s), all_of_them))
    finally:
        world.set_time_offset("+0d")
    return jobs


def test_a_sweep_is_planned_stopped_released_watched_and_found_in_the_archive(
    world, much_due, operator_cli, reader, request
):
    jobwarden = operator_cli
    # A dry run, watched to its end by somebody who is no terminal.
    started = jobwarden.json("sweep", "start", "--operation", "delete-expired", "--dry-run")
    assert started["dryRun"] is True
    watched = jobwarden("sweep", "watch", started["sweepId"], "--every", "1", "--output", "json")
    assert (watched.returncode, json.loads(watched.stdout)["due"]) == (7, DUE), watched

    # A real one is stopped by the breaker, says how to release it, and has its exit code.
    start = "sweep start --operation delete-expired --watch"
    with jobwarden.on_a_terminal(*start.split()) as terminal:
        stopped = terminal.read()
        assert terminal.running.wait(10) == 7, stopped
    assert "STOPPED_BY_BREAKER" in stopped
    release = re.search(r"jobwarden (sweep start .*--release [0-9a-f]{64})", stopped)[1]
    screens = [(f"jobwarden {start}", stopped), *released_and_watched(world, jobwarden, f"{release} --watch")]
    swept = screens[-1][0].split()[-1]
    drawn = picture(screens)
    assert "STOPPED_BY_BREAKER" in drawn and "^C" in drawn
    # Remade by `make screenshots`, which names the file.
    if target := request.config.getoption("--terminal-to"):
        pathlib.Path(target).write_text(drawn)

    # The list has all three, the newest first.
    listed = jobwarden.json("sweep", "list", "--limit", "3")["sweeps"]
    assert [sweep["status"] for sweep in listed] == ["SUCCEEDED", "STOPPED_BY_BREAKER", "STOPPED_BY_BREAKER"]
    assert (listed[0]["sweepId"], listed[2]["sweepId"]) == (swept, started["sweepId"])
    assert len(jobwarden.json("sweep", "list", "--limit", "1")["sweeps"]) == 1
    check_report(jobwarden, swept)
    check_archive(reader, swept, much_due)
    check_backtest(reader)


def released_and_watched(world: World, jobwarden: Jobwarden, release: str) -> list[tuple[str, str]]:
    """Carries a plan out slowly enough to be seen on a terminal, turns away in the middle, and comes back. Each of the
    two commands, and what it wrote."""
    with world.configured("DeleteExpired", JOBWARDEN_CALLS_PER_SECOND="5"):
        with jobwarden.on_a_terminal(*shlex.split(release)) as terminal:
            seen = terminal.read(lambda written: any(0 < share < 80 for share in percents(written)))
            terminal.running.send_signal(signal.SIGINT)
            left = terminal.read()
            assert terminal.running.wait(10) == 130, left
        assert "\r\x1b[K" in left
        assert f"/{DUE}" in left
        resume = re.search(r"the sweep goes on; to watch it again: jobwarden (.*?)\r?\n", left)[1]
        # The sweep has gone on, and that command follows it to the end.
        with jobwarden.on_a_terminal(*shlex.split(resume), "--every", "1") as terminal:
            written = terminal.read()
            assert terminal.running.wait(10) == 0, written
    shares = percents(written)
    assert len(set(shares)) >= 2, written
    assert shares == sorted(shares), written
    assert re.search(r"\d+\.\d/s  \d+s left  0 throttled", written), written
    assert re.search(rf"deleted +{DUE}\r?\n", written), written
    interrupted = f"{seen}^C\n{left.removeprefix(seen)}"
    return [(f"jobwarden {release}", interrupted), (f"jobwarden {resume}", written)]


def check_report(jobwarden: Jobwarden, swept: str) -> None:
    """The report in tables, as JSON and as a page."""
    assert jobwarden.json("sweep", "report", swept)["outcomes"] == {"deleted": DUE}
    table = jobwarden("sweep", "report", swept).stdout
    assert re.search(rf"default +SUCCEEDED +deleted +{DUE}\n", table), table
    opened = jobwarden("sweep", "report", swept, "--open", BROWSER=browser(jobwarden.directory))
    page = pathlib.Path(opened.stdout.strip())
    assert (jobwarden.directory / "opened").read_text().strip() == str(page)
    assert f"<h1>Sweep {swept}</h1>" in page.read_text()


def check_archive(reader: Jobwarden, swept: str, jobs: list[str]) -> None:
    """The archive says what became of each."""
    found = reader("archive", "search", "--sweep", swept, "--output", "json")
    assert found.returncode == 0, found
    records = [json.loads(line) for line in found.stdout.splitlines()]
    assert len(records) == DUE
    assert {record["outcome"] for record in records} == {"deleted"}
    assert {record["record"]["job"]["jobId"] for record in records} == set(jobs)
    of_one = reader("archive", "search", "--job", jobs[0])
    assert of_one.stdout.splitlines()[-1] == f"{THINGS} records", of_one
    line = f"set -o pipefail; {shlex.quote(str(reader.binary))} archive search --sweep {swept} | head -1"
    settings = {"env": reader.environment, "capture_output": True, "text": True, "timeout": 120}
    cut = subprocess.run(["bash", "-c", line], check=False, **settings)
    assert (cut.returncode, cut.stderr) == (0, ""), "whoever has seen enough is no failure"


def check_backtest(reader: Jobwarden) -> None:
    """What has been decided would be decided by the shipped policies again, and not by all others."""
    same = reader("policy", "diff", "policies", "--output", "json")
    assert (same.returncode, json.loads(same.stdout)["changed"]) == (0, 0), same
    folder = reader.directory / "longer"
    folder.mkdir()
    (folder / "access.cedar").write_text((ROOT / "policies" / "access.cedar").read_text())
    rules = (ROOT / "policies" / "retention.toml").read_text()
    (folder / "retention.toml").write_text(rules.replace('SUCCEEDED = "30d"', 'SUCCEEDED = "1000d"'))
    longer = reader("policy", "diff", "longer", "--output", "json")
    assert longer.returncode == 1, longer
    assert json.loads(longer.stdout)["changed"] >= DUE, longer


def browser(directory: pathlib.Path) -> str:
    """A browser that notes down what it is to show."""
    script = directory / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" > {directory}/opened\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)


def test_a_decision_is_told_with_its_policies(world, operator_cli, command, force):
    m = world.execution("IN_PROGRESS")
    about = ["--job", m.job, "--thing", m.thing]
    refused = operator_cli("decide", "cancel", *about, "--force")
    assert refused.returncode == 1, refused
    assert "wouldRefuse" in refused.stdout and "force-needs-the-force-group" in refused.stdout
    assert "AccessDeniedException: " in refused.stdout
    allowed = command(force)("decide", "cancel", *about, "--force", "--output", "json")
    assert (allowed.returncode, json.loads(allowed.stdout)["result"]) == (0, "wouldCancel"), allowed
    assert world.status(m) == "IN_PROGRESS"
    gone = operator_cli("decide", "delete", "--job", m.job, "--thing", "no-such-thing", "--number", "1")
    assert gone.returncode in (1, 3) and "ResourceNotFoundException" in gone.stdout + gone.stderr, gone


def test_every_failure_has_its_line_and_its_exit_code(operator_cli, reader, command, nobody):
    def check(jobwarden: Jobwarden, arguments: list[str], code: int, told: str, **environment: str) -> None:
        done = jobwarden(*arguments, **environment)
        assert (done.returncode, done.stdout) == (code, ""), done
        assert told in done.stderr and done.stderr.count("\n") == 1, done

    start = ["sweep", "start", "--operation", "delete-expired"]
    check(operator_cli, ["sweep", "watch", NO_SUCH], 3, "`jobwarden sweep list` tells which there are")
    check(operator_cli, ["sweep", "report", NO_SUCH], 3, "ResourceNotFoundException (404)")
    check(operator_cli, [*start, "--release", "0" * 64], 6, "no stopped sweep has a plan with the digest")
    check(operator_cli, [*start, "--lane", "nowhere"], 6, "InvalidRequestException (400)")
    check(command(nobody), ["sweep", "list"], 4, "ReadSweep: no policy permits it")
    check(operator_cli, ["sweep", "list"], 4, "(403)", AWS_ACCESS_KEY_ID="ASIAUNKNOWN", AWS_SECRET_ACCESS_KEY="wrong")
    check(operator_cli, ["sweep", "list", "--api", operator_cli.environment["JOBWARDEN_API"] + "/x"], 2, "ApiUrl")
    check(reader, ["archive", "search", "--bucket", "no-such-bucket"], 3, "is the bucket's name right?")


def test_colours_are_for_terminals_that_want_them(operator_cli, world):
    world.end_sweeps()
    assert operator_cli("sweep", "start", "--operation", "cancel-stale", "--dry-run", "--watch").returncode == 0
    assert "\x1b" not in operator_cli("sweep", "list").stdout
    with operator_cli.on_a_terminal("sweep", "list") as terminal:
        assert "\x1b[32mSUCCEEDED" in terminal.read()
    with operator_cli.on_a_terminal("sweep", "list", NO_COLOR="1") as terminal:
        assert "\x1b" not in terminal.read()
