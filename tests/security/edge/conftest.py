"""The edge of the test stand, without a hub."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).parents[2] / kind / "edge") for kind in ("unit", "integration", "security")]


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
def edge() -> Iterator[Any]:
    """A running edge before a stand-in portal."""
    with _STAND.Stand(with_hub=False) as stand:
        yield stand
