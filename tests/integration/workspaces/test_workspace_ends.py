"""How a workspace ends, and what it outlives: real hub, sandboxes and edge (portal and gateway are stand-ins)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from enclave_test_stand import wait_for  # type: ignore[import-not-found]

from enclave import keys
from enclave.domain.ids import ProjectId, WorkspaceId
from enclave.metering.ledger import find_ledger
from enclave.metering.readings import group_cpu_ns
from enclave.process_table import children
from enclave.workspaces import cgroups, launch
from enclave.workspaces.services import is_computing


@pytest.fixture(scope="module")
def alice(stand: Any) -> Any:
    browser = stand.browser("alice")
    browser.here = browser.start_workspace("gibleed-nsaids")
    return browser


def workspace_of(stand: Any, name: str) -> str:
    return str(next(wid for wid, who in reversed(stand.portal.started.items()) if who == name))


def test_the_runner_stops_a_workspace_and_all_is_cleared_away(stand: Any) -> None:
    bob = stand.browser("bob")
    here = bob.start_workspace("second-project")
    wid = workspace_of(stand, "bob/second-project")
    folder: Path = stand.settings.run_dir / "ws" / wid
    assert folder.is_dir() and wid in stand.gateway.open
    token = keys.hub_api_token(stand.settings)
    users = stand.hub_api("GET", "/users", token).json()
    assert "second-project" in next(u for u in users if u["name"] == "bob")["servers"]
    assert stand.hub_api("DELETE", "/users/bob/servers/second-project", token).status_code in (202, 204)
    wait_for(lambda: wid in stand.portal.stopped and not folder.exists(), "the workspace's end")
    assert wid not in stand.gateway.open
    wait_for(lambda: "jupyter-config-data" not in bob.get(f"{here}/lab").text, "the route to go")


def test_a_token_that_is_not_renewed_ends_the_workspace(stand: Any) -> None:
    stand.portal.token_seconds = 4
    try:
        carol = stand.browser("carol")
        here = carol.start_workspace("short-tokens")
        wid = workspace_of(stand, "carol/short-tokens")
        token = stand.settings.run_dir / "ws" / wid / "in" / "token"
        first = f"test-token-{wid}-1"
        wait_for(lambda: token.read_text() != first, "a fresh token")
        assert carol.run_cell(here, "print(open('/run/enclave/token').read())").startswith(f"test-token-{wid}-")
        stand.portal.revoked.add(wid)
        wait_for(lambda: wid in stand.portal.stopped, "the end of the revoked workspace")
    finally:
        stand.portal.token_seconds = 600


def test_a_crashed_edge_does_not_lose_the_workspace(stand: Any, alice: Any) -> None:
    stand.edge.kill()
    stand.edge.wait(60)
    stand.edge = stand.start("enclave.edge.serve")
    wait_for(lambda: stand.answers(stand.settings.portal_url), "the restarted edge")
    assert alice.get(f"{alice.here}/lab").status_code == 200
    assert alice.run_cell(alice.here, "print('still here')") == "still here\n"


def test_a_killed_hub_takes_no_workspace_along(stand: Any, alice: Any) -> None:
    """Kernel and variables are there when the next hub is; it renews tokens and can stop the workspace."""
    wid = workspace_of(stand, "alice/gibleed-nsaids")
    token = stand.settings.run_dir / "ws" / wid / "in" / "token"
    kernel = alice.open_kernel(alice.here)
    alice.execute(alice.here, kernel, "kept = 6 * 7")
    before = token.read_text()
    stand.portal.token_seconds = 4
    stand.hub.kill()
    stand.hub.wait(60)
    try:
        os.utime(token, (0, 0))  # as if the hub had been away for long: renewal is due
        stand.hub = stand.start("enclave.workspaces.serve")
        wait_for(lambda: stand.answers(stand.hub_url("/hub/api")), "the new hub")
        wait_for(lambda: token.read_text() != before, "the new hub to renew the token", 60)
        assert alice.execute(alice.here, kernel, "print(kept)") == "42\n"
        assert wid not in stand.portal.stopped
    finally:
        stand.portal.token_seconds = 600
    assert alice.get(f"{alice.here}/lab").status_code == 200


def test_a_workspace_that_ended_while_the_hub_was_away_is_reported(stand: Any) -> None:
    erin = stand.browser("erin")
    here = erin.start_workspace("other-project")
    burn = "import time\nwhile time.process_time() < 1: pass"
    erin.run_cell(here, burn)
    wid = workspace_of(stand, "erin/other-project")
    places = launch.Places(stand.root, WorkspaceId(wid))
    state = json.loads(places.state.read_text())
    pids = children(state["pid"])
    assert pids
    used = group_cpu_ns(cgroups.groups_of(launch.control_group(WorkspaceId(wid))))
    stand.hub.kill()
    stand.hub.wait(60)
    os.kill(state["pid"], signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the sandboxes to end with their host")
    stand.hub = stand.start("enclave.workspaces.serve")
    wait_for(lambda: wid in stand.portal.stopped, "the new hub to report the lost workspace", 60)
    wait_for(lambda: stand.answers(stand.hub_url("/hub/api")), "the new hub")
    assert not places.folder.exists()
    groups = [parent / launch.control_group(WorkspaceId(wid)) for parent in cgroups.own_groups().values()]
    wait_for(lambda: not any(group.exists() for group in groups), "its control groups to go")
    ledger = find_ledger(stand.settings.metering_dir, ProjectId("other-project"), WorkspaceId(wid))
    assert ledger is not None
    # with a control group what it used is exact even so: the next hub read what its host could not
    if used is not None:
        counted = ledger.read()
        assert counted.counted_cpu_ns >= used > 10**9
        assert sum(day.cpu_ns for day in counted.days.values()) == counted.counted_cpu_ns


def test_a_busy_kernel_is_seen_from_outside(stand: Any, alice: Any) -> None:
    """What keeps a long computation from being ended as idle when the browser is closed."""
    wid = workspace_of(stand, "alice/gibleed-nsaids")
    socket = launch.Places(stand.root, WorkspaceId(wid)).listening_socket
    assert not asyncio.run(is_computing(socket, f"{alice.here}/"))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            alice.run_cell, alice.here, "import os, time\nwhile not os.path.exists('go'): time.sleep(0.1)"
        )
        wait_for(lambda: asyncio.run(is_computing(socket, f"{alice.here}/")), "the kernel to be busy")
        alice.run_cell(alice.here, "open('go', 'w').close()")
        running.result(30)
