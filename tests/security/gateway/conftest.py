"""The stack of tests/integration/gateway, for attacks."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_FILE = Path(__file__).resolve().parents[2] / "integration" / "gateway" / "stack.py"
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
    """A gateway with two projects; alice is a member of both."""
    with stack_module.running_stack() as stack:
        stack.add_project()
        stack.add_project(stack_module.OTHER, ("CREATE TABLE secret AS SELECT 'lung-value' AS v",))
        (stack.home / "producer").mkdir()
        stack.socket()
        stack.socket(stack_module.OTHER)
        yield stack
