"""Makes the project's Python environments, each from a file of pinned versions, and only when that changed.

python3 dev/environments.py sam cross emulator clients checks
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCAL = ROOT / ".local"
NAMES = ("sam", "cross", "emulator", "clients", "checks", "openapi", "proofs", "peers", "security", "browser")
OLDEST_PYTHON = (3, 11)


def directory(name: str) -> Path:
    return LOCAL / f"venv-{name}"


def program(environment: str, name: str) -> Path:
    """The path of a program of one of the environments."""
    return directory(environment) / "bin" / name


def ensure(*names: str) -> None:
    """Makes the named environments if they are missing or their pinned versions changed."""
    if sys.version_info < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise SystemExit(f"Python {oldest} or newer is needed, this is {sys.version.split()[0]}")
    LOCAL.mkdir(exist_ok=True)
    with (LOCAL / "environments.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in names:
            _ensure(name)


def _ensure(name: str) -> None:
    requirements = ROOT / "dev" / "requirements" / f"{name}.txt"
    target = directory(name)
    stamp = target / "stamp"
    base = Path(sys.base_prefix)
    wanted = hashlib.sha256(requirements.read_bytes() + f"{sys.version_info[:3]} {base}".encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print(f"setting up {target.relative_to(ROOT)} (once)", flush=True)
    shutil.rmtree(target, ignore_errors=True)
    quiet = {"stdout": subprocess.DEVNULL} if not os.environ.get("CI") else {}
    made = subprocess.run([sys.executable, "-m", "venv", str(target)], check=False, **quiet)
    if made.returncode != 0:
        raise SystemExit("python3 cannot make virtual environments; on Debian and Ubuntu install python3-venv")
    subprocess.run(
        [
            target / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--requirement",
            requirements,
        ],
        check=True,
    )
    stamp.write_text(wanted)


def installed(crate: str, version: str) -> Path:
    """The program of a crate of that version, which is built once."""
    tool = LOCAL / crate.removeprefix("cargo-")
    manifest = tool / ".crates.toml"
    if not manifest.is_file() or f'"{crate} {version} ' not in manifest.read_text():
        print(f"setting up {tool.relative_to(ROOT)} (once)", flush=True)
        command = ["cargo", "install", "--quiet", "--locked", "--root", str(tool), "--version", version, crate]
        subprocess.run(command, cwd=ROOT, check=True)
    return tool / "bin" / crate


def main() -> None:
    unknown = set(sys.argv[1:]) - set(NAMES)
    if unknown or len(sys.argv) == 1:
        raise SystemExit(f"usage: {sys.argv[0]} {{{','.join(NAMES)}}}...")
    ensure(*sys.argv[1:])


if __name__ == "__main__":
    main()
