"""The client file that is handed out, and the server of the end-to-end tests that remembers what it was sent."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "clients"), str(ROOT / "tests/e2e")]
