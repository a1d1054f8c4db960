"""The edge of the test stand, without a hub."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from enclave_test_stand import Stand  # type: ignore[import-not-found]

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parents[1] / "unit" / "edge")]


@pytest.fixture(scope="module")
def edge() -> Iterator[Any]:
    """A running edge before a stand-in portal."""
    with Stand(with_hub=False) as stand:
        yield stand
