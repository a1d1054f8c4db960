"""The whole test stand: edge, hub, workspaces."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def _load_stand() -> Any:
    if "enclave_test_stand" not in sys.modules:
        path = Path(__file__).parents[2] / "integration" / "workspaces" / "stand.py"
        spec = importlib.util.spec_from_file_location("enclave_test_stand", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["enclave_test_stand"] = module
        spec.loader.exec_module(module)
    return sys.modules["enclave_test_stand"]


_STAND = _load_stand()


@pytest.fixture(scope="module")
def stand() -> Iterator[Any]:
    """Real edge, hub and sandboxes before a stand-in portal and gateway."""
    with _STAND.Stand() as running:
        yield running
