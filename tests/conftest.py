"""Order of the whole run: the browser journeys come last, because Playwright keeps an event loop for the session.

Hypothesis measures time as well; on a machine where two files run at once that says nothing about the code.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("busy-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy-machine")


def _load(name: str, file: str) -> Any:
    # pytest's importlib mode puts no test folder on sys.path.
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_DOCKER = _load("enclave_test_docker", "docker_engine.py")
_load("enclave_test_live_log", "live_log.py")


@pytest.fixture(scope="session")
def docker_host() -> Iterator[str]:
    """A Docker daemon of this test process: its address."""
    with _DOCKER.docker_daemon() as address:
        yield address


_BROWSER = Path(__file__).parent / "e2e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.is_relative_to(_BROWSER))
