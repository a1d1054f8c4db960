"""What tests of this folder share, importable by its neighbours; the world of admission's tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from admission_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A test changes one thing in it."""
    return World(tmp_path)
