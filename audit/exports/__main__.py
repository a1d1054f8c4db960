"""``python -m audit.exports --config FILE``: exit code 0 after a clean stop, 3 when it refuses to start."""

from __future__ import annotations

import argparse
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from audit.exports.config import ConfigError, load_settings
from audit.exports.service import AlreadyRunning, serve
from audit.operator_log import configure_log

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


def main(arguments: Sequence[str]) -> int:
    """Read the command line (exits with 2 on a usage error)."""
    parser = argparse.ArgumentParser(prog="python -m audit.exports", description="Export the audit log.")
    parser.add_argument("--config", type=Path, required=True, help="exports.toml")
    return run(parser.parse_args(arguments).config)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
