"""Makes ``record_table`` importable by its neighbours."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from audit.alerts.thresholds import load_thresholds


@pytest.fixture(scope="session")
def thresholds():
    """As shipped."""
    return load_thresholds()
