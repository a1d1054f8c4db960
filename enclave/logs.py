"""Operators' logs: structlog, JSON, one line per event on standard error; never a row value, token or SQL literal."""

from __future__ import annotations

import logging
import sys

import structlog


def configure(process: str) -> None:
    """Call once at process start; ``process`` names the process on every line."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    structlog.contextvars.bind_contextvars(process=process)
