"""Zips what `make build` built and says how large each function came out; fails where the API's are too large, or where
one does not say what it is made of.

python3 dev/zips.py [BUDGET]

A cold start loads what is in the zip, and the API's callers wait for it; nobody waits for a sweep.
"""

from __future__ import annotations

import io
import sys
import zipfile

from environments import ROOT

BUILT = ROOT / ".aws-sam" / "build"
BUDGET = 7_000_000
API = ("CancelExecution", "DeleteExecution", "ReadDecision", "ReadSweeps", "StartSweep")


def zipped(binary: bytes, level: int = 9) -> int:
    """The bytes of a zip with the function's only file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        archive.writestr("bootstrap", binary)
    return file.tell()


def main() -> None:
    budget = int(sys.argv[1]) if len(sys.argv) > 1 else BUDGET
    binaries = {path.parent.name: path.read_bytes() for path in sorted(BUILT.glob("*/bootstrap"))}
    sizes = {name: zipped(binary) for name, binary in binaries.items()}
    for name, size in sizes.items():
        print(f"{size:>9,} bytes zipped  {name}")
    if missing := [name for name in API if name not in sizes]:
        raise SystemExit(f"not built: {', '.join(missing)}")
    # The section that cargo auditable adds; 4.3 kB.
    if silent := [name for name, binary in binaries.items() if b".dep-v0\0" not in binary]:
        raise SystemExit(f"do not say what they are made of: {', '.join(silent)}")
    if large := [name for name in API if sizes[name] > budget]:
        raise SystemExit(f"more than {budget:,} bytes: {', '.join(large)}")


if __name__ == "__main__":
    main()
