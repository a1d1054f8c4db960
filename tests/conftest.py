"""Order of the whole run, which several processes share unit by unit (``make test``); a unit is a file, mostly.

Units that take longest come first, and unit tests, whose files are short, last, so that no process waits long for the
end of another. Between them the order is that of a hash: neighbours in a folder want the same thing, here the processor
and there a daemon's start. All browser journeys of one enclave are one unit and the first, because they wait more than
they compute; a file whose tests each start an enclave of their own is a unit per test.

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
from xdist.scheduler import LoadFileScheduling

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
_load("enclave_test_database", "migrated_database.py")
for _name in ("live_log", "live_processes", "ports", "unprivileged", "waiting"):
    _load(f"enclave_test_{_name}", f"{_name}.py")
for _name, _file in (
    ("enclave_test_extract", "gateway/sample_extract.py"),
    ("gateway_stack", "gateway/stack.py"),
    ("enclave_test_partners", "workspaces/unsafe_partners.py"),
    ("enclave_test_browser", "workspaces/browser.py"),
    ("enclave_test_stand", "workspaces/stand.py"),
):
    _load(_name, f"integration/{_file}")


@pytest.fixture(scope="session")
def docker_host() -> Iterator[str]:
    """A Docker daemon of this test process: its address."""
    with _DOCKER.docker_daemon() as address:
        yield address


_TESTS = Path(__file__).parent
_HOUSE = "the enclave of the browser journeys"
_APART = ("e2e/test_kills.py", "e2e/test_unreadable_source.py")
"""Each test with an enclave of its own."""
_LONGEST = (
    _HOUSE,
    "integration/gateway/clients/test_clients.py",
    "integration/audit/strangers/test_go.py",
    "e2e/test_kills.py",
    "security/sql/test_sql_bombs.py",
    "integration/workspaces/test_workspace.py",
    "integration/workspaces/test_workspace_ends.py",
    "integration/workspaces/test_docker.py",
    "integration/workspaces/test_docker_workspaces.py",
    "integration/clusters/test_nodes.py",
    "security/sql/test_kills_in_a_stream.py",
    "security/workspaces/test_isolation.py",
    "security/sql/test_sql_attacks.py",
    "integration/workspaces/test_with_gateway.py",
    "integration/enclave/test_without_root.py",
    "integration/portal/test_audit_pages.py",
    "e2e/test_unreadable_source.py",
)
_LATE = ("e2e/test_auditor_many.py", "e2e/test_admin.py")
"""In their enclave: a hundred thousand records slow all pages down, and a person who is revoked stays so."""


def _unit(nodeid: str) -> str:
    """What one process runs in one piece. ``nodeid`` is below ``tests/``."""
    file = nodeid.split("::", 1)[0]
    if file in _APART:
        return nodeid
    return _HOUSE if file.startswith("e2e/") else file


def _place(item: pytest.Item) -> tuple[int, int, str, int, str]:
    file = item.path.relative_to(_TESTS).as_posix()
    unit = _HOUSE if _unit(file) == _HOUSE else file
    rank = _LONGEST.index(unit) if unit in _LONGEST else len(_LONGEST)
    late = _LATE.index(file) + 1 if file in _LATE else 0
    return file.startswith("unit/"), rank, _hash(unit), late, _hash(file)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)


class _ByUnit(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return _unit(nodeid.removeprefix("tests/"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """``--dist loadfile`` hands out units."""
    return _ByUnit(config, log) if config.getvalue("dist") == "loadfile" else None
