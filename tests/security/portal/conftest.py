"""One house per test file; each test uses a project name of its own."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
import pytest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "enclave.portal.django_settings")
django.setup()


def _load() -> Any:
    # pytest's importlib mode puts no test folder on sys.path.
    spec = importlib.util.spec_from_file_location(
        "portal_house", Path(__file__).parents[2] / "integration" / "portal" / "house.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["portal_house"] = module
    spec.loader.exec_module(module)
    return module


HOUSE = _load()


@pytest.fixture(scope="module")
def house() -> Iterator[Any]:
    with HOUSE.running_house() as running:
        yield running
