"""``enclave-image.json``: what an image is, what it was made from, and the hash over all that is in it.

SATRE 2.1.11.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tomllib
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from enclave.images.contents import RECORD, content_sha256, read_entries


class RecordError(Exception):
    """The folder holds no image that this version can read; says what was expected."""


@dataclass(frozen=True)
class Definition:
    """``image.toml`` beside a build script: the image's name and version, and the date that all its files carry."""

    name: str
    version: str
    date: date

    @property
    def epoch(self) -> int:
        """That date at 00:00 UTC, in seconds."""
        return int(datetime(self.date.year, self.date.month, self.date.day, tzinfo=UTC).timestamp())


@dataclass(frozen=True)
class ImageRecord:
    """The record. ``newer`` names packages that were taken newer than locked."""

    name: str
    version: str
    source_date_epoch: int
    made_from_sha256: str
    """Over the lock, the definition and the programs that built it."""
    lock_sha256: str
    base: str
    """What of the machine it needs at run time, or what it was made on."""
    built_with: str
    content_sha256: str
    newer: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Last of all: the hash covers what is there already."""
        (folder / RECORD).write_text(json.dumps(asdict(self), indent=1) + "\n")


def read_definition(file: Path) -> Definition:
    """Raises RecordError."""
    try:
        return Definition(**tomllib.loads(file.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise RecordError(f"Expected name, version and date in {file}, could not read them: {error}.") from error


def read_record(folder: Path) -> ImageRecord:
    """Raises RecordError."""
    try:
        given: dict[str, Any] = json.loads((folder / RECORD).read_bytes())
        return ImageRecord(**{**given, "newer": tuple(given.get("newer", ()))})
    except (OSError, ValueError, TypeError) as error:
        raise RecordError(
            f"Expected an image with {RECORD} in {folder}, found none that this version reads. Build it: make setup"
        ) from error


def hash_of(*files: Path) -> str:
    """Over several files, each preceded by its length."""
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def find_changes(folder: Path) -> str | None:
    """The hash of what is there now, when it is not the one on record. Reads every file. Raises RecordError."""
    found = content_sha256(read_entries(folder))
    return None if found == read_record(folder).content_sha256 else found


def is_current(folder: Path, made_from_sha256: str) -> bool:
    """There is an image in ``folder``, and it was made from this. Does not look at its files."""
    try:
        return read_record(folder).made_from_sha256 == made_from_sha256
    except RecordError:
        return False


def replace(folder: Path, target: Path) -> None:
    """Put ``folder`` where ``target`` is; the old one goes away afterwards."""
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    folder.rename(target)
    shutil.rmtree(old, ignore_errors=True)
