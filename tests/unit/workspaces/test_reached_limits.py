"""A limit that ended something: noted by the host before it acts, recorded by the hub, told in both languages."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path, PosixPath
from typing import Any

import pytest

from audit.client import AuditRefused, AuditUnavailable
from audit.event import AuditEvent, check_event
from enclave.domain.ids import ProjectId, WorkspaceId
from enclave.settings import Settings
from enclave.workspaces.bookkeeping import Bookkeeping
from enclave.workspaces.file_count import FileState, FileWatch
from enclave.workspaces.limit_notes import Ended, Limit, LimitNotes, read_notes
from enclave.workspaces.limit_records import LimitRecords
from enclave.workspaces.limit_sentences import SENTENCES, SHORT, Told, number, sentence
from enclave.workspaces.quota import DiskWatch

PERSON, PROJECT, WORKSPACE = "u-0123456789ab", ProjectId("study"), WorkspaceId("w-0123456789ab")


class Log:
    """The audit log; ``is_away``: it takes nothing."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.is_away = False
        self.refuses = ""

    def record(self, event: AuditEvent) -> None:
        check_event(event)
        if event.data["limit"] == self.refuses:
            raise AuditRefused("no")
        if self.is_away:
            raise AuditUnavailable("away")
        self.events.append(event)

    def said(self) -> list[tuple[Any, ...]]:
        return [
            (e.data["limit"], e.data["ended"], *(e.counts[n] for n in ("found", "allowed", "times")))
            for e in self.events
        ]


class Hub:
    """A hub's records over one workspace."""

    def __init__(self, folder: Path) -> None:
        self.log, self.notes, self.settings = Log(), folder / "host" / "limits", Settings(home=folder)
        self.notes.parent.mkdir()
        self.now = 0.0
        self.host = LimitNotes(self.notes, lambda: self.now)
        self.restart()

    def restart(self) -> None:
        self.records = LimitRecords(self.settings, self.log.record)

    def settle(self) -> None:
        self.records.settle(PERSON, PROJECT, WORKSPACE, self.notes)


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return Hub(tmp_path)


def test_a_record_says_who_where_which_limit_and_how_much(hub: Hub) -> None:
    hub.host.note(Limit.FILES, Ended.KERNELS, 1200, 1024)
    assert len(read_notes(hub.notes)) == 1, "before it takes effect"
    hub.settle()
    (event,) = hub.log.events
    assert (event.type, event.actor, event.project, event.workspace) == (
        "workspace:limit-reached",
        PERSON,
        PROJECT,
        WORKSPACE,
    )
    assert event.decision == "deny" and hub.log.said() == [("files", "kernels", 1200, 1024, 1)]
    hub.settle()
    assert len(hub.log.events) == 1, "once"


def test_what_the_log_does_not_take_waits_also_when_the_workspace_is_gone(hub: Hub) -> None:
    hub.log.is_away = True
    hub.host.note(Limit.DISK, Ended.WRITING, 70, 64)
    hub.settle()
    assert read_notes(hub.notes) == [], "it is owed, whatever becomes of the workspace"
    hub.records.idle(PERSON, PROJECT, WORKSPACE, datetime.now(UTC) - timedelta(minutes=7), 5)
    assert hub.log.events == []
    (hub.settings.root / "owed" / "limits" / "0.json").write_text("no record")
    hub.restart()
    hub.log.is_away = False
    hub.settle()
    assert [said[:2] for said in hub.log.said()] == [("disk", "writing"), ("idle", "workspace")]
    assert [event.decision for event in hub.log.events] == ["deny", None], "time that is over is no refusal"
    assert hub.log.events[1].counts["found"] >= 420 and hub.log.events[1].counts["allowed"] == 300
    hub.settle()
    assert len(hub.log.events) == 2


def test_what_the_log_refuses_keeps_nothing_else_waiting(hub: Hub) -> None:
    hub.log.refuses = "disk"
    hub.host.note(Limit.DISK, Ended.WRITING, 70, 64)
    hub.settle()
    hub.host.note(Limit.FILES, Ended.KERNELS, 1200, 1024)
    no_record = {"type": "workspace:limit-reached", "actor": "", "policies": []}
    (hub.settings.root / "owed" / "limits" / "0.json").write_text(json.dumps(no_record))
    hub.settle()
    assert [said[0] for said in hub.log.said()] == ["files"]
    hub.log.refuses = ""
    hub.settle()
    assert [said[0] for said in hub.log.said()] == ["files", "disk"]


def test_a_look_waits_for_no_record() -> None:
    """A log that hangs must not keep the hub from ending the workspace of somebody who was revoked."""
    kept, hangs, done = Bookkeeping(), threading.Event(), []

    def record(which: int) -> None:
        assert hangs.wait(60)
        done.append(which)

    for each in range(3):
        kept.begin(partial(record, each))
    assert done == [], "a look went on"

    async def end() -> None:
        ending = asyncio.create_task(kept.do(partial(record, 7)))
        await asyncio.sleep(0)
        assert not ending.done()
        hangs.set()
        await ending

    asyncio.run(end())
    assert done == [0, 7], "of several looks one at a time; what has to be done is done"
    kept.begin(partial(record, 8))
    asyncio.run(kept.do(lambda: None))
    assert done == [0, 7, 8]


def test_who_reaches_a_limit_all_the_time_fills_no_log(hub: Hub) -> None:
    for second in range(100):
        hub.now = float(second)
        hub.host.note(Limit.DISK, Ended.WRITING, 70 + second, 64)
    hub.host.note(Limit.SHARED, Ended.WRITING, 5, 4)
    hub.host.flush()
    hub.settle()
    assert hub.log.said() == [
        ("disk", "writing", 70, 64, 1),
        ("disk", "writing", 130, 64, 60),
        ("shared-folder", "writing", 5, 4, 1),
        ("disk", "writing", 169, 64, 39),
    ]


def test_what_is_held_back_is_written_when_its_minute_is_over(hub: Hub) -> None:
    """A host may be killed, or go on for weeks."""
    hub.host.note(Limit.MEMORY, Ended.PROCESSES, 9, 8)
    hub.now = 30.0
    hub.host.note(Limit.MEMORY, Ended.PROCESSES, 7, 8, times=2)
    hub.host.note(Limit.MEMORY, Ended.PROCESSES, 6, 8)
    hub.host.look()
    assert len(read_notes(hub.notes)) == 1
    hub.now = 60.0
    hub.host.look()
    hub.host.look()
    assert [(note.found, note.times) for _, note in read_notes(hub.notes)] == [(9, 1), (7, 3)]


def test_a_note_that_cannot_be_written_stops_nothing_and_is_tried_again(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.notes.write_text("in the way")
    hub.host.note(Limit.HOURS, Ended.WORKSPACE, 2, 1)
    hub.host.look()
    assert capsys.readouterr().err.count("could not be noted") == 1
    hub.notes.unlink()
    hub.now = 60.0
    hub.host.look()
    assert [note.times for _, note in read_notes(hub.notes)] == [1]


def test_notes_of_two_threads_are_two(tmp_path: Path) -> None:
    """The disk's watch notes while the host does: its note comes in the middle of the host's."""
    other = threading.Thread(target=lambda: notes.note(Limit.DISK, Ended.WRITING, 2, 1))

    class Folder(PosixPath):
        def mkdir(self, *arguments: Any, **options: Any) -> None:
            super().mkdir(*arguments, **options)
            if not other.ident:
                other.start()
                other.join(0.2)  # it has to wait; without, it is done by now

    notes = LimitNotes(Folder(tmp_path / "limits"))
    notes.note(Limit.HOURS, Ended.WORKSPACE, 2, 1)
    other.join(60)
    assert sorted(note.limit for _, note in read_notes(tmp_path / "limits")) == [Limit.DISK, Limit.HOURS]


def test_a_full_home_is_noted_before_writing_stops(tmp_path: Path) -> None:
    home, done = tmp_path / "home", []
    home.mkdir()
    (home / "file").write_bytes(b"x" * (2 << 20))
    watch = DiskWatch(
        (home,),
        tmp_path,
        1,
        2**22,
        tell=lambda allowed: done.append(allowed),
        note=lambda found, allowed: done.append((found >= 2 << 20, allowed)),
        language="fr",
    )
    watch.look()
    watch.look()
    assert done == [(True, 1 << 20), False, False], "noted once, and first"
    told = json.loads((tmp_path / "disk.json").read_text())
    assert told["problem"].startswith("Votre dossier personnel contient plus que ses 1 Mo")
    assert told["problems"]["en"].startswith("Your home holds more than its 1 MB")


def test_too_many_files_are_told_in_the_workspaces_language(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for each in range(30):
        (home / str(each)).touch()
    watch = FileWatch((home,), tmp_path, 20, kernels_ended=lambda: False, language="fr")
    assert watch.count() is FileState.TOO_MANY and watch.found == 31
    assert "aucun noyau ne tourne" in watch.sentence and "20 fichiers" in watch.sentence
    assert json.loads((tmp_path / "files.json").read_text())["problem"] == watch.sentence


def test_every_sentence_in_both_languages_and_short_enough_for_jupyterlab() -> None:
    assert set(SENTENCES) == set(SHORT) == set(Told)
    for table in (SENTENCES, SHORT):
        assert all(
            set(texts) == {"en", "fr"} and all("{limit}" in text for text in texts.values()) for texts in table.values()
        )
    shown = [
        text.format(limit=number(1_000_000, language)) for each in SHORT.values() for language, text in each.items()
    ]
    assert [text for text in shown if len(text) > 139] == []
    assert "1,000,000" in " ".join(shown) and "1\u202f000\u202f000" in " ".join(shown)
    assert sentence(Told.HOME_FULL, 5, "de") == sentence(Told.HOME_FULL, 5, "en")
