"""Runs every check and says at the end which ones failed.

python3 dev/check.py [NAME...]
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import deny
from environments import ROOT, program

# Crates that must stay free of the AWS SDK, and what may not be below them.
PURE = {"shared": ("aws-", "aws_", "hyper")}


LAMBDAS = ("--target", "x86_64-unknown-linux-gnu", "--target", "aarch64-unknown-linux-gnu")


def cargo_tree(*arguments: str) -> list[tuple[str, str]]:
    """The packages, with their versions, that cargo would build."""
    listed = subprocess.run(
        ["cargo", "tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--format", "{p}", *arguments],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    return sorted({(words[0], words[1].lstrip("v")) for line in listed.splitlines() if (words := line.split())})


def dependencies() -> None:
    """The functions bring no two versions of the SDK; `shared` brings no SDK. What is banned is in deny.toml."""
    packages = cargo_tree("--workspace", *LAMBDAS)
    names = [name for name, _ in packages if name.startswith(("aws-sdk-", "aws-smithy-", "aws-config", "rustls"))]
    found = [f"{name} is there in two versions" for name in sorted({name for name in names if names.count(name) > 1})]
    for crate, prefixes in PURE.items():
        found += [
            f"{crate} depends on {name}, which belongs in an adapter"
            for name, _ in cargo_tree("--package", crate, *LAMBDAS)
            if name.startswith(prefixes)
        ]
    if found:
        raise SystemExit("\n".join(found))
    deny.dependencies()


def run(*command: str, **environment: str) -> Callable[[], None]:
    def check() -> None:
        subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, **environment})

    return check


def tool(environment: str, name: str) -> str:
    return str(program(environment, name))


PYTHON = ("dev", "tests", "clients", "benches/peers")
REGION = {"AWS_DEFAULT_REGION": "eu-west-1", "SAM_CLI_TELEMETRY": "0"}

CHECKS: dict[str, Callable[[], None]] = {
    "format": run("cargo", "fmt", "--all", "--check"),
    "dependencies": dependencies,
    "advisories": deny.advisories,
    "python": run(tool("checks", "ruff"), "check", *PYTHON),
    "python-format": run(tool("checks", "ruff"), "format", "--check", *PYTHON),
    "python-tests": run(tool("clients", "python"), "-m", "pytest", "-q", "tests/dev", "tests/docs", "tests/clients"),
    "bench-rendered": run(sys.executable, "dev/bench.py", "render", "--check"),
    "openapi": run(tool("openapi", "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/openapi"),
    "sam-validate": run(tool("sam", "sam"), "validate", "--lint", **REGION),
    "cfn-lint": run(tool("sam", "cfn-lint")),
    "security": run(tool("security", "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/security"),
    "clippy": run("cargo", "clippy", "--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"),
    "clippy-proofs": run(
        *("cargo", "clippy", "--locked", "--manifest-path", "proofs/Cargo.toml", "--target-dir", "target/proofs"),
        *("--all-targets", "--", "--deny", "warnings"),
    ),
    "clippy-benches": run(
        *("cargo", "clippy", "--locked", "--manifest-path", "benches/Cargo.toml", "--target-dir", "target/benches"),
        *("--all-targets", "--", "--deny", "warnings"),
    ),
    "format-benches": run("cargo", "fmt", "--manifest-path", "benches/Cargo.toml", "--check"),
    "format-proofs": run("cargo", "fmt", "--manifest-path", "proofs/Cargo.toml", "--check"),
    "docs": run("cargo", "doc", "--locked", "--workspace", "--no-deps", RUSTDOCFLAGS="--deny warnings"),
}


def main() -> None:
    wanted = sys.argv[1:] or list(CHECKS)
    failed, skipped = [], {}
    for name in wanted:
        print(f"== {name}", flush=True)
        began = time.monotonic()
        try:
            CHECKS[name]()
        except KeyError:
            raise SystemExit(f"there is no check `{name}`; there are {', '.join(CHECKS)}") from None
        except deny.NotCheckedError as reason:
            skipped[name] = reason
        except SystemExit as complaint:
            print(complaint.code)
            failed.append(name)
        except (subprocess.CalledProcessError, OSError) as error:
            print(error)
            failed.append(name)
        outcome = "failed" if name in failed else "NOT CHECKED" if name in skipped else "ok"
        print(f"== {name}: {outcome} in {time.monotonic() - began:.1f} s", flush=True)
    for name, reason in skipped.items():
        print(f"NOT CHECKED: {name}: {reason}", flush=True)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
