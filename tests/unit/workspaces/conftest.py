"""The client package as a workspace has it, importable, and what these tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "workspace_images" / "client"))
from host_doubles import UnsafeEngine


@pytest.fixture
def engine() -> UnsafeEngine:
    return UnsafeEngine()
