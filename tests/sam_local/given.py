"""Makes on the emulator what the events of events/ are about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

# The parameters of the stack whose environment the functions get.
PARAMETERS: Mapping[str, str] = {}


def world(stack: Any) -> None:
    """Makes what all events share."""


def prepare(stack: Any, event: Path, expected: Mapping[str, Any], directory: Path) -> Path:
    """Makes what an event is about; gives the file to invoke with."""
    return event
