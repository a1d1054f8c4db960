"""A started log with its own daemon."""

import importlib.util
import sys
from pathlib import Path

import pytest

_FILE = Path(__file__).parent.parent / "audit" / "running_log.py"


@pytest.fixture
def running_log():
    """The log of the audit part's own integration tests."""
    spec = importlib.util.spec_from_file_location("running_log", _FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("running_log", module)
    spec.loader.exec_module(module)
    log = module.RunningLog()
    try:
        yield log.start()
    finally:
        log.remove()
