"""Order of the whole run, which several processes share file by file (``make test``).

Files that take longest come first, and unit tests, whose files are short, last, so that no process waits long for the
end of another. Between them the order is that of a hash: neighbours in a folder want the same thing, here the processor
and there a daemon's start. The browser journeys come last, because Playwright keeps an event loop for the session.

Hypothesis measures time as well; on a machine where two files run at once that says nothing about the code.
"""

from __future__ import annotations

import hashlib
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
for _name in ("live_log", "live_processes", "ports"):
    _load(f"enclave_test_{_name}", f"{_name}.py")


@pytest.fixture(scope="session")
def docker_host() -> Iterator[str]:
    """A Docker daemon of this test process: its address."""
    with _DOCKER.docker_daemon() as address:
        yield address


_TESTS = Path(__file__).parent
_LONGEST = (
    "integration/gateway/clients/test_clients.py",
    "integration/audit/strangers/test_go.py",
    "security/sql/test_sql_bombs.py",
    "integration/workspaces/test_workspace.py",
    "integration/workspaces/test_docker.py",
    "integration/clusters/test_nodes.py",
    "security/sql/test_kills_in_a_stream.py",
    "security/workspaces/test_isolation.py",
    "security/sql/test_sql_attacks.py",
    "integration/workspaces/test_with_gateway.py",
    "integration/portal/test_audit_pages.py",
    "e2e/test_kills.py",
    "e2e/test_auditor_many.py",
    "e2e/test_workspace_life.py",
    "e2e/test_bad_input.py",
    "e2e/test_lab_panel.py",
    "e2e/test_whole_journey.py",
)


def _place(item: pytest.Item) -> tuple[int, int, str]:
    file = item.path.relative_to(_TESTS).as_posix()
    group = {"unit": 1, "e2e": 2}.get(file.split("/", 1)[0], 0)
    rank = _LONGEST.index(file) if file in _LONGEST else len(_LONGEST)
    return group, rank, hashlib.sha256(file.encode()).hexdigest()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)
