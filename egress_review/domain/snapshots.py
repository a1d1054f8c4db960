"""What was asked to leave, pinned by hash: an ordered list of (name, SHA-256, length) and the hash of that list.

Approvals cite ``snapshot_sha256``; another byte, name or file gives another hash and no approval counts any more
(DESIGN.md, invariant 6).
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from egress_review.domain.sentences import Sentence
from enclave.domain.decisions import RefusedError

NAME_BYTES = 200
NAME_PARTS = 8
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True)
class SnapshotFile:
    """One file: its name relative to the outbox, the SHA-256 of its bytes in hex, its length in bytes."""

    name: str
    sha256: str
    bytes: int


def snapshot_sha256(request_id: str, files: Iterable[SnapshotFile]) -> str:
    """SHA-256 (hex) of the canonical JSON of the request's id and its files sorted by name."""
    rows = [[f.name, f.sha256, f.bytes] for f in sorted(files, key=lambda f: f.name)]
    text = json.dumps({"format": 1, "request": request_id, "files": rows}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def sha256(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def check_name(name: str) -> None:
    """A file's name must stay in the outbox and read as it is written. Raises RefusedError."""
    parts = name.split("/")
    if name.startswith("/"):
        raise RefusedError(Sentence("Expected a name relative to the outbox, found an absolute path."))
    if ".." in parts:
        raise RefusedError(Sentence("Expected a name inside the outbox, found one that climbs out of it with “..”."))
    if not name or "" in parts or "." in parts or len(parts) > NAME_PARTS:
        raise RefusedError(
            Sentence("Expected a plain file name such as “results/table1.csv”, found an empty or too deep one.")
        )
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        length = NAME_BYTES + 1
    if length > NAME_BYTES or "\\" in name or any(unicodedata.category(c) in _INVISIBLE for c in name):
        raise RefusedError(
            Sentence(
                "Expected a file name of at most %(limit)s bytes without invisible signs or “\\”. Rename the file.",
                limit=NAME_BYTES,
            )
        )


def check_names(names: Sequence[str], maximum_files: int) -> None:
    """Every name good, none twice, at least one, at most ``maximum_files``. Raises RefusedError."""
    if not names:
        raise RefusedError(Sentence("Expected at least one file of the outbox, found none. Name the files to release."))
    if len(names) > maximum_files:
        raise RefusedError(
            Sentence(
                "The data permit allows %(limit)s files in one output request, found %(found)s. Ask for fewer.",
                limit=maximum_files,
                found=len(names),
            )
        )
    for name in names:
        check_name(name)
    if len({unicodedata.normalize("NFC", name).casefold() for name in names}) < len(names):
        raise RefusedError(Sentence("The same file name is there twice. Name each file once."))
