"""Runs cargo-deny, in the pinned version of the environment `security`, by deny.toml.

    python3 dev/deny.py dependencies
    python3 dev/deny.py advisories

Advisories are checked where RustSec's database can be had, which is on GitHub and in no package registry. Where it
cannot, that is said aloud, and with ADVISORIES_INSIST=1 it is a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys

from environments import ROOT, ensure, program

# Each has a lock file of its own.
WORKSPACES = ("Cargo.toml", "benches/Cargo.toml", "proofs/Cargo.toml")
# Seconds. The database is a few megabytes; a machine without a way to it may let the attempt hang.
PATIENCE = 120


class NotCheckedError(Exception):
    """Something could not be checked here, and why."""


def deny(manifest: str, *arguments: str) -> bool:
    """Tells whether cargo-deny is content with a workspace; what it is not content with, it prints."""
    options = ("--locked", "--manifest-path", str(ROOT / manifest), "--config", str(ROOT / "deny.toml"), "--log-level")
    command = [program("security", "cargo-deny"), *options, "warn", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def dependencies() -> None:
    """Licences and sources of all that is built anywhere, and what is banned from the functions."""
    content = [deny(manifest, "check", "licenses", "sources") for manifest in WORKSPACES]
    content.append(deny("Cargo.toml", "--exclude-dev", "check", "bans"))
    if not all(content):
        raise SystemExit("cargo-deny refuses a dependency; deny.toml says why")


def advisories() -> None:
    """Known weaknesses of the dependencies, and versions that their authors took back."""
    try:
        fetched = subprocess.run(
            [program("security", "cargo-deny"), "--config", str(ROOT / "deny.toml"), "fetch", "db"],
            cwd=ROOT, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=PATIENCE,
        )  # fmt: skip
        said = fetched.stdout if fetched.returncode else ""
    except subprocess.TimeoutExpired:
        said = f"no answer in {PATIENCE} s"
    if said:
        reason = f"RustSec's advisory database cannot be fetched here: {said.strip().splitlines()[-1]}"
        if os.environ.get("ADVISORIES_INSIST") == "1":
            raise SystemExit(reason)
        raise NotCheckedError(reason)
    content = [deny(manifest, "check", "advisories") for manifest in WORKSPACES]
    if not all(content):
        raise SystemExit(
            "there are advisories about the dependencies; an exception goes into deny.toml with its reason"
        )


def main() -> None:
    ensure("security")
    steps = {"dependencies": dependencies, "advisories": advisories}
    names = sys.argv[1:] or list(steps)
    if unknown := set(names) - set(steps):
        raise SystemExit(f"no step {', '.join(unknown)}; there are {', '.join(steps)}")
    for name in names:
        try:
            steps[name]()
        except NotCheckedError as skipped:
            print(f"NOT CHECKED: {name}: {skipped}", flush=True)


if __name__ == "__main__":
    main()
