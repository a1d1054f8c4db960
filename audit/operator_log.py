"""What audit processes tell their operators: JSON lines on standard error, never the content of a record."""

from __future__ import annotations

import logging
import sys

import structlog


def configure_log() -> None:
    """Call once at process start."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
