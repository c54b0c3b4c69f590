"""A terminal: what a process writes on one, and a picture of how that looks."""

from __future__ import annotations

import io
import os
import re
import select
import subprocess
import time
from collections.abc import Iterable

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

COLUMNS = 100


class Terminal:
    """What a process on a terminal writes."""

    def __init__(self, terminal: int, running: subprocess.Popen) -> None:
        self.terminal, self.running = terminal, running
        self.written = ""

    def read(self, until=lambda _: False, seconds: float = 120) -> str:
        """Reads until it has written what is wanted, or has ended."""
        deadline = time.monotonic() + seconds
        while not until(self.written):
            assert time.monotonic() < deadline, self.written
            if select.select([self.terminal], [], [], 0.2)[0]:
                try:
                    self.written += os.read(self.terminal, 65536).decode()
                except OSError:
                    break
        return self.written


def shown(written: str) -> str:
    """What is left to see: a line that is begun anew is drawn over the one before."""
    return "\n".join(re.split(r"\r\x1b\[K|\r", line.rstrip("\r"))[-1] for line in written.split("\n"))


def picture(screens: Iterable[tuple[str, str]]) -> str:
    """Commands, each with what it wrote, as an SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    for command, written in screens:
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        console.print(Text.from_ansi(shown(written).strip("\n")))
        console.print()
    drawn = console.export_svg(title="jobwarden", theme=MONOKAI, unique_id="terminal")
    # It asks nobody for fonts.
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
