"""What reading one file may take. Every limit has a sentence that says which one it was and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from egress_review.sdc.pixels import PIXELS

if TYPE_CHECKING:  # inside the sandbox nobody needs them
    from enclave.settings import Settings

ANSWER_BYTES = 4_000_000
"""Findings of a file, or a file as rows and lines."""
PIXEL_BYTES = 4 * PIXELS + 200
SVG_BYTES = 10_000_000
NOTEBOOKS = ".ipynb"
PREPARED = frozenset({".png", ".jpg", ".jpeg", NOTEBOOKS})
"""Kinds of files (by their suffix) for which more has to be loaded before the first of them is read."""
MEMORY_CODE = 3
"""Exit code of a reader that had no memory left."""
PROCESSOR_CODE = -24
"""Ended by SIGXCPU."""


@dataclass(frozen=True)
class ReadingLimits:
    """Of one file; ``at_once`` of researchers' files and as many of reviewers' are read at a time."""

    processor_seconds: int = 20
    seconds: float = 40.0
    """By the clock: a machine that is busy takes longer."""
    memory_mb: int = 1024
    """Address space (RLIMIT_AS)."""
    answer_bytes: int = ANSWER_BYTES
    request_seconds: float = 35.0
    """For all files of one request together; the gateway waits for 60, and a turn is waited for, too."""
    at_once: int = 2


def reading_limits(settings: Settings) -> ReadingLimits:
    """The site's."""
    return ReadingLimits(
        processor_seconds=settings.check_seconds,
        seconds=2.0 * settings.check_seconds,
        memory_mb=settings.check_memory_mb,
        at_once=settings.checks_at_once,
    )
