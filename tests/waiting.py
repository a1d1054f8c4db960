"""Waiting for what comes in its own time. Imported as ``enclave_test_waiting``."""

import threading
import time
from collections.abc import Callable
from typing import Any


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """The first true value of ``condition``; fails with ``what`` after ``seconds``."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = condition()
        if found:
            return found
        threading.Event().wait(0.1)
    raise AssertionError(f"waited {seconds} s for {what}")
