"""Why a start did not happen: each obstacle met for real by the spawner, its sentence in both languages, its record."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import date
from itertools import cycle
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from jupyterhub import orm
from jupyterhub.spawner import SpawnException

from enclave import keys
from enclave.access import AccessFiles
from enclave.domain.ids import PersonId, ProjectId, Username, WorkspaceId
from enclave.domain.people import Person, Role
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.settings import Settings
from enclave.workspaces import launch, obstacles, spawner, start_records
from enclave.workspaces.host_process import HostProcess
from enclave.workspaces.obstacles import SENTENCES, Obstacle

PERSON, STUDY = PersonId("u-0123456789ab"), ProjectId("study")
GRANT = {
    "person": PERSON,
    "workspace": "w-0123456789ab",
    "token": "t",
    "token_seconds": 600,
    "project_title": "Test",
    "memory_mb": 512,
    "processes": 64,
    "idle_minutes": 120,
    "hours": 12,
    "disk_mb": 64,
    "shared_mb": 0,
}
AUDIT_AWAY = "Le journal d’audit ne répond pas."


class Log:
    """Keeps what the hub records."""

    def __init__(self, _: object = None) -> None:
        self.events: list[Any] = []

    def record(self, event: Any) -> None:
        self.events.append(event)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="en", dir="/tmp") as folder:
        monkeypatch.setenv("ENCLAVE_HOME", folder)
        made = Settings()
        keys.ensure_keys(made)
        made.run_dir.mkdir()
        image = made.root / "image"
        image.mkdir()
        (image / "enclave-image.json").write_text(json.dumps({"base": "/usr"}))
        monkeypatch.setenv("ENCLAVE_IMAGE", str(image))
        write_access(made, ProjectState.ACTIVE)
        yield Settings()


def write_access(settings: Settings, state: ProjectState) -> None:
    access = AccessFiles(settings)
    access.write_people([Person(PERSON, Username("bob"), frozenset({Role.RESEARCHER}))])
    members = frozenset({PERSON})
    access.write_project(ProjectRecord(STUDY, "Test", state, None, "0" * 64, date(2099, 1, 1), members))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    found = Log()
    monkeypatch.setattr(start_records, "_client", lambda _: found)
    return found


def no_image(settings: Settings, _: pytest.MonkeyPatch) -> None:
    shutil.rmtree(settings.image)


def no_engine(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real host process on a machine without bubblewrap."""
    empty = settings.root / "programs"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))


def no_space(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.workspaces_dir.mkdir()
    monkeypatch.setattr(obstacles.shutil, "disk_usage", lambda _: SimpleNamespace(free=10 << 20))


def full_in_between(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(launch.Places, "write_token", write)


def no_permission(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.workspaces_dir.write_text("a file where the homes' folder should be")


def closed_meanwhile(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the portal's yes and the first answer of the workspace."""
    start_host = HostProcess.start

    def closing(*arguments: Any) -> HostProcess:
        write_access(settings, ProjectState.CLOSED)
        return start_host(*arguments)

    monkeypatch.setattr(HostProcess, "start", closing)


def nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is well here."""


OBSTACLES = {
    "no portal": (Obstacle.PORTAL_AWAY, nothing),
    "no gateway": (Obstacle.GATEWAY_AWAY, nothing),
    "a gateway that refuses": (Obstacle.GATEWAY_AWAY, nothing),
    "no image": (Obstacle.IMAGE_MISSING, no_image),
    "no engine": (Obstacle.ENGINE_MISSING, no_engine),
    "a full disk": (Obstacle.DISK_FULL, no_space),
    "a disk that fills": (Obstacle.DISK_FULL, full_in_between),
    "a folder that cannot be made": (Obstacle.NOT_PREPARED, no_permission),
    "no packages": (Obstacle.PACKAGES_MISSING, nothing),
    "a server that ends": (Obstacle.ENDED_AT_ONCE, nothing),
    "a project that is closed meanwhile": (Obstacle.REVOKED, closed_meanwhile),
}


@pytest.mark.parametrize(("name", "language"), [*zip(OBSTACLES, cycle(("fr", "en")), strict=False)])
def test_the_researcher_reads_what_to_do_and_the_log_says_why(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, log: Log, name: str, language: str
) -> None:
    obstacle, put = OBSTACLES[name]
    put(settings, monkeypatch)
    partners = [] if name == "no portal" else ["portal"]
    partners += [] if name == "no gateway" else ["gateway"]
    refuses, packages = name == "a gateway that refuses", "p1" if name == "no packages" else ""
    error = asyncio.run(start(settings, language, partners, refuses=refuses, packages=packages))
    assert error.jupyterhub_message == error.message == SENTENCES[obstacle][language]
    assert (error.status_code, error.reason) == (503, obstacle.value)
    (event,) = log.events
    assert (event.type, event.actor, event.project, event.decision) == ("workspace:refused", PERSON, "study", "deny")
    assert event.data == {"obstacle": obstacle.value, "reasons": [SENTENCES[obstacle]["en"]]}


def test_without_the_audit_log_the_portals_sentence_is_shown(settings: Settings, log: Log) -> None:
    error = asyncio.run(start(settings, "fr", ["portal", "gateway"], audit_away=True))
    assert error.message == AUDIT_AWAY


def test_every_obstacle_says_what_to_do_next_in_both_languages() -> None:
    assert set(SENTENCES) == set(Obstacle) == {obstacle for obstacle, _ in OBSTACLES.values()}
    for texts in SENTENCES.values():
        assert "tell the people who run this enclave" in texts["en"].replace("Tell", "tell")
        assert "l'équipe qui exploite l'enclave" in texts["fr"]


async def start(
    settings: Settings,
    language: str,
    partners: list[str],
    *,
    refuses: bool = False,
    audit_away: bool = False,
    packages: str = "",
) -> Any:
    """A spawner as JupyterHub makes one, with portal and gateway as given; the exception of its start."""

    async def portal(request: web.Request) -> web.Response:
        assert request.headers["Accept-Language"] == language
        if audit_away:
            return web.json_response({"reasons": [AUDIT_AWAY]}, status=503)
        return web.json_response({**GRANT, "packages": packages})

    async def gateway(_: web.Request) -> web.Response:
        refused = web.json_response({"reasons": ["Expected another identifier."]}, status=400)
        return refused if refuses else web.Response(status=204)

    runners = []
    sockets = {"portal": (portal, settings.portal_socket), "gateway": (gateway, settings.gateway_control_socket)}
    for handler, path in [sockets[name] for name in partners]:
        app = web.Application()
        app.router.add_route("*", "/{any:.*}", handler)
        runners.append(web.AppRunner(app))
        await runners[-1].setup()
        await web.UnixSite(runners[-1], str(path)).start()
    handler = SimpleNamespace(request=SimpleNamespace(headers={"Accept-Language": language}))
    try:
        made = spawner.WorkspaceSpawner(user=SimpleNamespace(name="bob"), handler=handler)
        made.orm_spawner = SimpleNamespace(
            name=STUDY,
            last_activity=None,
            server=orm.Server(proto="http", ip="", port=1, cookie_name="", base_url="/user/bob/study/"),
        )
        with pytest.raises(SpawnException) as raised:
            await made.start()
        await made.stop()
    finally:
        for runner in runners:
            await runner.cleanup()
    return raised.value


def test_of_a_log_without_end_only_the_end_is_read(settings: Settings) -> None:
    """The server's descriptor of it is the server's; the hub reads what is left of it."""
    places = launch.Places(settings.root, WorkspaceId("w-0123456789ab"))
    assert launch.log_tail(places) == ""
    places.create()
    places.server_log.touch()
    os.truncate(places.server_log, 1 << 40)
    with places.server_log.open("ab") as log:
        log.write("\nDernière ligne".encode())
    assert launch.log_tail(places, 6) == " ligne" and launch.log_tail(places).endswith("\nDernière ligne")
    assert len(launch.log_tail(places)) == 2000
