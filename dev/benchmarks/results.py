"""The results of a run: written, read, rendered and held against what is committed."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from environments import ROOT

from . import bills, plots, programs, table
from .costs import PRICES
from .places import COMMITTED, COSTS_PAGE, README, RESULTS, Size, told
from .targets import judged

Json = dict[str, Any]


def assembled(size: Size, parts: Sequence[str], figures: list[Json]) -> Json:
    return {
        "taken": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "size": size.name,
        "parts": list(parts),
        "machine": machine(),
        "versions": programs.versions(),
        "prices": PRICES,
        "targets": judged(figures),
        "figures": figures,
    }


def machine() -> Json:
    return {
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "processor": _of("/proc/cpuinfo", "model name") or platform.machine(),
        "memoryGb": round(int((_of("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) * 1024 / 1e9),
    }


def _of(path: str, name: str) -> str | None:
    lines = Path(path).read_text().splitlines() if Path(path).is_file() else []
    found = (line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name)
    return next(found, None)


def write(results: Json, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def render(results: Json) -> dict[Path, str]:
    """The files that show the results."""
    files = {COMMITTED.with_name(f"{name}.svg"): text for name, text in plots.rendered(results).items()}
    costs = table.placed(told(COSTS_PAGE), COSTS_PAGE.read_text(), bills.rendered(results))
    return {README: table.put_in(README.read_text(), results), COSTS_PAGE: costs, **files}


def commit() -> None:
    """Takes what the last run measured for what is shown."""
    if not RESULTS.is_file():
        raise SystemExit(f"{told(RESULTS)} is missing; `make bench` measures it")
    results = json.loads(RESULTS.read_text())
    write(results, COMMITTED)
    for path, text in render(results).items():
        path.write_text(text)
        print(f"rendered {path.relative_to(ROOT)}")


def check() -> None:
    """Fails where what is shown is not what the committed results render."""
    shown = render(json.loads(COMMITTED.read_text()))
    stale = [told(path) for path, text in shown.items() if not path.is_file() or path.read_text() != text]
    if stale:
        raise SystemExit(f"not what {told(COMMITTED)} renders: {', '.join(stale)}; run `python3 dev/bench.py render`")
