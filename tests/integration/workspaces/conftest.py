"""The whole test stand: edge, hub, workspaces."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from enclave_test_stand import Stand  # type: ignore[import-not-found]


def _load(name: str, file: str) -> Any:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


_load("enclave_gateway_stand", "gateway_stand.py")
_load("enclave_island_stand", "island_stand.py")
_load("enclave_terminal_window", "terminal_window.py")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A file whose ``ENGINES`` names both runs with both; any other with bubblewrap."""
    if "stand" in metafunc.fixturenames:
        engines = getattr(metafunc.module, "ENGINES", ("bubblewrap",))
        metafunc.parametrize("stand", engines, indirect=True, scope="module")


@pytest.fixture(scope="module")
def stand(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Real edge, hub and sandboxes before a stand-in portal and gateway."""
    options = {}
    if request.param == "docker":
        host = request.getfixturevalue("docker_host")
        options = {
            "engine": "docker",
            "docker_host": host,
            "docker_image": sys.modules["enclave_test_docker"].BASE_IMAGE,
        }
    with Stand(**options) as running:
        yield running
