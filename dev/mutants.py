"""Changes what may cost a fleet its executions in many small ways, one at a time, and sees that the tests notice.

    python3 dev/mutants.py [GROUP...] [-- ARGUMENT OF cargo mutants...]

What no test can notice, and why, is said in .cargo/mutants.toml; what came of each change is kept by group in
.local/mutants.out. It fails where fewer than 95 % of a group's changes that compile are noticed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field

import fast
from environments import LOCAL, ROOT, installed

VERSION = "27.1.0"
LEAST = 95.0

OUT = LOCAL / "mutants.out"
# As many made-up worlds as take a few seconds.
SIMULATED = {"SIMULATION_CASES": "300"}
# Kept from run to run, for what the tree depends on. It is a folder of its own: cargo would take what was last built
# of a changed copy for what is built of the tree.
ENVIRONMENT = {**os.environ, **SIMULATED, "CARGO_TARGET_DIR": str(ROOT / "target" / "mutants")}
# Some changes were missed, and some made the tests run on and on: that is for the score to judge.
MISSED, TIMED_OUT = 2, 3
# Seconds. The tests run for less than ten; a machine that is busy with something else must not pass for tests that
# never end.
ENDLESS = 60


@dataclass(frozen=True)
class Judge:
    """Tests that a change is shown to."""

    packages: tuple[str, ...]
    # Which of their targets, with which features. Only these are built.
    targets: tuple[str, ...]
    # For the tests themselves.
    tests: tuple[str, ...] = ()
    # For cargo mutants alone: the same tests, built faster.
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """Files, and who judges their changes: what one judge does not notice is shown to the next."""

    files: tuple[str, ...]
    judges: tuple[Judge, ...] = field(repr=False)


# Fake account and sweeps, without the functions and the AWS SDK. First without those tests that run for seconds: they
# try every way to die, or every latency.
LEAN = ("--no-default-features",)
SLOW = (
    "dies_",
    "whatever_the_latency",
    "would_cost",
    "not_acknowledged",
    "grown_too_much",
    "of_which_everything_stays",
    "archive_in_full_at",
    "many_successes_are_written",
    "a_ranking_that_ends_in_the_middle",
)
SWEEPS = ("sweep", "retire::", "blockers::", "keep_last::")
QUICK = Judge(
    ("tests",),
    ("--test=acceptance",),
    (*SWEEPS, *(argument for test in SLOW for argument in ("--skip", test))),
    LEAN,
)
SLOWER = Judge(("tests",), ("--test=acceptance",), SLOW, LEAN)
SIMULATION = Judge(("tests",), ("--test=simulation",), (), LEAN)

GROUPS = {
    # Who may do what. Its own tests have to hold, and those of the command line.
    "access": Group(("shared/src/access/**/*.rs",), (Judge(("shared", "cli"), ("--tests",)),)),
    # What is due.
    "rules": Group(("shared/src/retention/**/*.rs",), (Judge(("shared",), ("--lib",), ("retention::",)),)),
    # How much may be done, and how fast: the plan, its breaker, its costs, and the pacer.
    "plan": Group(
        tuple(
            f"shared/src/sweep/{name}.rs"
            for name in ("plan", "pace", "successes", "ranking", "estimate", "tally", "counts", "ages")
        ),
        (Judge(("shared",), ("--lib",), ("sweep::",)), QUICK, SLOWER, SIMULATION),
    ),
    # What is done.
    "apply": Group(
        tuple(f"shared/src/sweep/{name}.rs" for name in ("act", "apply", "page", "under_way")),
        (QUICK, Judge(("shared",), ("--lib",), ("sweep::",)), SLOWER, SIMULATION),
    ),
}


def test_unchanged(judge: Judge) -> None:
    """Runs the tests on the tree as it is: one that fails anyway would seem to notice every change.

    Cargo mutants does so only with the tests of the package that it changes.
    """
    packages = [argument for package in judge.packages for argument in ("--package", package)]
    command = fast.cargo("test", "--quiet", *packages, *judge.targets, "--", *judge.tests)
    subprocess.run(command, cwd=ROOT, env={**os.environ, **SIMULATED, **fast.ENVIRONMENT}, check=True)


def show(judge: Judge, name: str, changes: list[str], arguments: list[str]) -> dict[str, str]:
    """Shows changes to a judge. Tells what came of each."""
    out = OUT / name
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    command = [str(installed("cargo-mutants", VERSION)), "mutants", "--jobs", "1", "--output", str(out)]
    # What tests have left in ignored folders is not the tree, and may be gigabytes.
    command += ["--gitignore=true"]
    command += ["--baseline", "skip", "--timeout", str(ENDLESS), "--build-timeout", "1200", *changes]
    command += [f"--test-package={package}" for package in judge.packages]
    command += [f"--cargo-arg={argument}" for argument in (*judge.targets, *judge.features)]
    done = subprocess.run([*command, *arguments, "--", "--", *judge.tests], cwd=ROOT, env=ENVIRONMENT, check=False)
    if done.returncode not in (0, MISSED, TIMED_OUT):
        sys.exit(done.returncode)
    outcomes = json.loads((out / "mutants.out" / "outcomes.json").read_text())["outcomes"]
    return {outcome["scenario"]["Mutant"]["name"]: outcome["summary"] for outcome in outcomes}


def measure(name: str, group: Group, arguments: list[str]) -> bool:
    """Shows the changes of a group to its judges. Tells whether enough are noticed."""
    files = [argument for file in group.files for argument in ("--file", file)]
    came: dict[str, str] = {}
    missed: list[str] = []
    for nth, judge in enumerate(group.judges):
        # What one judge has noticed need not be shown to the next.
        only = [f"--re=^{re.escape(change)}$" for change in missed]
        told = show(judge, f"{name}/{nth}", [*files, *only], arguments)
        came |= {change: what for change, what in told.items() if nth == 0 or change in missed}
        missed = [change for change, what in came.items() if what == "MissedMutant"]
        if not missed:
            break
    total = Counter(came.values())
    (OUT / name / "missed.txt").write_text("".join(f"{change}\n" for change in missed))
    # A change with which the tests never end is noticed, too, however late.
    noticed = total["CaughtMutant"] + total["Timeout"]
    if noticed + len(missed) == 0:
        raise SystemExit(f"{name}: no change compiles: nothing was tested")
    share = 100 * noticed / (noticed + len(missed))
    print(
        f"{name}: {share:.1f} % noticed: {total['CaughtMutant']} caught, {total['Timeout']} without an end, "
        f"{len(missed)} missed; {total['Unviable']} do not compile",
        flush=True,
    )
    return share >= LEAST


def main() -> None:
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    names, arguments = words[:split] or list(GROUPS), words[split + 1 :]
    if unknown := [name for name in names if name not in GROUPS]:
        raise SystemExit(f"no group {' '.join(unknown)}; there are {' '.join(GROUPS)}")
    installed("cargo-mutants", VERSION)
    judges = {judge: None for name in names for judge in GROUPS[name].judges}
    for judge in judges:
        test_unchanged(judge)
    few = [name for name in names if not measure(name, GROUPS[name], arguments)]
    if few:
        raise SystemExit(f"at least {LEAST:.0f} % have to be noticed; see missed.txt in .local/mutants.out of {few}")


if __name__ == "__main__":
    main()
