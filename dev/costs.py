"""Compares what the functions cost with what is recorded in costs/recorded.toml: the size of each zip, the instructions
of the hot parts, and the memory of a sweep. No clock is read: the numbers are the same however busy the machine is.

    python3 dev/costs.py [sizes|instructions|memory...]           fails where one is too far from its record
    python3 dev/costs.py record [sizes|instructions|memory...]    writes the record anew

Everything is built in the profile of the tests (dev/fast.py), which `make test` has built already. A number is good for
comparing it with itself: what is deployed is smaller and faster.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import fast
import zips
from environments import LOCAL, ROOT

RECORD = ROOT / "costs" / "recorded.toml"
BUILT = LOCAL / "build"
OUTPUT = ROOT / "target" / "costs"

# How far a number may be from its record, either way: what has become so much better has to be recorded, or it could
# become worse again unseen. A clone of each row is 5 % of a scan, and clap in
# cancel-execution 2.6 % of its zip.
TOLERANCES = {"sizes": 0.02, "instructions": 0.03, "memory": 0.05}

# What costs/main.rs measures. Runs of one program differ by 0.02 %: the log has the time in it.
PARTS = ("scan-of-kept", "scan-of-due", "deletion-of-due", "cancel")

# The smaller one fills a page and a segment of jobs already, so that nothing has to grow.
FLEETS = (10_000, 100_000)
# By how much the peak may grow from the one fleet to the other.
GROWTH = 0.10

# Debian 12's. Valgrind shows programs a processor of its own, so that what they choose by its abilities does not depend
# on the machine's, as long as that has AVX2.
VALGRIND = "1:3.19.0-1"


class LackingError(Exception):
    """What cannot be measured on this machine, and why."""


def only_x86_64() -> None:
    if fast.ARCHITECTURE != "x86_64":
        raise LackingError(f"what is recorded is of x86_64, and this is {platform.machine()}")


# ---- Sizes --------------------------------------------------------------------------------------------------


def sizes() -> dict[str, int]:
    """The bytes of each function's zip, as the end-to-end tests have built it."""
    only_x86_64()
    binaries = sorted(BUILT.glob("*/bootstrap"))
    if not binaries:
        raise SystemExit("nothing is built: `make costs` builds it, as `make test-e2e` does")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        zipped = pool.map(lambda path: zips.zipped(path.read_bytes(), level=6), binaries)
        return {path.parent.name: size for path, size in zip(binaries, zipped, strict=True)}


# ---- Instructions -------------------------------------------------------------------------------------------


def program() -> Path:
    """Builds what measures, with its symbols: callgrind goes by a function's name."""
    line = fast.cargo("rustc", "--quiet", "--message-format=json", "--package", "costs", "--bench", "costs")
    built = subprocess.run(
        [*line, "--", "-C", "strip=none"],
        cwd=ROOT, env={**os.environ, **fast.ENVIRONMENT}, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    messages = (json.loads(line) for line in built.stdout.splitlines())
    return next(Path(message["executable"]) for message in messages if message.get("executable"))


def apt_get(*arguments: str) -> None:
    """Runs `apt-get` as whoever this is, with lists of its own, because a new machine has none."""
    state = LOCAL / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    own = [f"Dir::State::Lists={state / 'lists'}", f"Dir::Cache={state / 'cache'}", "APT::Sandbox::User="]
    options = [word for option in own for word in ("-o", option)]
    subprocess.run(["apt-get", "--quiet=2", *options, *arguments], cwd=state, check=True)


def valgrind() -> list[str]:
    """How `env` runs valgrind: the pinned one, unpacked into `.local`; or else the one that is installed."""
    home = LOCAL / "valgrind"
    unpacked = home / "usr" / "bin" / "valgrind.bin"
    if not unpacked.is_file() and shutil.which("apt-get") and shutil.which("dpkg"):
        print("setting up .local/valgrind (once)", flush=True)
        try:
            apt_get("update")
            apt_get("download", f"valgrind={VALGRIND}")
            [package] = (LOCAL / "apt").glob("valgrind_*.deb")
            shutil.rmtree(home, ignore_errors=True)
            subprocess.run(["dpkg", "-x", package, home], check=True)
            shutil.rmtree(LOCAL / "apt")
        except (subprocess.CalledProcessError, ValueError) as error:
            print(f"valgrind {VALGRIND} cannot be had here: {error}", flush=True)
    if unpacked.is_file():
        return [f"VALGRIND_LIB={home / 'usr/libexec/valgrind'}", str(unpacked)]
    if installed := shutil.which("valgrind"):
        return [installed]
    raise LackingError(f"there is no valgrind, and {VALGRIND} cannot be fetched")


def instructions() -> dict[str, int]:
    """The instructions of each hot part, as callgrind counts them."""
    only_x86_64()
    callgrind = valgrind()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    shutil.copy(program(), OUTPUT / "costs")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(PARTS, pool.map(lambda part: count(callgrind, part), PARTS), strict=True))


def count(callgrind: list[str], part: str) -> int:
    """Runs a part in an environment and under a name that are the same everywhere: both lie on the program's stack, and
    maps of hashbrown have their seeds from addresses."""
    out = OUTPUT / f"{part}.callgrind"
    out.unlink(missing_ok=True)
    options = ["--tool=callgrind", "--toggle-collect=*costs*measured*", f"--callgrind-out-file={out.name}"]
    done = subprocess.run(
        ["env", "--ignore-environment", "METRICS_NAMESPACE=Jobwarden/costs", *callgrind, *options, "./costs", part],
        cwd=OUTPUT, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    counted = re.search(r"^summary: (\d+)$", out.read_text() if done.returncode == 0 else "", re.MULTILINE)
    if counted is None or int(counted[1]) == 0:
        raise SystemExit(f"{part}: callgrind counted nothing\n{done.stderr}")
    return int(counted[1])


# ---- Memory -------------------------------------------------------------------------------------------------


def memory() -> dict[str, int]:
    """The most bytes that a sweep has in use at once, by the size of its fleet."""
    binary = program()
    peaks = {}
    for executions in FLEETS:
        done = subprocess.run([binary, "memory", str(executions)], check=True, stdout=subprocess.PIPE, text=True)
        peaks[f"sweep-of-{executions}"] = int(done.stdout)
    return peaks


def growth(peaks: dict[str, int]) -> list[str]:
    small, large = peaks.values()
    grown = large / small - 1
    print(f"{grown:>+14.2%} memory        from a fleet of {FLEETS[0]:,} to one of {FLEETS[1]:,}")
    if grown > GROWTH:
        return [f"memory grows with the fleet: {grown:+.1%} from {FLEETS[0]:,} to {FLEETS[1]:,} executions"]
    return []


# ---- The record ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A table of the record."""

    unit: str
    measure: Callable[[], dict[str, int]]
    also: Callable[[dict[str, int]], list[str]] = lambda _: []


KINDS = {
    "sizes": Kind("bytes of a function's zip, in the profile of the tests", sizes),
    "instructions": Kind("instructions of x86_64, in the profile of the tests", instructions),
    "memory": Kind("bytes in use at once, beyond what is before the sweep", memory, growth),
}


def compare(kind: str, found: dict[str, int], recorded: dict[str, int]) -> list[str]:
    """What is to be complained of."""
    tolerance = TOLERANCES[kind]
    complaints = KINDS[kind].also(found)
    for name in sorted({*found, *recorded}):
        if name not in found or name not in recorded:
            complaints.append(f"{kind}: {name} is {'not recorded' if name in found else 'recorded and not there'}")
            continue
        off = found[name] / recorded[name] - 1
        print(f"{found[name]:>14,} {kind:<13} {name} ({off:+.2%})")
        if abs(off) > tolerance:
            verdict = "more than is" if off > 0 else "less than is"
            complaints.append(
                f"{kind}: {name} takes {found[name]:,}, {abs(off):.1%} {verdict} recorded ({recorded[name]:,})"
            )
    return complaints


def write(record: dict[str, dict[str, int]]) -> None:
    lines = ["# Written by `make costs-record`, and compared by `make costs`; see dev/costs.py.\n"]
    for name, kind in KINDS.items():
        lines.append(f"\n# {kind.unit}\n[{name}]\n")
        lines += [f"{of} = {number:_}\n" for of, number in sorted(record.get(name, {}).items())]
    RECORD.write_text("".join(lines))


def main() -> None:
    wanted = sys.argv[1:]
    recording = wanted[:1] == ["record"]
    kinds = wanted[recording:] or list(KINDS)
    if unknown := set(kinds) - set(KINDS):
        raise SystemExit(f"unknown: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    record = tomllib.loads(RECORD.read_text()) if RECORD.is_file() else {}
    complaints = []
    for kind in kinds:
        try:
            found = KINDS[kind].measure()
        except LackingError as lacking:
            print(f"NOT MEASURED: {kind}: {lacking}", flush=True)
            if os.environ.get("CI") or recording:
                complaints.append(f"{kind}: {lacking}")
            continue
        complaints += compare(kind, found, record.get(kind, {})) if not recording else KINDS[kind].also(found)
        record[kind] = found
    if recording:
        write(record)
        print(f"written to {RECORD.relative_to(ROOT)}")
    if complaints:
        if not recording:
            complaints.append("find out why; if it has to be so, `make costs-record` and say why in the commit")
        raise SystemExit("\n".join(complaints))


if __name__ == "__main__":
    main()
