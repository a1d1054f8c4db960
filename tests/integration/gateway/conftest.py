"""One running gateway for the tests of this folder, and a fresh one for tests that kill things."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_FILE = Path(__file__).with_name("stack.py")
_NAME = "gateway_stack"
if _NAME not in sys.modules:
    _spec = importlib.util.spec_from_file_location(_NAME, _FILE)
    assert _spec is not None and _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules[_NAME] = _module
    _spec.loader.exec_module(_module)
stack_module: Any = sys.modules[_NAME]


@pytest.fixture(scope="module")
def gateway() -> Iterator[Any]:
    """A gateway with the project heart-study (members alice and carol, who is an admin)."""
    with stack_module.running_stack() as stack:
        stack.add_project()
        stack.socket()
        yield stack


@pytest.fixture
def fresh_gateway() -> Iterator[Any]:
    """A gateway of the test's own."""
    with stack_module.running_stack() as stack:
        stack.add_project()
        stack.socket()
        yield stack
