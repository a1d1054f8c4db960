"""The shared folder without a workspace: audit first, one per project, plain and measured without root."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from audit.client import AuditUnavailable
from audit.event import AuditEvent
from enclave.domain.ids import ProjectId, WorkspaceId
from enclave.sandbox import Bind, SandboxProfile, popen
from enclave.settings import Settings
from enclave.workspaces import shared_folder, shared_opening
from enclave.workspaces.launch import Places
from enclave.workspaces.quota import SHARED, DiskWatch
from enclave.workspaces.shared_folder import SharedFolderError, SharedFolders, close_for_good, image_fill
from enclave.workspaces.shared_mount import HomeInUseError, make_mount_point
from enclave.workspaces.shared_sentences import SENTENCES as MISSING
from enclave.workspaces.shared_sentences import Missing

INSIDE = Path("/home/researcher")
A, B = ProjectId("project-a"), ProjectId("project-b")


class Log:
    """Keeps events; away when told so."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.away = False

    def __call__(self, event: AuditEvent) -> None:
        if self.away:
            raise AuditUnavailable("away")
        self.events.append(event)


def test_nothing_is_made_that_is_not_on_record(tmp_path: Path) -> None:
    log = Log()
    folders = SharedFolders(Settings(home=tmp_path), log)
    log.away = True
    with pytest.raises(SharedFolderError, match="audit log") as refused:
        folders.open(A, 16)
    assert refused.value.why is Missing.NOT_RECORDED
    assert not (tmp_path / "shared" / A).exists()


def test_what_fails_after_its_record_has_a_record_of_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    log = Log()
    folders = SharedFolders(Settings(home=tmp_path), log)
    with monkeypatch.context() as broken:
        broken.setattr(shared_folder, "_make_image", full)
        broken.setattr(shared_folder, "_open_to_members", full)
        with pytest.raises(SharedFolderError, match="No space left"):
            folders.open(A, 16)
    assert [e.type for e in log.events] == ["shared-folder:created", "action:failed"]
    assert not (tmp_path / "shared" / A).exists()
    assert log.events[-1].data == {"event": "shared-folder:created"}


@pytest.mark.needs_root
def test_each_project_has_a_file_system_of_its_own(tmp_path: Path) -> None:
    settings, log = Settings(home=tmp_path), Log()
    folders = SharedFolders(settings, log)
    try:
        first, second = folders.open(A, 16), folders.open(B, 32)
        assert folders.open(A, 16) == first
        assert [(e.type, e.project, dict(e.counts)) for e in log.events] == [
            ("shared-folder:created", A, {"megabytes": 16}),
            ("shared-folder:created", B, {"megabytes": 32}),
        ]
        assert first.files.stat().st_dev != second.files.stat().st_dev != tmp_path.stat().st_dev
        assert not first.is_measured
        (first.files / "kept").write_text("x")
        shared_folder.release_all(settings)
        assert not first.files.is_mount()
        assert (folders.open(A, 16).files / "kept").read_text() == "x"
        close_for_good(settings, A)
        assert not first.files.is_mount()
        files, used = image_fill(first.files.parent)
        assert files == 1 and 0 < used < 16 << 20
    finally:
        shared_folder.release_all(settings)


def test_without_root_it_is_a_plain_folder_that_the_host_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_folder.os, "geteuid", lambda: 1000)
    mount = SharedFolders(Settings(home=tmp_path), Log()).open(A, 16)
    assert (mount.is_measured, mount.files.is_mount(), mount.files.stat().st_mode & 0o777) == (True, False, 0o700)
    with (mount.files / "large").open("wb") as file:
        file.write(b"x" * (17 << 20))
    watch = DiskWatch((mount.files,), tmp_path, mount.megabytes, top=2**22 + 1, what=SHARED)
    watch.look()
    assert "The shared folder holds more than its 16 MB" in (tmp_path / "shared.json").read_text()
    (mount.files / "large").unlink()
    watch.look()
    assert not (tmp_path / "shared.json").exists()


def test_without_landlock_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_folder, "can_forbid_sockets", lambda: False)
    with pytest.raises(SharedFolderError, match="cannot forbid sockets") as refused:
        SharedFolders(Settings(home=tmp_path), Log()).open(A, 16)
    assert refused.value.why is Missing.NOT_HERE


@pytest.mark.parametrize(
    ("error", "why"), [(HomeInUseError(), Missing.IN_USE), (SharedFolderError(Missing.NOT_MADE, "x"), Missing.NOT_MADE)]
)
def test_who_has_none_is_told_in_both_languages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, why: Missing
) -> None:
    def none(*_: object) -> None:
        raise error

    grant: Any = SimpleNamespace(shared_mb=16, workspace=WorkspaceId("w-0123456789ab"))
    inside = Places(tmp_path, grant.workspace).inside
    inside.mkdir(parents=True)
    monkeypatch.setattr(shared_opening, "get_settings", lambda: Settings(home=tmp_path))
    monkeypatch.setattr(shared_opening, "shared_folders", lambda: SimpleNamespace(open=none))
    assert shared_opening.open_shared(grant, A, tmp_path, "fr") is None
    told = json.loads((inside / "shared.json").read_text())
    assert told == {"problem": MISSING[why]["fr"], "problems": MISSING[why]}


def test_every_reason_in_both_languages_and_short_enough_for_jupyterlab() -> None:
    assert set(MISSING) == set(Missing) and all(set(texts) == {"en", "fr"} for texts in MISSING.values())
    assert [text for texts in MISSING.values() for text in texts.values() if len(text) > 139] == []


@pytest.mark.parametrize("kind", ["nothing", "empty", "full", "file", "link", "dangling"])
def test_the_mount_point_is_a_real_empty_folder(tmp_path: Path, kind: str) -> None:
    there: Any = tmp_path / "shared"
    if kind in ("empty", "full"):
        there.mkdir()
    match kind:
        case "full":
            (there / "own").touch()
        case "file":
            there.touch()
        case "link":
            there.symlink_to("/etc")
        case "dangling":
            there.symlink_to("/nowhere")
    make_mount_point(tmp_path, INSIDE)
    make_mount_point(tmp_path, INSIDE)
    assert not there.is_symlink()
    assert os.listdir(there) == []  # noqa: PTH208
    assert (tmp_path / "shared-before-1").is_symlink() is (kind in ("link", "dangling"))
    assert len(list(tmp_path.iterdir())) == (1 if kind in ("nothing", "empty") else 2)


@pytest.mark.needs_root
def test_root_mounts_nothing_into_a_home_whose_owner_is_at_work(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    another = tmp_path_factory.mktemp("another")
    profile = SandboxProfile(binds=(Bind(tmp_path, INSIDE, writable=True),), uid=299_998)
    at_work = popen(profile, ["sh", "-c", "echo ready; exec sleep 600"], stdout=subprocess.PIPE)
    try:
        assert at_work.stdout is not None and at_work.stdout.readline() == b"ready\n"
        with pytest.raises(HomeInUseError):
            make_mount_point(tmp_path, INSIDE, patience=0)
        assert not (tmp_path / "shared").exists()
        make_mount_point(another, INSIDE, patience=0)
        assert (another / "shared").is_dir(), "another home is nobody's concern"
    finally:
        at_work.kill()
        at_work.communicate(timeout=10)
