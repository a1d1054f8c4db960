"""``python -m audit.exports --config FILE``: exit code 0 after a clean stop, 3 when it refuses to start."""

from __future__ import annotations

import argparse
import logging
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from audit.exports.config import ConfigError, load_settings
from audit.exports.service import AlreadyRunning, serve

EXIT_REFUSED = 3


def run(config: Path) -> int:
    """Serve the targets of a configuration; return the exit code."""
    configure_log()
    try:
        serve(load_settings(config))
    except (ConfigError, AlreadyRunning, ssl.SSLError, OSError) as error:
        structlog.get_logger().error("start-refused", reason=str(error))
        return EXIT_REFUSED
    return 0


def configure_log() -> None:
    """JSON lines on standard error; no record's content is ever written there."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )


def main(arguments: Sequence[str]) -> int:
    """Read the command line (exits with 2 on a usage error)."""
    parser = argparse.ArgumentParser(prog="python -m audit.exports", description="Export the audit log.")
    parser.add_argument("--config", type=Path, required=True, help="exports.toml")
    return run(parser.parse_args(arguments).config)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
