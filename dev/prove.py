"""Proves claims about the shipped access policy; see proofs/src/claims.rs for what is claimed.

Without the solver nothing is proved, and that is said aloud; where CI is set it is a failure.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib

import environments
from environments import ROOT

CARGO = ["cargo", "run", "--quiet", "--locked", "--manifest-path", "proofs/Cargo.toml", "--target-dir", "target/proofs"]


def version(lock: str) -> str:
    """The version of Cedar in a lock file."""
    packages = tomllib.loads((ROOT / lock).read_text())["package"]
    return next(package["version"] for package in packages if package["name"] == "cedar-policy")


def main() -> None:
    proved, deployed = version("proofs/Cargo.lock"), version("Cargo.lock")
    if proved != deployed:
        raise SystemExit(f"proofs are about Cedar {proved}, but what is deployed has {deployed}: align the lock files")
    try:
        environments.ensure("proofs")
    except subprocess.CalledProcessError as error:
        solver = re.sub(r"\s+", " ", (ROOT / "dev/requirements/proofs.txt").read_text()).strip()
        message = f"NOTHING PROVED: the solver ({solver}) cannot be had here: {error}"
        if os.environ.get("CI"):
            raise SystemExit(message) from error
        print(message, file=sys.stderr)
        return
    environment = {**os.environ, "CVC5": str(ROOT / "dev" / "solver.sh")}
    done = subprocess.run([*CARGO, "--", *sys.argv[1:]], cwd=ROOT, env=environment, check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
