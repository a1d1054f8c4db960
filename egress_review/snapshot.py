"""Reads the named files of a researcher's outbox, once, into memory. The outbox belongs to a hostile kernel.

Rules: no part of a path is a link (``openat2``); only regular files with exactly one name (a hard link could be a file
of somebody else); a pipe, socket or device is looked at without opening it; never more bytes than the data permit
allows; a file that changes while it is read is refused. What was read is what is checked, shown, approved and released.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from egress_review.domain.sentences import Sentence
from egress_review.domain.snapshots import NAME_PARTS, check_name, check_names
from egress_review.openat2 import open_beneath
from enclave.domain.decisions import RefusedError
from enclave.domain.ids import PROJECT_ID, USERNAME
from enclave.domain.permits import OutputRules
from enclave.settings import Settings

OUTBOX = "outbox"
LISTED_FILES = 500
_CHUNK = 1 << 20


@dataclass(frozen=True)
class OutboxFile:
    """A regular file that could be asked for; size in bytes."""

    name: str
    bytes: int


def read_outbox(
    settings: Settings, project: str, username: str, names: Sequence[str], rules: OutputRules
) -> dict[str, bytes]:
    """The bytes of ``names``, in the order given. Raises RefusedError with a sentence for the researcher."""
    check_names(names, rules.maximum_files)
    total = rules.maximum_bytes * rules.maximum_files
    contents: dict[str, bytes] = {}
    with _open_outbox(settings, project, username) as outbox:
        for name in names:
            contents[name] = _read_file(outbox, name, min(rules.maximum_bytes, total))
            total -= len(contents[name])
    return contents


def list_outbox(settings: Settings, project: str, username: str) -> list[OutboxFile]:
    """Regular files in the outbox by name, without hidden ones; empty when there is no outbox; at most 500."""
    found: list[OutboxFile] = []
    try:
        with _open_outbox(settings, project, username) as outbox:
            for file in _walk(outbox, "", NAME_PARTS):
                found.append(file)
                if len(found) >= LISTED_FILES:
                    break
    except RefusedError:
        return []
    return sorted(found, key=lambda file: file.name)


@contextmanager
def _open_outbox(settings: Settings, project: str, username: str) -> Iterator[int]:
    if not PROJECT_ID.fullmatch(project) or not USERNAME.fullmatch(username):
        raise RefusedError(Sentence("Expected a project and a person of this enclave, found other names."))
    flags = os.O_RDONLY | os.O_DIRECTORY
    try:
        top = os.open(settings.workspaces_dir, flags | os.O_CLOEXEC)
    except OSError as error:
        raise RefusedError(_NO_OUTBOX) from error
    try:
        outbox = open_beneath(top, f"{project}/{username}/{OUTBOX}", flags)
    except OSError as error:
        # O_DIRECTORY on a link gives ENOTDIR for the last part, ELOOP for an earlier one.
        raise RefusedError(_OUTBOX_IS_LINK if error.errno in (errno.ELOOP, errno.ENOTDIR) else _NO_OUTBOX) from error
    finally:
        os.close(top)
    try:
        yield outbox
    finally:
        os.close(outbox)


_NO_OUTBOX = Sentence("Expected a folder “outbox” in your workspace, found none. Start the workspace once, then ask.")
_OUTBOX_IS_LINK = Sentence("Expected a folder “outbox” in your workspace, found a link or a file. Make it a folder.")


def _read_file(outbox: int, name: str, limit: int) -> bytes:
    try:
        handle = open_beneath(outbox, name, os.O_PATH, same_device=True)
    except OSError as error:
        raise RefusedError(_cannot_open(name, error)) from error
    try:
        before = os.fstat(handle)
        _check_kind(name, before)
        # Reopening our own descriptor opens exactly the file that was looked at: a pipe or device never gets here.
        file = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise RefusedError(_cannot_open(name, error)) from error
    finally:
        os.close(handle)
    try:
        content = _read_bytes(file, name, limit)
        after = os.fstat(file)
    except OSError as error:
        raise RefusedError(_cannot_open(name, error)) from error
    finally:
        os.close(file)
    if _stamp(before) != _stamp(after) or len(content) != after.st_size:
        raise RefusedError(Sentence("The file %(file)s changed while it was read. Let the writing end, then ask again.",
                                    file=name))  # fmt: skip
    return content


def _check_kind(name: str, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise RefusedError(_is_link(name))
    if not stat.S_ISREG(status.st_mode):
        raise RefusedError(
            Sentence(
                "Expected a regular file, found that %(file)s is a folder, pipe, socket or device. Name a file.",
                file=name,
            )
        )
    if status.st_nlink != 1:
        raise RefusedError(
            Sentence(
                "The file %(file)s is a hard link: it has another name elsewhere. Copy it into the outbox instead.",
                file=name,
            )
        )


def _read_bytes(file: int, name: str, limit: int) -> bytes:
    chunks: list[bytes] = []
    left = limit + 1
    while left > 0:
        chunk = os.read(file, min(_CHUNK, left))
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        left -= len(chunk)
    raise RefusedError(
        Sentence(
            "The file %(file)s is larger than the %(limit)s bytes that may still be released. Make it smaller.",
            file=name,
            limit=limit,
        )
    )


def _stamp(status: os.stat_result) -> tuple[int, int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns, status.st_nlink


def _is_link(name: str) -> Sentence:
    return Sentence("%(file)s is a link, or lies behind one. Copy the file itself into the outbox.", file=name)


def _cannot_open(name: str, error: OSError) -> Sentence:
    if error.errno == errno.ELOOP:
        return _is_link(name)
    if error.errno == errno.EXDEV:
        return Sentence("%(file)s lies outside the outbox. Copy it into the outbox.", file=name)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return Sentence("Expected %(file)s in the outbox, found no such file. Look at its name again.", file=name)
    return Sentence("%(file)s in the outbox cannot be read. Look at its permissions.", file=name)


def _walk(folder: int, prefix: str, depth: int) -> Iterator[OutboxFile]:
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    for name in names[: 2 * LISTED_FILES]:
        try:
            check_name(prefix + name)
            handle = open_beneath(folder, name, os.O_PATH, same_device=True)
        except (OSError, RefusedError):
            continue
        try:
            status = os.fstat(handle)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                yield OutboxFile(prefix + name, status.st_size)
            elif stat.S_ISDIR(status.st_mode) and depth > 1:
                yield from _walk_folder(folder, name, prefix, depth)
        finally:
            os.close(handle)


def _walk_folder(parent: int, name: str, prefix: str, depth: int) -> Iterator[OutboxFile]:
    try:
        folder = open_beneath(parent, name, os.O_RDONLY | os.O_DIRECTORY, same_device=True)
    except OSError:
        return
    try:
        yield from _walk(folder, f"{prefix}{name}/", depth - 1)
    finally:
        os.close(folder)
