"""A headless Chromium for the tests of the report's page, and axe-core, of pinned versions, below .local/: nothing has
to be installed on the machine. It is packaged for Linux on x86_64; elsewhere set CHROMIUM to a Chromium of your own.

python3 dev/browser.py test [ARGUMENTS...]    runs tests/browser; where there can be no browser it says why and passes,
                                              unless CI is set
python3 dev/browser.py screenshots            takes docs/report.png anew
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import environments
from environments import LOCAL, ROOT, program

WANTED = ROOT / "dev" / "requirements" / "browser"
PLACE = LOCAL / "browser"
PACKAGES = PLACE / "node_modules"
UNPACKED = PLACE / "chromium"
# Brotli is what its package has it in.
UNPACK = """
const fs = require("fs"), zlib = require("zlib");
fs.writeFileSync(process.argv[2], zlib.brotliDecompressSync(fs.readFileSync(process.argv[1])));
"""


class LackingError(Exception):
    """What there is no browser without, and how to get it."""


@dataclass(frozen=True)
class Browser:
    """A Chromium, and what its process needs."""

    path: Path
    environment: dict[str, str]
    axe: Path


def ensure() -> Browser:
    """Sets the browser up if it is missing or its pinned version changed."""
    own = os.environ.get("CHROMIUM")
    if not own and (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise LackingError(
            f"the pinned Chromium is for Linux on x86_64, and this is {platform.system()} on {platform.machine()}: "
            "set CHROMIUM to the path of a Chromium of your own"
        )
    environments.ensure("browser")
    lock = (WANTED / "package-lock.json").read_bytes()
    stamp = PLACE / "stamp"
    if not stamp.is_file() or stamp.read_bytes() != lock:
        _set_up()
        stamp.write_bytes(lock)
    axe = PACKAGES / "axe-core" / "axe.min.js"
    if own:
        return Browser(Path(own), dict(os.environ), axe)
    libraries = {"LD_LIBRARY_PATH": str(UNPACKED / "lib")}
    return Browser(UNPACKED / "chromium", {**os.environ, **libraries}, axe)


def _set_up() -> None:
    print(f"setting up {PLACE.relative_to(ROOT)} (once)", flush=True)
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(WANTED / name, PLACE / name)
    node = program("browser", "node")
    path = {**os.environ, "PATH": f"{node.parent}:{os.environ['PATH']}"}
    command = [program("browser", "npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(command, cwd=PLACE, env=path, check=True)
    UNPACKED.mkdir()
    packed = PACKAGES / "@sparticuz" / "chromium" / "bin"
    for name in ("chromium.br", "al2023.tar.br"):
        target = UNPACKED / name.removesuffix(".br")
        subprocess.run([node, "-e", UNPACK, packed / name, target], check=True)
        if target.suffix == ".tar":
            shutil.unpack_archive(target, UNPACKED)
            target.unlink()
        else:
            target.chmod(0o755)


def _test(*arguments: str) -> int:
    command = [program("browser", "python"), "-m", "pytest", "tests/browser", "--timeout", "900", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main() -> None:
    match sys.argv[1:]:
        case ["test", *arguments]:
            try:
                ensure()
            except LackingError as lacking:
                if os.environ.get("CI"):
                    raise SystemExit(f"the pages of reports cannot be drawn: {lacking}") from None
                print(f"the pages of reports are not drawn: {lacking}")
                return
            raise SystemExit(_test(*arguments))
        case ["screenshots"]:
            try:
                ensure()
            except LackingError as lacking:
                raise SystemExit(str(lacking)) from None
            target = ROOT / "docs" / "report.png"
            raise SystemExit(_test("-k", "screenshot", "--screenshot-to", str(target)))
        case _:
            raise SystemExit(f"usage: {sys.argv[0]} {{test [ARGUMENTS...],screenshots}}")


if __name__ == "__main__":
    main()
