"""One running gateway for the tests of this folder, and a fresh one for tests that kill things."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gateway_stack as stack_module  # type: ignore[import-not-found]
import pytest


def _loaded(name: str, file: str) -> Any:
    """A file of this folder as a module under a name of its own."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(file))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


_loaded("gateway_authority", "authority.py")


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
