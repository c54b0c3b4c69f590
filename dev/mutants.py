"""Changes the access module in many small ways, one at a time, and sees that the tests notice.

    python3 dev/mutants.py [ARGUMENT OF cargo mutants...]

What is changed and which tests run is said in .cargo/mutants.toml; what came of each change is kept in
.local/mutants.out. It fails where fewer than 95 % of the changes that compile are noticed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib

from environments import LOCAL, ROOT

VERSION = "27.1.0"
LEAST = 95.0

TOOL = LOCAL / "mutants"
# Kept from run to run, for what the tree depends on. It is a folder of its own: cargo would take what was last built
# of a changed copy for what is built of the tree.
ENVIRONMENT = {**os.environ, "CARGO_TARGET_DIR": str(ROOT / "target" / "mutants")}
# Some changes were missed, and some made the tests run on and on: that is for the score to judge.
MISSED, TIMED_OUT = 2, 3


def install() -> None:
    """Installs the pinned cargo mutants if it is missing."""
    command = ["cargo", "install", "--quiet", "--locked", "--root", str(TOOL), "--version", VERSION, "cargo-mutants"]
    installed = TOOL / ".crates.toml"
    if not installed.is_file() or f"cargo-mutants {VERSION} " not in installed.read_text():
        print(f"setting up {TOOL.relative_to(ROOT)} (once)", flush=True)
        subprocess.run(command, cwd=ROOT, check=True)


def test_unchanged() -> None:
    """Runs the tests on the tree as it is: one that fails anyway would seem to notice every change.

    Cargo mutants does so only with the tests of the package that it changes.
    """
    packages = tomllib.loads((ROOT / ".cargo" / "mutants.toml").read_text())["test_package"]
    named = [argument for package in packages for argument in ("--package", package)]
    subprocess.run(["cargo", "test", "--quiet", "--locked", "--tests", *named], cwd=ROOT, check=True)


def score() -> float:
    """The share, in percent, of the changes that compile which the tests noticed."""
    outcomes = json.loads((LOCAL / "mutants.out" / "outcomes.json").read_text())
    caught, missed, endless = outcomes["caught"], outcomes["missed"], outcomes["timeout"]
    viable = caught + missed + endless
    if viable == 0:
        raise SystemExit("no change compiles: nothing was tested")
    share = 100 * caught / viable
    unviable = outcomes["unviable"]
    print(f"{share:.1f} % noticed: {caught} caught, {missed} missed, {endless} timed out; {unviable} do not compile")
    return share


def main() -> None:
    install()
    test_unchanged()
    command = [str(TOOL / "bin" / "cargo-mutants"), "mutants", "--jobs", "1", "--output", str(LOCAL), *sys.argv[1:]]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, check=False)
    if done.returncode not in (0, MISSED, TIMED_OUT):
        sys.exit(done.returncode)
    if score() < LEAST:
        raise SystemExit(f"at least {LEAST:.0f} % have to be noticed; .local/mutants.out/missed.txt says what was not")


if __name__ == "__main__":
    main()
