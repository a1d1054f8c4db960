"""What ``enclave demo`` was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DemoOptions:
    """The command line as a value. An empty ``source`` means the sample hospital."""

    permit: Path
    journey: bool = False
    source: str = ""
    keep: bool = False
    as_json: bool = False
    seed: bool = False
