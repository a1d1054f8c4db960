"""A listening socket in a folder: its mode whatever the umask, its place whatever lay there."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from enclave.listening import listen_in


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Its path is longer than a unix socket's address may be."""
    made = tmp_path / ("long-" * 20) / ("longer-" * 20)
    made.mkdir(parents=True)
    yield made


def _connect(folder: Path, name: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
    above = os.open(folder, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX, kind) as client:
            client.connect(f"/proc/self/fd/{above}/{name}")
    finally:
        os.close(above)


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_mode_is_the_one_asked_for(folder: Path, mode: int, umask: int) -> None:
    before = os.umask(umask)
    try:
        with listen_in(folder, "x.sock", mode=mode):
            assert stat.S_IMODE((folder / "x.sock").stat().st_mode) == mode
    finally:
        os.umask(before)


def test_the_umask_of_the_process_is_never_touched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It belongs to all threads: another one would make its files with ours meanwhile."""

    def touched(_: int) -> int:
        raise AssertionError("the umask was changed")

    monkeypatch.setattr(os, "umask", touched)
    with listen_in(folder, "x.sock", mode=0o666):
        pass


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_who_finds_it_may_connect(folder: Path, kind: socket.SocketKind) -> None:
    with listen_in(folder, "x.sock", kind=kind):
        assert [path.name for path in folder.iterdir()] == ["x.sock"]
        _connect(folder, "x.sock", kind)


def test_it_takes_the_place_of_what_was_there(folder: Path, tmp_path: Path) -> None:
    listen_in(folder, "x.sock").close()
    (tmp_path / "precious").write_text("kept")
    (folder / ".x.sock.making").symlink_to(tmp_path / "precious")  # what a killed one left, at its worst
    with listen_in(folder, "x.sock"):
        _connect(folder, "x.sock")
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_link_in_the_folders_place_is_not_followed(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(OSError):
        listen_in(link, "x.sock")
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_not_there_leaves_nothing_open(tmp_path: Path) -> None:
    """An open socket would be told as a warning, which is an error here."""
    with pytest.raises(FileNotFoundError):
        listen_in(tmp_path / "none", "x.sock")
    (tmp_path / "x.sock").mkdir()
    with pytest.raises(OSError):
        listen_in(tmp_path, "x.sock")
