"""A throw-away workspace of a reserved project and person, started as every researcher's is, with probes in its place.

Plan, profile, host process, engine, control group, disk watch and kernels are the code that researchers' workspaces go
through (``enclave.workspaces``); only the program in the server's sandbox is another one. The gateway opens a door for
it, and the token is signed for it, but nobody of that name is in the access files: every query of it is refused.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enclave.domain.ids import SELFTEST_PROJECT, PersonId, Username, WorkspaceId, new_workspace_id
from enclave.domain.workspaces import WorkspaceGrant
from enclave.keys import token_private_key
from enclave.selftest.bundle import NAME, bundle
from enclave.selftest.furniture import Furniture
from enclave.selftest.report import PLACES
from enclave.settings import Settings
from enclave.tokens import DoorKind, issue
from enclave.workspaces import cgroups, launch
from enclave.workspaces.file_count import most_files
from enclave.workspaces.host_plan import INSIDE_SHARED
from enclave.workspaces.host_process import HostProcess
from enclave.workspaces.limits import write_limits
from enclave.workspaces.planning import Opening, plan_host
from enclave.workspaces.services import Partners
from enclave.workspaces.shared_mount import make_mount_point
from enclave.workspaces.terminals import PROGRAM

PROJECT, USERNAME, PERSON = SELFTEST_PROJECT, Username("selftest"), PersonId("u-5e1f7e570000")
DECOY = Username("decoy")
MEMORY_MB, PROCESSES, DISK_MB, HOURS = 512, 256, 64, 1
"""A permit's limits, small so that bombs are quick; how they are enforced is what is tested."""
_SECONDS = 900.0
_PYTHON = "/opt/image/bin/python3.11"
_FOLDER = "selftest"


class SelftestError(Exception):
    """The self-test could not be carried out; the sentence says what to do."""


@dataclass(frozen=True)
class Running:
    """The throw-away workspace and, beside it, another one whose token and door are there to be stolen."""

    workspace: WorkspaceId
    other: WorkspaceId
    places: launch.Places
    other_places: launch.Places
    home: Path
    uid: int


@contextmanager
def opened(settings: Settings) -> Iterator[Running]:
    """Folders, account number and doors; all of it is taken away again. Raises PartnerAwayError, OSError."""
    uid = launch.allocate_uid(settings, PROJECT, USERNAME)
    homes, partners = settings.workspaces_dir / PROJECT, Partners(settings)
    shutil.rmtree(homes, ignore_errors=True)
    mine, other = new_workspace_id(), new_workspace_id()
    with ExitStack() as taken_away:  # one that fails does not keep the others
        taken_away.callback(cgroups.remove, launch.control_group(mine))
        taken_away.callback(shutil.rmtree, homes, ignore_errors=True)
        home = launch.prepare_home(settings, PROJECT, USERNAME, uid)
        running = Running(
            mine, other, launch.Places(settings.root, mine), launch.Places(settings.root, other), home, uid
        )
        for workspace, places in ((mine, running.places), (other, running.other_places)):
            taken_away.callback(places.remove)
            places.create()
            places.write_token(_token(settings, workspace))
            taken_away.callback(_close_gateway, partners, workspace)
            asyncio.run(partners.open_gateway(workspace, PROJECT, PERSON))
        yield running


def _close_gateway(partners: Partners, workspace: WorkspaceId) -> None:
    asyncio.run(partners.close_gateway(workspace))


def _token(settings: Settings, workspace: WorkspaceId, door: DoorKind = DoorKind.UNIX) -> str:
    return _signed(token_private_key(settings), workspace, door)


def _signed(key: Ed25519PrivateKey, workspace: WorkspaceId, door: DoorKind = DoorKind.UNIX) -> str:
    return issue(
        key,
        person=PERSON,
        username=USERNAME,
        project=PROJECT,
        workspace=workspace,
        ttl=timedelta(minutes=10),
        door=door,
    )


def tokens_to_show(settings: Settings, running: Running) -> dict[str, str]:
    """Three that this workspace's own door must not take."""
    return {
        "stolen_token": _token(settings, running.other),
        "forged_token": _signed(Ed25519PrivateKey.generate(), running.workspace),
        "tcp_token": _token(settings, running.workspace, DoorKind.TCP),
    }


def run_probes(
    settings: Settings, running: Running, targets: dict[str, Any], furniture: Furniture
) -> dict[str, dict[str, list[str]]]:
    """Each of PLACES → id → [state, detail], as the sandboxes wrote it. Raises SelftestError."""
    folder = running.home / _FOLDER
    mark = f"enclave-selftest-server-{secrets.token_hex(6)}"
    kernel, other_kernel = str(uuid.uuid4()), str(uuid.uuid4())
    inside = launch.HOME / _FOLDER
    own = {
        "scratch": str(inside / "scratch"),
        "own_gateway": str(launch.RUN / "gateway.sock"),
        "token_file": str(launch.RUN / "token"),
        "file_beside": str(Path("/etc/passwd")),
        "kernels_folder": "/run/kernels",
        "terminal_program": PROGRAM,
        "shared": str(INSIDE_SHARED) if furniture.shared is not None else "",
        "shared_is_plain": furniture.shared is not None and furniture.shared.is_measured,
        "other_kernel": other_kernel,
        "server_mark": mark,
        "memory_mb": MEMORY_MB,
        "processes": PROCESSES,
        "disk_mb": DISK_MB,
        "disk_seconds": 120,
        "inodes": 3 * most_files(DISK_MB),
        "inode_seconds": 120,
    }
    folder.mkdir()
    (folder / NAME).write_bytes(bundle())
    (folder / "targets.json").write_text(json.dumps({**targets, **own}))
    for path in (folder, folder / NAME, folder / "targets.json"):
        launch.give_to(path, running.uid)
    words = (_PYTHON, str(inside / NAME), "serve", str(inside / "targets.json"), str(inside))
    _keep(settings, running, (*words, kernel, other_kernel, mark), furniture)
    found = {place: _read(folder / f"{place}.json", running) for place in (*PLACES, "own-kernel")}
    return {**found, "kernel": {**found["kernel"], **found["own-kernel"]}}


def _keep(settings: Settings, running: Running, command: tuple[str, ...], furniture: Furniture) -> None:
    """Start the host as the hub does, and wait for its end."""
    places, opening = running.places, _opening(running, furniture)
    write_limits(places.inside, opening.ends_at, 0, None)
    make_mount_point(running.home, launch.HOME)
    with launch.listen(places) as listening:
        plan = plan_host(settings, opening, listening.fileno())
        host = HostProcess.start(replace(plan, command=command), listening.fileno())
    try:
        if not host.wait(_SECONDS):
            raise SelftestError(f"Expected the probes to end within {_SECONDS:.0f} s, found them running.")
    finally:
        host.terminate()
        if not host.wait(10):
            host.kill()
            host.wait(10)
        host.close()


def _opening(running: Running, furniture: Furniture) -> Opening:
    """What the portal would grant, and what the hub would have prepared."""
    grant = WorkspaceGrant(
        person=PERSON,
        workspace=running.workspace,
        token="",
        token_seconds=0,
        project_title="",
        memory_mb=MEMORY_MB,
        processes=PROCESSES,
        idle_minutes=0,
        hours=HOURS,
        disk_mb=DISK_MB,
        shared_mb=furniture.shared.megabytes if furniture.shared is not None else 0,
        packages=furniture.packages,
        terminals=True,
    )
    url, ends_at = f"/user/{USERNAME}/{PROJECT}/", time.time() + HOURS * 3600
    return Opening(grant, PROJECT, USERNAME, url, running.places, running.home, running.uid, furniture.shared, ends_at)


def _read(file: Path, running: Running) -> dict[str, list[str]]:
    """What a sandbox wrote: opened without following a link, read as data."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as content:
            found: dict[str, list[str]] = dict(json.loads(content.read(1 << 20)))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise SelftestError(
            f"Expected the outcomes of the probes ({file.name}), found none. The sandbox did not start or ended early: "
            f"{launch.log_tail(running.places, 500)}"
        ) from error
    return found
