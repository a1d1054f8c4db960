"""``python -m audit.alerts``: watch the log until SIGTERM. Exit codes: 0 clean stop, 3 unusable thresholds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from audit.alerts.watch import WatchSettings, run


def parse(arguments: Sequence[str] | None = None) -> WatchSettings:
    """The settings of the command line."""
    parser = argparse.ArgumentParser(prog="python -m audit.alerts", description=__doc__)
    parser.add_argument("--log", type=Path, required=True, help="the published log's directory")
    parser.add_argument("--index", type=Path, required=True, help="directory of the Parquet index")
    parser.add_argument("--socket", type=Path, required=True, help="the audit daemon's unix socket")
    parser.add_argument("--thresholds", type=Path, default=None, help="the site's own thresholds (TOML)")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between evaluations")
    given = parser.parse_args(arguments)
    if not given.every > 0:
        parser.error("--every: expected seconds above 0")
    return WatchSettings(given.log, given.index, given.socket, given.thresholds, given.every)


if __name__ == "__main__":
    sys.exit(run(parse()))
