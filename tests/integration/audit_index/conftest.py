"""Fixtures."""

import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "audit"))
from published_log import PublishedLog
from running_log import RunningLog


@pytest.fixture
def log():
    """A log without entries yet."""
    published = PublishedLog(Path(tempfile.mkdtemp(prefix="en", dir="/tmp")))
    yield published
    published.remove()


@pytest.fixture
def running_log():
    """A log with its daemon."""
    running = RunningLog()
    yield running.start()
    running.remove()
