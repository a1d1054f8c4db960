"""Stands with the clusters' service: one with every real part, one whose islands are the test's own."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_WORKSPACES = Path(__file__).resolve().parents[1] / "workspaces"


def _load(name: str, file: Path) -> Any:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


_load("enclave_test_stand", _WORKSPACES / "stand.py")
_load("enclave_gateway_stand", _WORKSPACES / "gateway_stand.py")
_load("enclave_gateway_stack", _WORKSPACES.parent / "gateway" / "stack.py")
_load("enclave_hostile_stand", Path(__file__).parent / "hostile_stand.py")
_STAND = _load("enclave_cluster_stand", Path(__file__).parent / "cluster_stand.py")
_load("enclave_cluster_cells", Path(__file__).parent / "cluster_cells.py")
_load("enclave_node_stand", Path(__file__).parent / "node_stand.py")


@pytest.fixture(scope="module")
def clusters() -> Iterator[Any]:
    """Alice has a workspace."""
    with _STAND.ClusterStand() as running:
        running.open_workspace()
        yield running
