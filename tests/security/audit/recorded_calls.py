"""Stands between the real code and the operating system: what it does through ``os`` and ``io`` is recorded.

:meth:`RecordedDisk.check_complete` compares the model with the directory, so an operation that went around this layer
cannot go unnoticed.
"""

from __future__ import annotations

import builtins
import fcntl
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lossy_disk import Moved, NewDirectory, NewFile, Removed, Resized, Synced, Wrote
from recorded_disk import RecordedDisk

_REFUSED = ("link", "symlink", "sendfile", "copy_file_range", "pwritev", "writev", "removedirs", "mknod", "splice")
"""Ways to change files that no part of the log uses; using one fails until this layer can record it."""

_real_open = io.open
_real = {
    name: getattr(os, name)
    for name in (
        *("open", "write", "pwrite", "ftruncate", "truncate", "posix_fallocate", "fsync", "fdatasync"),
        *("mkdir", "unlink", "remove", "rmdir", "rename", "replace"),
        *_REFUSED,
    )
}


class _RecordedFile(io.FileIO):
    """A file opened for writing below the root; the buffered layers of ``io`` write through it."""

    recording: RecordedDisk

    def write(self, data: Any) -> int:
        with self.recording.lock:
            node = self.recording.node(os.fstat(self.fileno()))
            assert node is not None
            offset = _write_offset(self.fileno())
            view = memoryview(data).cast("B")
            count = super().write(view[: self.recording.fitting(len(view))])
            self.recording.note(Wrote(node, offset, bytes(view[:count])))
            return count

    def truncate(self, size: int | None = None) -> int:
        with self.recording.lock:
            node = self.recording.node(os.fstat(self.fileno()))
            assert node is not None
            done = super().truncate(size)
            self.recording.note(Resized(node, done))
            return done


def _write_offset(descriptor: int) -> int:
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND:
        return os.fstat(descriptor).st_size
    return os.lseek(descriptor, 0, os.SEEK_CUR)


@contextmanager
def recorded(recording: RecordedDisk) -> Iterator[RecordedDisk]:
    """While open, every thread's operations below the recording's root are recorded."""
    refused: dict[str, Callable[..., Any]] = {name: _unrecordable(recording, name) for name in _REFUSED}
    changed: dict[str, Callable[..., Any]] = {
        **refused,
        "open": _open(recording),
        "write": _on_descriptor(recording, "write", _wrote),
        "pwrite": _on_descriptor(recording, "pwrite", lambda fd, args, count: Wrote(0, args[1], args[0][:count])),
        "ftruncate": _on_descriptor(recording, "ftruncate", lambda fd, args, _: Resized(0, args[0])),
        "posix_fallocate": _on_descriptor(
            recording, "posix_fallocate", lambda fd, args, _: Resized(0, os.fstat(fd).st_size)
        ),
        "fsync": _sync(recording),
        "fdatasync": _sync(recording),
        "truncate": _unrecordable(recording, "truncate"),
        "mkdir": _mkdir(recording),
        **{name: _remove(recording, name) for name in ("unlink", "remove", "rmdir")},
        **{name: _move(recording, name) for name in ("rename", "replace")},
    }
    opened = _open_file(recording)
    for name, function in changed.items():
        setattr(os, name, function)
    io.open = builtins.open = opened
    try:
        yield recording
    finally:
        for name in changed:
            setattr(os, name, _real[name])
        io.open = builtins.open = _real_open


def _open(recording: RecordedDisk) -> Callable[..., int]:
    def opened(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if not flags & (os.O_CREAT | os.O_TRUNC):
            plain: int = _real["open"](path, flags, mode, dir_fd=dir_fd)
            return plain
        with recording.lock:
            at = recording.place(_at(path, dir_fd))
            there = os.path.lexists(_at(path, dir_fd))
            descriptor: int = _real["open"](path, flags, mode, dir_fd=dir_fd)
            if at is not None and not there:
                recording.created(NewFile, at, os.fstat(descriptor))
            elif at is not None and flags & os.O_TRUNC:
                node = recording.node(os.fstat(descriptor))
                assert node is not None
                recording.note(Resized(node, 0))
            return descriptor

    return opened


def _at(path: Any, dir_fd: int | None) -> Any:
    """The path a name stands for below an open directory (``shutil.rmtree`` works so)."""
    return path if dir_fd is None else Path(f"/proc/self/fd/{dir_fd}").readlink() / path


def _open_file(recording: RecordedDisk) -> Callable[..., Any]:
    def opened(file: Any, mode: str = "r", buffering: int = -1, *more: Any, **named: Any) -> Any:
        if not set(mode) & set("wax+") or not _ours(recording, file):
            return _real_open(file, mode, buffering, *more, **named)
        raw_mode = mode.replace("b", "").replace("t", "")
        given = {"closefd": named.pop("closefd", True)}
        if not isinstance(file, int):
            given["opener"] = named.pop("opener", None) or (lambda path, flags: os.open(path, flags, 0o666))
        raw = _RecordedFile(file, raw_mode, **given)
        raw.recording = recording
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *more, **named)

    return opened


def _ours(recording: RecordedDisk, file: Any) -> bool:
    if isinstance(file, int):
        return recording.node(os.fstat(file)) is not None
    return Path(file).absolute().is_relative_to(recording.root)


def _wrote(descriptor: int, arguments: tuple[Any, ...], count: int) -> Wrote:
    appended = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
    end = os.fstat(descriptor).st_size if appended else os.lseek(descriptor, 0, os.SEEK_CUR)
    return Wrote(0, end - count, bytes(memoryview(arguments[0]).cast("B")[:count]))


def _on_descriptor(
    recording: RecordedDisk, name: str, describe: Callable[[int, tuple[Any, ...], int], Wrote | Resized]
) -> Callable[..., Any]:
    def done(descriptor: int, *arguments: Any) -> Any:
        with recording.lock:
            node = recording.node(os.fstat(descriptor))
            if node is not None and name == "write":
                arguments = (memoryview(arguments[0])[: recording.fitting(len(arguments[0]))],)
            elif node is not None and name == "posix_fallocate":
                recording.fitting(0)
            result = _real[name](descriptor, *arguments)
            if node is not None:
                found = describe(descriptor, arguments, result)
                recording.note(
                    Wrote(node, found.offset, bytes(found.data))
                    if isinstance(found, Wrote)
                    else Resized(node, found.size)
                )
            return result

    return done


def _sync(recording: RecordedDisk) -> Callable[[Any], None]:
    def done(file: Any) -> None:
        with recording.lock:
            node = recording.node(os.fstat(file if isinstance(file, int) else file.fileno()))
            if node is not None:
                recording.note(Synced(node))

    return done


def _mkdir(recording: RecordedDisk) -> Callable[..., None]:
    def done(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        with recording.lock:
            _real["mkdir"](path, mode, dir_fd=dir_fd)
            at = recording.place(_at(path, dir_fd))
            if at is not None:
                recording.created(NewDirectory, at, Path(_at(path, dir_fd)).stat())

    return done


def _remove(recording: RecordedDisk, name: str) -> Callable[..., None]:
    def done(path: Any, *, dir_fd: int | None = None) -> None:
        with recording.lock:
            at = recording.place(_at(path, dir_fd))
            _real[name](path, dir_fd=dir_fd)
            if at is not None:
                recording.note(Removed(*at))

    return done


def _move(recording: RecordedDisk, name: str) -> Callable[..., None]:
    def done(source: Any, target: Any, **descriptors: Any) -> None:
        assert not any(value is not None for value in descriptors.values()), "not recorded: rename below a descriptor"
        with recording.lock:
            places = recording.place(source), recording.place(target)
            assert (places[0] is None) == (places[1] is None), "not recorded: a rename into or out of the root"
            _real[name](source, target)
            if places[0] is not None and places[1] is not None:
                recording.note(Moved(*places[0], *places[1]))

    return done


def _unrecordable(recording: RecordedDisk, name: str) -> Callable[..., Any]:
    def refused(*arguments: Any, **named: Any) -> Any:
        paths = [item for item in arguments if isinstance(item, str | os.PathLike)]
        assert not any(_ours(recording, path) for path in paths), f"this layer cannot record os.{name}"
        return _real[name](*arguments, **named)

    return refused
