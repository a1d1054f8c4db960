"""A closed project leaves nothing: extract, homes, scratch, shared folder; each on record once, then gone."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from portal_house import permit_text

from enclave import jobs
from enclave.destruction import carry_out
from enclave.destruction.remains import find_remains
from enclave.domain.events import EventType
from enclave.domain.ids import ProjectId
from enclave.domain.people import Role
from enclave.files import remove_tree
from enclave.portal.actions import projects
from enclave.portal.models import Destruction, Job, User, WorkspaceSession
from enclave.runner import Runner
from enclave.shown.reading import recording
from enclave.workspaces.host_process import STATE
from enclave.workspaces.launch import allocate_uid, prepare_home
from enclave.workspaces.shared_folder import SharedFolders, release_all

DESTROYED = [f"{kind}:destroyed" for kind in ("extract", "shared-folder", "home", "scratch")]
DEPTH = 1500
"""Deeper than ``shutil.rmtree`` goes."""


@pytest.fixture(autouse=True)
def _nobody_at_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = httpx.MockTransport(lambda request: httpx.Response(200, json=[]))
    monkeypatch.setattr(jobs, "httpx", SimpleNamespace(HTTPTransport=lambda **_: hub, Client=httpx.Client))


@pytest.fixture
def space(house: Any) -> Iterator[Callable[[str], ProjectId]]:
    """Makes an active project with two homes, a half-made one, a scratch space, an extract and a shared folder."""
    yield lambda name: _furnish(house, ProjectId(name))
    release_all(house.settings)


def _furnish(house: Any, project: ProjectId) -> ProjectId:
    settings, amelie = house.settings, User.objects.get(username="amelie")
    projects.submit_application(amelie, permit_text(project))
    projects.approve_project(User.objects.get(username="sofia"), project, Role.DATA_STEWARD)
    projects.approve_project(User.objects.get(username="diane"), project, Role.DATA_PROTECTION_OFFICER)
    projects.provision_project(User.objects.get(username="ines"), project)
    Job.objects.filter(payload__project=project).delete()
    projects.activate_project(project, "v1")
    for name in ("amelie", "karim"):
        home = prepare_home(settings, project, name, allocate_uid(settings, project, name))
        (home / "result.csv").write_bytes(b"x" * 10_000)
        (home / "link").symlink_to(settings.root / "precious")
    (settings.root / "precious").write_text("not of this project")
    _deep(settings.workspaces_dir / project / "karim")
    (settings.workspaces_dir / project / ".karim.making" / "outbox").mkdir(parents=True)
    for folder in (f"extracts/v1/{project}.duckdb", f"scratch/{amelie.person_id}/scratch.duckdb"):
        file = settings.projects_dir / project / folder
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x" * 5000)
    (settings.projects_dir / project / "extracts" / ".lock").touch()
    with recording(settings) as record:
        SharedFolders(settings, record).open(project, 16).files.joinpath("a.txt").write_text("shared")
    return project


def _deep(home: Path) -> None:
    top = os.open(home, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("d", dir_fd=top)
        below = os.open("d", os.O_RDONLY, dir_fd=top)
        os.close(top)
        top = below
    os.close(top)


def _close(house: Any, project: ProjectId) -> Runner:
    """By the page; the runner that carries it out."""
    house.logged_in("ines").post(f"/projects/{project}/close", {"as_role": "admin", "comment": "over"})
    Job.objects.exclude(payload__project=project).delete()
    return Runner(house.settings)


def _destroyed(house: Any, project: ProjectId) -> list[dict[str, Any]]:
    return [leaf for leaf in house.events(None, project) if leaf["type"] in DESTROYED]


def test_nothing_is_left_and_the_page_is_the_receipt(house: Any, space: Callable[[str], ProjectId]) -> None:
    project, settings = space("ends-well"), house.settings
    assert "Closing cannot be undone" in house.logged_in("ines").words(f"/projects/{project}/")
    jobs.stop_workspaces(settings, {"project": project})
    assert len(find_remains(settings, project)) == 6, "an expired project may be prolonged"

    runner = _close(house, project)
    assert "6 folders of this project are still to be destroyed" in house.logged_in("ines").words(
        f"/projects/{project}/"
    )
    runner.take_turn()
    assert Job.objects.get(payload__project=project).error == ""
    assert find_remains(settings, project) == []
    places = (settings.workspaces_dir, settings.shared_dir)
    assert [place / project for place in places if (place / project).exists()] == []
    assert not list((settings.projects_dir / project).rglob("*.duckdb"))
    assert (settings.root / "precious").read_text() == "not of this project"

    leaves = _destroyed(house, project)
    amelie, karim = (User.objects.get(username=name) for name in ("amelie", "karim"))
    homes = {(leaf["subject"], leaf["counts"]["files"]) for leaf in leaves if leaf["type"] == "home:destroyed"}
    assert homes == {(amelie.person_id, 4), (karim.person_id, 4 + DEPTH), (karim.person_id, 2)}
    assert all(leaf["counts"]["bytes"] >= 1024 for leaf in leaves)  # a small image has blocks of 1 KiB
    assert [leaf["subject"] for leaf in leaves if leaf["type"] == "scratch:destroyed"] == [amelie.person_id]
    assert [leaf["subject"] for leaf in leaves if leaf["type"] == "extract:destroyed"] == ["v1"]

    page = house.logged_in("amelie").words(f"/projects/{project}/")
    assert "What was destroyed" in page and "still to be destroyed" not in page
    assert all(f"{kind} " in page for kind in ("Extract v1", "Home amelie", "Home karim", "Scratch space amelie"))
    jobs.queue_destructions(settings)
    assert Job.objects.get(payload__project=project).state == "done", "nothing is left, so nothing is queued"


def test_what_cannot_be_looked_at_keeps_the_runner_from_nothing(
    house: Any, space: Callable[[str], ProjectId], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that cannot be read, and a look that fails as nobody foresaw: the job is queued, and says why."""
    project = space("unread")
    runner = _close(house, project)
    Job.objects.all().delete()

    def fail(*_: object) -> None:
        raise OSError("Input/output error")

    def fall(*_: object) -> None:
        raise RuntimeError("not foreseen")

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "find_remains", fail)
        patch.setattr(carry_out, "find_remains", fail)
        patch.setattr(jobs, "destroy_expired_archives", fall)
        runner._queue_expiries()
        while runner.take_turn():
            pass
    job = Job.objects.get(payload__project=project)
    assert job.state == "failed" and "Input/output error" in job.error
    runner._queue_expiries()
    while runner.take_turn():
        pass
    assert find_remains(house.settings, project) == []


def test_a_crash_half_way_is_gone_on_with_and_nothing_is_recorded_twice(
    house: Any, space: Callable[[str], ProjectId], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, settings = space("ends-in-a-crash"), house.settings
    runner, removed = _close(house, project), []

    def dies_at_the_fourth(path: Path) -> None:
        removed.append(path)
        if len(removed) == 4:
            (path / "result.csv").unlink()
            raise SystemExit
        remove_tree(path)

    monkeypatch.setattr(carry_out, "remove_tree", dies_at_the_fourth)
    with pytest.raises(SystemExit):
        runner.take_turn()
    monkeypatch.setattr(carry_out, "remove_tree", remove_tree)
    assert Job.objects.get(payload__project=project).state == "running"
    assert len(find_remains(settings, project)) == 3

    runner.recover()
    runner.take_turn()
    assert find_remains(settings, project) == []
    leaves = _destroyed(house, project)
    assert (
        len(leaves)
        == len({leaf["request_id"] for leaf in leaves})
        == Destruction.objects.filter(project_id=project).count()
        == 6
    )


def test_what_cannot_be_removed_now_is_tried_again(
    house: Any, space: Callable[[str], ProjectId], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, settings = space("ends-later"), house.settings
    runner = _close(house, project)

    def refuses_homes(path: Path) -> None:
        if settings.workspaces_dir in path.parents:
            raise OSError("Expected nothing to be left, found some.")
        remove_tree(path)

    monkeypatch.setattr(carry_out, "remove_tree", refuses_homes)
    runner.take_turn()
    monkeypatch.setattr(carry_out, "remove_tree", remove_tree)
    job = Job.objects.get(payload__project=project)
    assert job.state == "failed" and "found 3 that cannot be removed" in job.error
    jobs.queue_destructions(settings)
    jobs.queue_destructions(settings)
    assert Job.objects.get(payload__project=project).state == "queued"
    runner.take_turn()
    assert find_remains(settings, project) == []
    assert len(_destroyed(house, project)) == 6


def test_nothing_goes_while_a_workspace_runs(
    house: Any, space: Callable[[str], ProjectId], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, settings = space("ends-slowly"), house.settings
    monkeypatch.setattr(jobs, "_END_SECONDS", 0.0)
    session = WorkspaceSession.objects.create(project_id=project, user=User.objects.get(username="amelie"))
    with subprocess.Popen(["sleep", "600"]) as host:
        started = int(Path(f"/proc/{host.pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
        state = settings.run_dir / "ws" / session.pk / "host" / STATE
        state.parent.mkdir(parents=True)
        state.write_text(json.dumps({"pid": host.pid, "started": started}))
        runner = _close(house, project)
        runner.take_turn()
        assert (
            "Expected no workspace of the closed project to run, found 1"
            in Job.objects.get(payload__project=project).error
        )
        assert len(find_remains(settings, project)) == 6 and _destroyed(house, project) == []
        assert len(house.events(EventType.ACTION_REFUSED, project)) == 1
        host.kill()
    jobs.queue_destructions(settings)
    runner.take_turn()
    assert find_remains(settings, project) == []
