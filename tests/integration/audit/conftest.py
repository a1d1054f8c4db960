"""Fixtures with real daemons."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from running_log import RunningLog


@pytest.fixture
def prepared_log():
    """A log that is not started yet."""
    log = RunningLog()
    yield log
    log.remove()


@pytest.fixture
def running_log(prepared_log):
    """A started log."""
    return prepared_log.start()
