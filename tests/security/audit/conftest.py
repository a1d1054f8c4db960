"""Real logs to attack."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "integration" / "audit"))
sys.path.insert(0, str(Path(__file__).parent))
from house import build_house
from running_log import RunningLog, event, wait_until


@pytest.fixture
def prepared_log():
    """A log that is not started yet."""
    log = RunningLog()
    yield log
    log.remove()


@pytest.fixture(scope="session")
def finished_log():
    """About 700 records, several partial tiles at every level, stopped cleanly. Tests copy it before touching it."""
    log = RunningLog().start()
    client = log.client("gateway")
    for number in range(700):
        payload = {"sql": "SELECT 1"} if number % 50 == 0 else None
        receipt = client.record(event(number, request_id=f"r-{number}", payload=payload))
        if number in (100, 200, 300, 400, 530, 560, 600, 650):
            client.wait_published(receipt.index, log.log_dir)
        if number == 400:
            (log.home / "earlier.note").write_text(receipt.checkpoint)
    client.close()
    assert log.stop() == 0
    wait_until(lambda: not log.socket.exists())
    yield log
    log.remove()


@pytest.fixture(scope="session")
def house(tmp_path_factory):
    """A log with witnesses, a time stamp, a receipt and payloads, made without a daemon. Tests copy it before use."""
    return build_house(tmp_path_factory.mktemp("house") / "home")
