"""Opening an archive: decided, recorded, then read; and what the audit log commits to for one day.

A private key is an auditor's own and stays outside of the enclave. Whoever holds it and a copy of the files can read
without us: the record of each reading is this path's, not the key's (threat model).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from audit.client import AuditClient
from audit.event import AuditEvent
from audit.reader import read_entries
from enclave.access import AccessFiles
from enclave.domain.decisions import Deny, RefusedError
from enclave.domain.events import EventType
from enclave.domain.ids import PersonId, Username
from enclave.domain.people import Person
from enclave.domain.shown_archive import decide_reading
from enclave.settings import Settings
from enclave.shown.lines import Head
from enclave.shown.reader import Comparison, Damaged, compare, read_lines
from enclave.shown.sealing import Place, SealError, Shown, unseal

Record = Callable[[AuditEvent], object]
_NOBODY = PersonId("system:cli")


@dataclass(frozen=True)
class Opened:
    """One line: when it was shown, and the content or a sentence why it cannot be read."""

    number: int
    at: str
    content: Shown | str


def admit(settings: Settings, record: Record, reader: str, reason: str, place: Place | None) -> None:
    """Decide and record. ``place`` None: only the list of files. Raises RefusedError, AuditUnavailable."""
    access = AccessFiles(settings)
    person = _find(access, reader)
    subject = _find(access, place.username) if place else None
    decision = decide_reading(person, subject, reason)
    denied = isinstance(decision, Deny)
    kind = EventType.SHOWN_ARCHIVE_READ if place else EventType.SHOWN_ARCHIVE_LISTED
    record(
        AuditEvent(
            type=EventType.SHOWN_ARCHIVE_REFUSED if denied else kind,
            actor=person.id if person else _NOBODY,
            project=place.project if place else None,
            subject=subject.id if subject else None,
            decision="deny" if denied else "allow",
            policies=decision.policies,
            data={"day": place.day} if place else {},
            payload={"reason": reason},
        )
    )
    if isinstance(decision, Deny):
        raise RefusedError(*decision.reasons)


@contextmanager
def recording(settings: Settings) -> Iterator[Record]:
    """What is called blocks until the record is durable, and raises AuditUnavailable."""
    client = AuditClient(settings.audit_socket, "cli")
    try:
        yield client.record
    finally:
        client.close()


def is_day(text: str) -> bool:
    """``2026-11-26``."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _find(access: AccessFiles, username: str) -> Person | None:
    return next((p for p in access.people().values() if p.username == Username(username)), None)


def list_places(settings: Settings) -> Iterator[tuple[Place, int]]:
    """Every file of the archive and its bytes. A file whose name is no day is not of the archive."""
    for path in sorted(settings.shown_dir.glob("*/*/*.jsonl")):
        if is_day(path.stem):
            yield Place(path.parts[-3], path.parts[-2], path.stem), path.stat().st_size


def open_lines(path: Path, place: Place, key: X25519PrivateKey) -> Iterator[Opened]:
    """Every line, also behind a damaged one. Raises OSError."""
    for found in read_lines(path):
        if isinstance(found, Damaged):
            yield Opened(
                0, "", f"{found.size} bytes at {found.offset} are no line: torn when the edge was killed, or changed."
            )
            continue
        try:
            yield Opened(found.line.number, found.line.at, unseal(found.line.box, place, key))
        except SealError as error:
            yield Opened(found.line.number, found.line.at, f"{error} It was sealed to the key {found.line.key}.")


def commitments(settings: Settings, project: str) -> dict[Place, list[Head]]:
    """What the published log says about this project, by person and day; one walk. Raises LogUnreadable."""
    names = {person.id: person.username for person in AccessFiles(settings).people().values()}
    found: dict[Place, list[Head]] = {}
    for entry in read_entries(settings.log_dir):
        leaf = entry.leaf
        if leaf["type"] != EventType.SCREEN_SHOWN or leaf.get("project") != project:
            continue
        data, username = leaf.get("data", {}), names.get(PersonId(leaf["actor"]))
        if "archive" in data and username is not None:
            head = Head(int(leaf["counts"]["archived"]), str(data["archive"]))
            found.setdefault(Place(project, username, str(data.get("day"))), []).append(head)
    return found


def verify(settings: Settings, place: Place) -> Comparison:
    """Is what lies in the archive what was recorded? A file that is gone keeps nothing. LogUnreadable, OSError."""
    return hold_against(settings, place, commitments(settings, place.project).get(place, []))


def hold_against(settings: Settings, place: Place, known: list[Head]) -> Comparison:
    """The file of this place against what the log says of it. Raises OSError."""
    path = place.path(settings.shown_dir)
    if not path.exists():
        return Comparison(0, 0, 0, tuple(known), 0)
    return compare(path, known)
