"""Archive files: what a kill, a full disk and a forger do to them, and what the log's commitments still prove."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from audit.event import AuditEvent, check_event
from enclave.domain.decisions import Deny
from enclave.domain.ids import PersonId, Username
from enclave.domain.people import Person, Role
from enclave.domain.shown_archive import decide_reading
from enclave.edge.budgets import Terms
from enclave.settings import Settings
from enclave.shown import destroying, writer
from enclave.shown.key_setting import set_key
from enclave.shown.lines import Head, Line, encode_line, parse_line
from enclave.shown.reader import Damaged, compare, read_lines
from enclave.shown.reading import open_lines
from enclave.shown.sealing import Place, SealError, Shown, fingerprint, seal, unseal
from enclave.shown.text import as_text
from enclave.shown.writer import ArchiveFile

PLACE = Place("study-one", "alice", "2026-11-26")
KEY = X25519PrivateKey.generate()
NAME = fingerprint(KEY.public_key())
AT = "2026-11-26T09:00:00.000+00:00"


def write(path: Path, *texts: str) -> list[Head]:
    """Append and commit; the heads on the way."""
    file, heads = ArchiveFile(path), []
    for text in texts:
        file.append(AT, NAME, seal(Shown("message", text), PLACE, KEY.public_key()))
        heads.append(file.commit())
    file.close()
    return heads


def texts(path: Path) -> list[str]:
    return [o.content if isinstance(o.content, str) else str(o.content.content) for o in open_lines(path, PLACE, KEY)]


def test_the_first_commit_makes_the_files_name_durable_whoever_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that was killed before its first commit may have left a name that a power failure would take."""
    path, synced = tmp_path / "archive", []
    killed = ArchiveFile(path)
    killed.append(AT, NAME, seal(Shown("message", "one"), PLACE, KEY.public_key()))
    killed.close()
    monkeypatch.setattr(writer, "sync_folder", synced.append)
    file = ArchiveFile(path)
    file.commit()
    file.commit()
    file.close()
    assert synced == [tmp_path]


@pytest.mark.parametrize("content", ["text \u2028 \ud800", b"\x00\xff binary", "x" * 1_000_000, ""])
def test_what_was_sealed_opens_with_the_private_key_alone(content: str | bytes) -> None:
    box = seal(Shown("message", content), PLACE, KEY.public_key())
    assert unseal(box, PLACE, KEY) == Shown("message", content)
    others: list[dict[str, Any]] = [{"username": "bob"}, {"day": "2026-11-27"}, {"project": "study-two"}]
    for place in (replace(PLACE, **other) for other in others):
        with pytest.raises(SealError):
            unseal(box, place, KEY)
    with pytest.raises(SealError):
        unseal(box, PLACE, X25519PrivateKey.generate())
    with pytest.raises(SealError):
        unseal(box[:-1] + bytes([box[-1] ^ 1]), PLACE, KEY)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.99])
def test_a_line_torn_by_a_kill_hides_no_other(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.jsonl"
    heads = write(path, "one", "two")
    whole = encode_line(Line(3, AT, heads[-1].digest, NAME, seal(Shown("message", "lost"), PLACE, KEY.public_key())))
    with path.open("ab") as file:
        file.write(whole[: int(len(whole) * share) or 1])
    heads += write(path, "three", "four")
    assert [text for text in texts(path) if "no line" not in text] == ["one", "two", "three", "four"]
    assert sum(isinstance(found, Damaged) for found in read_lines(path)) == 1
    found = compare(path, heads)
    assert (found.lines, found.damaged, found.kept, found.broken, found.uncommitted) == (4, 1, 4, (), 0)


KILLED = """
import os, sys
from pathlib import Path
from enclave.shown import writer
real = os.write
def half(descriptor, data):
    if len(data) > 100:
        real(descriptor, bytes(data)[:len(data) // 2])
        os.kill(os.getpid(), 9)
    return real(descriptor, data)
file = writer.ArchiveFile(Path(sys.argv[1]))
file.append("at", "0" * 16, b"kept" * 50)
writer.os.write = half
file.append("at", "0" * 16, b"lost" * 50)
"""


def test_a_writer_killed_in_the_middle_of_a_line_loses_that_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    run = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, timeout=60)
    assert run.returncode == -9 and not path.read_bytes().endswith(b"\n")
    write(path, "after")
    found = list(read_lines(path))
    assert [type(one).__name__ for one in found] == ["Chained", "Damaged", "Chained"]
    assert found[2].is_whole and found[2].head.lines == 2  # type: ignore[union-attr]


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    write(path, "one")
    before, real = path.read_bytes(), os.write

    def full(descriptor: int, data: Any) -> int:
        if len(data) < 50:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, bytes(data)[:-40])

    monkeypatch.setattr(writer.os, "write", full)
    file = ArchiveFile(path)
    with pytest.raises(OSError, match="No space"):
        file.append(AT, NAME, b"x" * 300)
    monkeypatch.undo()
    assert path.read_bytes() == before
    file.append(AT, NAME, seal(Shown("message", "two"), PLACE, KEY.public_key()))
    file.close()
    assert texts(path) == ["one", "two"]


def test_two_writers_never_share_a_file(tmp_path: Path) -> None:
    first, second = ArchiveFile(tmp_path / "a.jsonl"), ArchiveFile(tmp_path / "a.jsonl")
    first.append(AT, NAME, b"x")
    with pytest.raises(BlockingIOError):
        second.append(AT, NAME, b"y")
    first.close()
    second.append(AT, NAME, b"y")
    second.close()
    assert [found.head.lines for found in read_lines(tmp_path / "a.jsonl")] == [1, 2]  # type: ignore[union-attr]


def _removed(lines: list[bytes]) -> list[bytes]:
    return lines[:1] + lines[2:]


def _swapped(lines: list[bytes]) -> list[bytes]:
    return [lines[1], lines[0], *lines[2:]]


def _replaced(lines: list[bytes]) -> list[bytes]:
    line = parse_line(lines[1])
    assert line is not None
    forged = seal(Shown("message", "harmless"), PLACE, KEY.public_key())
    return [lines[0], encode_line(replace(line, box=forged)), *lines[2:]]


def _flipped(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1].replace(b'"n":2', b'"n":9'), *lines[2:]]


def _cut(lines: list[bytes]) -> list[bytes]:
    return lines[:-1]


@pytest.mark.parametrize("forge", [_removed, _swapped, _replaced, _flipped, _cut])
def test_what_was_changed_no_longer_keeps_the_logs_commitments(tmp_path: Path, forge: Any) -> None:
    path = tmp_path / "a.jsonl"
    heads = write(path, "one", "two", "three")
    assert compare(path, [heads[0], heads[2]]).is_proven
    path.write_bytes(b"".join(line + b"\n" for line in forge(path.read_bytes().splitlines())))
    assert not compare(path, [heads[0], heads[2]]).is_proven
    assert texts(path), "what can be read is still read"


RESEARCHER = Person(PersonId("u-000000000001"), Username("alice"), frozenset({Role.RESEARCHER}))
AUDITOR = Person(PersonId("u-000000000002"), Username("olga"), frozenset({Role.AUDITOR}))
REASONS: list[tuple[Person | None, Person | None, str, str | None]] = [
    (AUDITOR, RESEARCHER, "complaint 2026-17", None),
    (replace(AUDITOR, roles=frozenset({Role.DATA_PROTECTION_OFFICER})), None, "yearly review", None),
    (AUDITOR, RESEARCHER, "   because ", "reason"),
    (replace(AUDITOR, active=False), RESEARCHER, "complaint 2026-17", "Only auditor"),
    (replace(AUDITOR, roles=frozenset({Role.ADMIN, Role.DATA_STEWARD})), RESEARCHER, "complaint 2026-17", "Only"),
    (None, RESEARCHER, "complaint 2026-17", "Only"),
    (AUDITOR, AUDITOR, "complaint 2026-17", "your own screen"),
]


@pytest.mark.parametrize(("person", "subject", "reason", "refusal"), REASONS)
def test_who_may_read(person: Person | None, subject: Person | None, reason: str, refusal: str | None) -> None:
    decision = decide_reading(person, subject, reason)
    assert isinstance(decision, Deny) is (refusal is not None)
    assert refusal is None or (isinstance(decision, Deny) and refusal in decision.reasons[0])


def test_an_archive_is_destroyed_when_its_time_is_over_and_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KnownTerms:
        def __init__(self, _: object) -> None: ...
        def terms(self, project: str) -> Any:
            return type("T", (), {"kept_days": 30 if project == "known" else None})

        def person(self, username: str) -> PersonId:
            return RESEARCHER.id

    monkeypatch.setattr(destroying, "Budgets", KnownTerms)
    for project in ("known", "unreadable"):
        for day in ("2026-10-26", "2026-10-27"):
            file = tmp_path / "shown" / project / "alice" / f"{day}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("x")
    (tmp_path / "shown" / "known" / "alice" / "abcd-ef-gh.jsonl").write_text("no day: not ours, and in nobody's way")
    records: list[AuditEvent] = []

    def record(event: AuditEvent) -> None:
        check_event(event)
        assert (tmp_path / "shown" / "known" / "alice" / "2026-10-26.jsonl").exists(), "recorded first"
        records.append(event)

    assert destroying.destroy_expired(Settings(home=tmp_path), record, date(2026, 11, 26)) == 1
    assert [(e.type, e.project, dict(e.data)) for e in records] == [
        ("shown-archive:destroyed", "known", {"day": "2026-10-26"})
    ]
    assert len(list((tmp_path / "shown").glob("*/*/20*.jsonl"))) == 3


def test_what_a_permit_no_longer_orders_ends_and_what_could_not_be_destroyed_is_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered = Terms(archive_days=None, kept_days=30, is_known=True)
    monkeypatch.setattr(destroying.Budgets, "terms", lambda self, project: ordered)
    file = tmp_path / "shown" / "study-one" / "alice" / "2026-10-26.jsonl"
    file.mkdir(parents=True)  # what stands there cannot be unlinked
    records: list[str] = []
    with pytest.raises(OSError, match="directory"):
        destroying.destroy_expired(
            Settings(home=tmp_path), lambda event: records.append(event.type), date(2026, 11, 26)
        )
    assert records == ["shown-archive:destroyed", "action:failed"]
    file.rmdir()
    file.write_text("x")
    assert destroying.destroy_expired(Settings(home=tmp_path), lambda event: None, date(2026, 11, 26)) == 1


def test_a_line_of_another_shape_ends_no_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, "one")
    whole = json.loads(path.read_bytes())
    with path.open("ab") as file:
        for name in ("n", "at", "before", "key", "box"):
            file.write(json.dumps({**whole, name: ["another"]}, separators=(",", ":")).encode() + b"\n")
    assert len(texts(path)) == 6 and texts(path)[0] == "one"


def test_a_key_that_could_not_be_set_is_on_record_and_leaves_no_half(tmp_path: Path) -> None:
    settings, records = Settings(home=tmp_path), list[str]()
    settings.shown_key.mkdir(parents=True)  # nothing can be put in its place
    with pytest.raises(OSError, match="directory"):
        set_key(settings, lambda event: records.append(event.type), tmp_path / "private.pem", None, replace=True)
    assert records == ["shown-archive:key-set", "action:failed"]
    assert not (tmp_path / "private.pem").exists() and [p.name for p in settings.shown_key.parent.glob("*.new")] == []


def test_an_auditors_terminal_obeys_no_archived_byte() -> None:
    frame = (
        '{"header": {"msg_type": "stream"}, "parent_header": {}, "metadata": {}, '
        '"content": {"text": "a\\u001b[2J\\u202eb\\n"}}'
    )
    assert as_text(Shown("message", frame)) == "a\\x1b[2J\\x202eb\n"
    assert as_text(Shown("message", b"\x00")) == "<1 bytes>"
    outputs = [{"data": {"text/plain": "42", "image/png": "iVBO"}}]
    model = json.dumps({"path": "n.ipynb", "content": {"cells": [{"outputs": outputs}]}})
    assert as_text(Shown("file", model)) == "[opened] n.ipynb\n42\n<image/png, 4 characters>"
    nested = "[" * 5000 + "]" * 5000
    for shown in (
        Shown("file", "[1]"),
        Shown("file", nested),
        Shown("file", json.dumps({"content": json.loads("[" * 900 + "]" * 900)})),
        Shown("message", f'{{"header": {{}}, "parent_header": {{}}, "metadata": {{}}, "content": {{"a": {nested}}}}}'),
    ):
        assert as_text(shown) == f"<{len(shown.content)} bytes>"
