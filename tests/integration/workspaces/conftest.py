"""The whole test stand: edge, hub, workspaces."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def _load(name: str, file: str) -> Any:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


_STAND = _load("enclave_test_stand", "stand.py")
_load("enclave_gateway_stand", "gateway_stand.py")


@pytest.fixture(scope="module")
def stand() -> Iterator[Any]:
    """Real edge, hub and sandboxes before a stand-in portal and gateway."""
    with _STAND.Stand() as running:
        yield running
