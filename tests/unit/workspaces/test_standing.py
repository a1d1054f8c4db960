"""Who is revoked is out within ten seconds: the rule, the files it is read from, the sum of the product's own waits."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from traitlets.config import PyFileConfigLoader

from enclave.access import AccessFiles
from enclave.domain.ids import PersonId, ProjectId, Username
from enclave.domain.people import Person, Role
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.gateway import front
from enclave.keys import ensure_keys
from enclave.settings import Settings
from enclave.workspaces import services, spawner, standing
from enclave.workspaces.bookkeeping import bookkeeping
from enclave.workspaces.limits import has_idled
from enclave.workspaces.serve import CONFIG
from enclave.workspaces.standing import Standing

PERSON, PROJECT, BOB = PersonId("u-0123456789ab"), ProjectId("study"), Username("bob")
TODAY = date(2026, 1, 15)
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], str | None]] = {
    "nothing": ({}, {}, None),
    "the last day": ({}, {"expires_on": TODAY}, None),
    "revoked": ({"active": False}, {}, "revoked by an administrator"),
    "no researcher any more": ({"roles": frozenset({Role.AUDITOR})}, {}, "expected researcher"),
    "another name": ({"username": Username("other")}, {}, "no such person"),
    "closed": ({}, {"state": ProjectState.CLOSED}, "expected active"),
    "expired": ({}, {"expires_on": date(2026, 1, 14)}, "has expired"),
    "no member any more": ({}, {"members": frozenset({PersonId("u-ffffffffffff")})}, "not one of the people"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_the_access_files_ends_a_workspace(tmp_path: Path, change: str) -> None:
    person, project, expected = CHANGES[change]
    settings = Settings(home=tmp_path)
    files = AccessFiles(settings)
    asked = Standing(settings)
    write(files, {}, {})
    assert asked.find_objection(BOB, PROJECT, TODAY) is None
    write(files, person, project)
    found = asked.find_objection(BOB, PROJECT, TODAY)
    assert found is None if expected is None else expected in str(found)


def write(files: AccessFiles, person: dict[str, Any], project: dict[str, Any]) -> None:
    known = {"id": PERSON, "username": BOB, "roles": frozenset({Role.RESEARCHER})}
    files.write_people([Person(**{**known, **person})])
    record = ProjectRecord(PROJECT, "Study", ProjectState.ACTIVE, None, "0" * 64, date(2099, 1, 1), frozenset({PERSON}))
    files.write_project(ProjectRecord(**{**vars(record), **project}))


def test_unreadable_files_end_nothing_here(tmp_path: Path) -> None:
    """The gateway refuses every query then; a computation is not lost to a full disk."""
    settings = Settings(home=tmp_path)
    write(AccessFiles(settings), {}, {})
    (settings.access_dir / "people.json").write_text("{")
    assert Standing(settings).find_objection(BOB, PROJECT, TODAY) is None


def test_ten_seconds_are_kept_by_the_sum_of_all_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = hub_configuration(tmp_path, monkeypatch)
    assert hub.Spawner.poll_interval == standing.LOOK_SECONDS
    assert hub.Spawner.poll_jitter == standing.LOOK_JITTER
    assert services._STATUS_TIMEOUT.total == standing.ASK_SECONDS
    waits = standing.LOOK_SECONDS * (1 + standing.LOOK_JITTER) + standing.QUESTIONS * standing.ASK_SECONDS
    assert waits + standing.STOP_SECONDS + standing.KILL_SECONDS == standing.LONGEST_SECONDS <= 10
    assert front._TICK_SECONDS <= 1  # running queries are stopped, new ones are refused at once


def hub_configuration(home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """JupyterHub's configuration as the hub reads it."""
    monkeypatch.setenv("ENCLAVE_HOME", str(home))
    ensure_keys(Settings())
    return PyFileConfigLoader(CONFIG.name, str(CONFIG.parent)).load_config()


NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("minutes_ago", "idle_minutes", "expected"),
    [(119, 120, False), (120, 120, False), (121, 120, True), (10_000, 0, False), (None, 120, False)],
)
def test_a_workspace_idles_by_the_permits_minutes(minutes_ago: int | None, idle_minutes: int, expected: bool) -> None:
    seen = NOW - timedelta(minutes=minutes_ago) if minutes_ago is not None else None
    assert has_idled(seen, idle_minutes, NOW) is expected


def test_a_workspace_is_ended_whatever_else_the_hub_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the event loop's own threads hang, as they do with a Docker daemon that does not answer."""
    hangs, ended = threading.Event(), threading.Event()
    host: Any = SimpleNamespace(terminate=ended.set, wait=lambda seconds: True)
    settings = Settings(home=tmp_path)
    ensure_keys(settings)
    monkeypatch.setattr(spawner, "get_settings", lambda: settings)
    ending = spawner.WorkspaceSpawner(user=SimpleNamespace(name=BOB))
    ending._host = host

    async def end() -> None:
        own = ThreadPoolExecutor(max_workers=1)
        asyncio.get_running_loop().set_default_executor(own)
        asked = asyncio.create_task(asyncio.to_thread(hangs.wait, 60))
        try:
            async with asyncio.timeout(30):
                await ending._end()
        finally:
            hangs.set()
            await asked

    asyncio.run(end())
    assert ended.is_set()


def test_a_look_at_a_workspace_waits_for_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log hangs: the next look still comes in its two seconds."""
    asked, hangs = threading.Event(), threading.Event()

    def record(*_: object) -> None:
        asked.set()
        assert hangs.wait(60)

    async def never(self: spawner.WorkspaceSpawner) -> bool:
        return False

    settings = Settings(home=tmp_path)
    ensure_keys(settings)
    write(AccessFiles(settings), {}, {})
    monkeypatch.setattr(spawner, "get_settings", lambda: settings)
    monkeypatch.setattr(spawner, "note_fill", lambda *_: None)
    monkeypatch.setattr(spawner, "limit_records", lambda: SimpleNamespace(settle=record))
    monkeypatch.setattr(spawner.WorkspaceSpawner, "_is_running", lambda self: True)
    monkeypatch.setattr(spawner.WorkspaceSpawner, "_has_idled", never)
    looking = spawner.WorkspaceSpawner(user=SimpleNamespace(name=BOB))
    looking.orm_spawner = SimpleNamespace(name=PROJECT, server=None, last_activity=None)
    try:
        for _ in range(3):
            assert asyncio.run(looking.poll()) is None
            assert asked.wait(60)
    finally:
        hangs.set()
        asyncio.run(bookkeeping().do(lambda: None))
