"""One house per test file; requests made by earlier tests stay, so each test looks only at its own."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def _load() -> Any:
    # pytest's importlib mode puts no test folder on sys.path.
    spec = importlib.util.spec_from_file_location("egress_review_house", Path(__file__).with_name("house.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["egress_review_house"] = module
    spec.loader.exec_module(module)
    return module


HOUSE = _load()


@pytest.fixture(scope="module")
def house() -> Iterator[Any]:
    with HOUSE.running_house() as running:
        yield running
