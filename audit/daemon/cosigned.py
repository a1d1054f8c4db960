"""The cosigned checkpoints on disk: ``LOGDIR/cosigned/<size>`` for everybody, ``state/witness/newest`` for the daemon.

The newest :data:`KEPT` are kept in the log directory, and beyond them the last one of each day (UTC).
"""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime
from pathlib import Path

from audit.checkpoint import parse_checkpoint, read_unverified
from audit.cosignature import ED25519_COSIGNATURE, ML_DSA_44_COSIGNATURE, split_cosignature
from audit.durable import fsync_directory, make_directories, write_atomic, write_file
from audit.note import NoteError, NoteSignature, SignedNote, parse_note
from audit.proof import COSIGNED

FOLDER = COSIGNED
KEPT = 64


class CosignedNotes:
    """Safe for several threads. ``staging``: a folder for temporary files on the log directory's file system."""

    def __init__(self, log_dir: Path, state_dir: Path, staging: Path) -> None:
        self._folder = log_dir / FOLDER
        self._newest = state_dir / "witness" / "newest"
        self._staging = staging
        self._lock = threading.Lock()
        self._days: dict[int, date] = {}
        make_directories(self._folder, 0o755)
        make_directories(self._newest.parent, 0o700)
        for leftover in self._newest.parent.glob(".*.tmp"):
            leftover.unlink()
        for size in published_sizes(log_dir):
            self._days[size] = day_of(self._folder / str(size))

    def add(self, note: SignedNote, cosignatures: list[NoteSignature]) -> None:
        """Publish checked cosignatures of a checkpoint; a key's later line takes the place of its earlier one."""
        size = parse_checkpoint(note).size
        path = self._folder / str(size)
        with self._lock:
            lines = {(line.name, line.key_id): line for line in (*note.signatures, *lines_of(path, note.text))}
            lines |= {(line.name, line.key_id): line for line in cosignatures}
            raw = SignedNote(note.text, tuple(lines.values())).encode()
            if size >= size_of(self._newest):
                write_atomic(self._newest, raw, mode=0o600)
            write_file(path, raw, mode=0o644, staging=self._staging)
            self._days[size] = datetime.now(UTC).date()
            for old in superfluous(self._days):
                (self._folder / str(old)).unlink(missing_ok=True)
                del self._days[old]
            fsync_directory(self._folder)


def published_sizes(log_dir: Path) -> list[int]:
    """The sizes that have a file in ``LOGDIR/cosigned``, ascending."""
    folder = log_dir / FOLDER
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isascii() and path.name.isdigit())


def superfluous(days: dict[int, date]) -> list[int]:
    """Sizes to remove: neither among the newest :data:`KEPT` nor the last of their day."""
    last_of_day: dict[date, int] = {}
    for size in sorted(days):
        last_of_day[days[size]] = size
    kept = set(sorted(days)[-KEPT:]) | set(last_of_day.values())
    return [size for size in days if size not in kept]


def lines_of(path: Path, text: str) -> tuple[NoteSignature, ...]:
    """The signature lines already published for the same checkpoint; none when the file is missing or another's."""
    try:
        note = parse_note(path.read_bytes())
    except (OSError, NoteError):
        return ()
    return note.signatures if note.text == text else ()


def size_of(path: Path) -> int:
    """The tree size of a note on disk; -1 when there is none to read."""
    try:
        return read_unverified(path.read_bytes()).size
    except (OSError, NoteError):
        return -1


def day_of(path: Path) -> date:
    """The day of the newest cosignature in a file, by the time that each cosignature line begins with."""
    seconds = [0]
    for line in lines_of_any(path):
        for kind in (ED25519_COSIGNATURE, ML_DSA_44_COSIGNATURE):
            try:
                seconds.append(split_cosignature(kind, line.signature)[0])
            except NoteError:
                continue
    return datetime.fromtimestamp(max(seconds), UTC).date()


def lines_of_any(path: Path) -> tuple[NoteSignature, ...]:
    """All signature lines of a file; none when it cannot be read."""
    try:
        return parse_note(path.read_bytes()).signatures
    except (OSError, NoteError):
        return ()
