"""Real logs, real receivers and a real exporter process."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "audit"))
from exporter import RunningExporter
from receivers import Authority, HttpReceiver
from running_log import RunningLog


@pytest.fixture
def running_log():
    """A started audit daemon."""
    log = RunningLog()
    try:
        yield log.start()
    finally:
        log.remove()


@pytest.fixture
def exporter(tmp_path):
    """An exporter process that is not started yet."""
    process = RunningExporter(tmp_path)
    yield process
    process.remove()


@pytest.fixture
def receiver():
    """A real HTTP receiver on loopback."""
    server = HttpReceiver()
    yield server
    server.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate authority of the test's own."""
    return Authority(tmp_path_factory.mktemp("ca"))
