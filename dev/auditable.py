"""Runs a command whose cargo builds binaries that say what they are made of: `cargo audit bin FILE` reads it.

    python3 dev/auditable.py sam build

What `cargo auditable` does is to put itself before the compiler of our own crates, by two variables of the
environment. So it works through `sam build` and `cargo lambda` as well, which know nothing of it.
"""

from __future__ import annotations

import json
import os
import sys

from environments import installed

VERSION = "0.7.7"
# What it would read from the command line of cargo, had it been called there.
ARGUMENTS = {"offline": False, "locked": True, "frozen": False, "config": []}


def main() -> None:
    environment = {
        **os.environ,
        "RUSTC_WORKSPACE_WRAPPER": str(installed("cargo-auditable", VERSION)),
        "CARGO_AUDITABLE_ORIG_ARGS": json.dumps(ARGUMENTS),
    }
    os.execvpe(sys.argv[1], sys.argv[1:], environment)


if __name__ == "__main__":
    main()
