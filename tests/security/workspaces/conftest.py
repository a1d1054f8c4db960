"""The whole test stand: edge, hub, workspaces."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from enclave_test_stand import Stand  # type: ignore[import-not-found]

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "integration" / "gateway")]


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
