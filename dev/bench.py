"""Measures Jobwarden and its peers, and shows what came of it.

    python3 dev/bench.py [hot] [functions] [sweeps] [goodput]    all of them if none is named
    python3 dev/bench.py render [--check]
    python3 dev/bench.py profile

The first writes target/bench/results.json, and fails where something is below its floor. QUICK=1 takes about three
minutes; what cannot reach its floor has a page that says why, and a bound of its own. The second puts the last results
into docs/bench, README.md and docs/costs.md, or looks whether what is there is right. The third counts where the
instructions of a guarded cancel and of a deletion go (docs/bench/profile.md).

Everything runs on loopback, in turns, so that whatever else the machine does is shared: what lasts are ratios.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import costs, functions, goodput, hot, profile, programs, results, sweeps
from benchmarks.endpoint import Endpoint, serving
from benchmarks.figures import Figures
from benchmarks.places import RESULTS, Size, size, told
from benchmarks.table import MISSING, with_unit

Json = dict[str, Any]

SERVED: dict[str, Callable[[Endpoint, Size, Figures], None]] = {
    "functions": functions.measure,
    "sweeps": sweeps.measure,
    "goodput": goodput.measure,
}
PARTS = ("hot", *SERVED)


def measure(parts: list[str]) -> list[Json]:
    """The figures of these parts."""
    of_run = size()
    figures = Figures()
    served = [part for part in SERVED if part in parts]
    if served:
        programs.build()
        with serving() as endpoint:
            for part in served:
                began = time.monotonic()
                SERVED[part](endpoint, of_run, figures)
                print(f"measured {part} in {time.monotonic() - began:.0f} s", flush=True)
        costs.add(figures)
    return [*figures.told(), *(hot.measure(of_run) if "hot" in parts else [])]


def run(parts: list[str]) -> None:
    done = results.assembled(size(), parts, measure(parts))
    results.write(done, RESULTS)
    for figure in done["figures"]:
        print(f"{figure['median']:>14,.2f} {figure['unit']:<9} {figure['name']}")
    print()
    for target in done["targets"]:
        value = MISSING if target["value"] is None else with_unit(target["value"], target["unit"])
        bounds = f"(goal {target['goal']}, floor {target['floor']})"
        why = f"; {target['why']} says why, and {target['least']} holds" if target["reached"] == "explained" else ""
        print(f"{target['reached']:<13} {value:>10}  {bounds:<30}  {target['name']}{why}")
    print(f"written to {told(RESULTS)}")
    # A part, or a quick run, need not measure everything.
    failed = {"missed", "not measured"} if len(parts) == len(PARTS) and done["size"] == "full" else {"missed"}
    if below := [target["name"] for target in done["targets"] if target["reached"] in failed]:
        raise SystemExit("below the floor: " + "; ".join(below))


def main() -> None:
    match sys.argv[1:]:
        case ["render"]:
            results.commit()
        case ["render", "--check"]:
            results.check()
        case ["profile"]:
            profile.run()
        case parts if set(parts) <= set(PARTS):
            run(parts or list(PARTS))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
