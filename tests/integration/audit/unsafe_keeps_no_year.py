"""``python -m audit.daemon`` without the year that an order to prune has to leave: for tests of what pruning does."""

import sys

from audit.daemon import pruning
from audit.daemon.__main__ import parse_arguments, run

if __name__ == "__main__":
    pruning.LEAST_KEEP_DAYS = 0
    raise SystemExit(run(parse_arguments(sys.argv[1:])))
