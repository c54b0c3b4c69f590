"""Cargo in the profile that the tests and the demo build with, so that the AWS SDK is compiled once for all.

    python3 dev/fast.py test --workspace

`cargo lambda`, which `sam build` calls, builds for a target triple and a processor of Lambda's in the release
profile. With the same triple, flags and linker `cargo test` finds what it built, and the other way round.
The deployed profile's fat links are left out: they take minutes.
"""

from __future__ import annotations

import os
import platform
import sys

ARCHITECTURE = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"
TRIPLE = {"arm64": "aarch64-unknown-linux-gnu", "x86_64": "x86_64-unknown-linux-gnu"}[ARCHITECTURE]
# What `cargo lambda` asks of the compiler.
PROCESSOR = {"arm64": "neoverse-n1", "x86_64": "haswell"}[ARCHITECTURE]

ENVIRONMENT = {
    "CARGO_PROFILE_RELEASE_LTO": "off",
    "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
    "CARGO_PROFILE_RELEASE_OPT_LEVEL": "1",
    "CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS": "true",
    # The system's linker: what runs on this machine needs no cross-compiler.
    "CARGO_LAMBDA_COMPILER": "cargo",
}


def cargo(command: str, *arguments: str) -> list[str]:
    """The command line of a cargo command in this profile."""
    flags = f'build.rustflags=["-C","target-cpu={PROCESSOR}"]'
    return ["cargo", command, "--locked", "--release", "--target", TRIPLE, "--config", flags, *arguments]


if __name__ == "__main__":
    line = cargo(*sys.argv[1:])
    os.execvpe(line[0], line, {**os.environ, **ENVIRONMENT})
