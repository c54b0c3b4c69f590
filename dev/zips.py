"""Zips what `sam build` built and says how large each function came out; fails where the API's are too large.

python3 dev/zips.py [BUDGET]

A cold start loads what is in the zip, and the API's callers wait for it; nobody waits for a sweep.
"""

from __future__ import annotations

import io
import sys
import zipfile

from environments import ROOT

BUILT = ROOT / ".aws-sam" / "build"
BUDGET = 4_000_000
API = ("CancelExecution", "DeleteExecution", "ReadDecision", "ReadSweeps", "StartSweep")


def zipped(binary: bytes, level: int = 9) -> int:
    """The bytes of a zip with the function's only file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        archive.writestr("bootstrap", binary)
    return file.tell()


def main() -> None:
    budget = int(sys.argv[1]) if len(sys.argv) > 1 else BUDGET
    sizes = {path.parent.name: zipped(path.read_bytes()) for path in sorted(BUILT.glob("*/bootstrap"))}
    for name, size in sizes.items():
        print(f"{size:>9,} bytes zipped  {name}")
    if missing := [name for name in API if name not in sizes]:
        raise SystemExit(f"not built: {', '.join(missing)}")
    if large := [name for name in API if sizes[name] > budget]:
        raise SystemExit(f"more than {budget:,} bytes: {', '.join(large)}")


if __name__ == "__main__":
    main()
