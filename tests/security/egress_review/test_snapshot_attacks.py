"""A hostile kernel owns the outbox. Each test is a way to make the portal read something else than a file in it."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from egress_review import snapshot
from egress_review.snapshot import list_outbox, read_outbox
from enclave.domain.decisions import RefusedError
from enclave.domain.permits import OutputRules
from enclave.settings import Settings

RULES = OutputRules(maximum_bytes=100_000, maximum_files=5)


@pytest.fixture
def settings() -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="en", dir="/tmp") as home:
        (Path(home) / "secret.csv").write_text("secret")
        yield Settings(home=Path(home))


@pytest.fixture
def outbox(settings: Settings) -> Path:
    folder = settings.workspaces_dir / "gut-study" / "amelie" / "outbox"
    folder.mkdir(parents=True)
    (folder / "fine.csv").write_text("a,b\n")
    return folder


def refusal(settings: Settings, *names: str) -> str:
    with pytest.raises(RefusedError) as caught:
        read_outbox(settings, "gut-study", "amelie", names, RULES)
    return str(caught.value)


def test_plain_files_are_read(settings: Settings, outbox: Path) -> None:
    (outbox / "results").mkdir()
    (outbox / "results" / "t.csv").write_bytes(b"x")
    found = read_outbox(settings, "gut-study", "amelie", ["fine.csv", "results/t.csv"], RULES)
    assert found == {"fine.csv": b"a,b\n", "results/t.csv": b"x"}
    assert [file.name for file in list_outbox(settings, "gut-study", "amelie")] == ["fine.csv", "results/t.csv"]


@pytest.mark.parametrize("target", ["../../../../secret.csv", "fine.csv", "/etc/passwd", "/proc/self/environ"])
def test_a_linked_file(settings: Settings, outbox: Path, target: str) -> None:
    (outbox / "link.csv").symlink_to(target)
    assert "is a link" in refusal(settings, "link.csv")
    assert "link.csv" not in [file.name for file in list_outbox(settings, "gut-study", "amelie")]


def test_a_linked_folder(settings: Settings, outbox: Path) -> None:
    (outbox / "dir").symlink_to(settings.root)
    assert "is a link" in refusal(settings, "dir/secret.csv")


def test_the_outbox_itself_is_a_link(settings: Settings, outbox: Path) -> None:
    (outbox / "fine.csv").unlink()
    outbox.rmdir()
    outbox.symlink_to(settings.root)
    assert "found a link" in refusal(settings, "secret.csv")
    assert list_outbox(settings, "gut-study", "amelie") == []


def test_the_home_is_a_link(settings: Settings, outbox: Path) -> None:
    home = settings.workspaces_dir / "gut-study" / "karim"
    home.symlink_to(settings.workspaces_dir / "gut-study" / "amelie")
    with pytest.raises(RefusedError, match="found a link"):
        read_outbox(settings, "gut-study", "karim", ["fine.csv"], RULES)


@pytest.mark.parametrize(
    "name",
    ["../fine.csv", "a/../../x", "/etc/passwd", "", ".", "a//b", "a/./b", "x\0y", "x\ny", "a\u202eb", "b\\c", "é" * 150,
     "/".join("abcdefghij"), "\udc80"],
)  # fmt: skip
def test_names_that_are_no_names(settings: Settings, outbox: Path, name: str) -> None:
    refusal(settings, name)


def test_another_person_or_project(settings: Settings, outbox: Path) -> None:
    for project, username in (("../gut-study", "amelie"), ("gut-study", "../amelie"), ("gut-study", "karim")):
        with pytest.raises(RefusedError):
            read_outbox(settings, project, username, ["fine.csv"], RULES)


def test_a_hard_link(settings: Settings, outbox: Path) -> None:
    os.link(settings.root / "secret.csv", outbox / "hard.csv")
    assert "hard link" in refusal(settings, "hard.csv")


def test_a_pipe_does_not_block(settings: Settings, outbox: Path) -> None:
    os.mkfifo(outbox / "pipe.csv")
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(refusal(settings, "pipe.csv")), daemon=True)
    reader.start()
    reader.join(60)
    assert found
    assert "pipe" in found[0]


def test_a_socket(settings: Settings, outbox: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(outbox / "s.csv"))
        assert "socket" in refusal(settings, "s.csv")


@pytest.mark.needs_root
def test_a_device(settings: Settings, outbox: Path) -> None:
    os.mknod(outbox / "zero.csv", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    assert "device" in refusal(settings, "zero.csv")


def test_a_folder(settings: Settings, outbox: Path) -> None:
    (outbox / "folder.csv").mkdir()
    assert "regular file" in refusal(settings, "folder.csv")


def test_too_large_and_sparse(settings: Settings, outbox: Path) -> None:
    with (outbox / "sparse.csv").open("wb") as file:
        file.truncate(50_000_000_000)
    assert "larger than" in refusal(settings, "sparse.csv")


def test_too_many_and_twice(settings: Settings, outbox: Path) -> None:
    assert "allows 5 files" in refusal(settings, *(f"{n}.csv" for n in range(6)))
    assert "twice" in refusal(settings, "fine.csv", "fine.csv")
    assert "at least one" in refusal(settings)


def test_swapped_between_file_and_link_while_it_is_read(settings: Settings, outbox: Path) -> None:
    """Whatever the timing: the researcher's own bytes or a refusal, never the linked file."""
    target = outbox / "race.csv"
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            fresh = outbox / ".fresh"
            fresh.write_text("mine")
            fresh.replace(target)
            link = outbox / ".link"
            link.symlink_to(settings.root / "secret.csv")
            link.replace(target)

    attacker = threading.Thread(target=swap, daemon=True)
    attacker.start()
    try:
        for _ in range(400):
            try:
                assert read_outbox(settings, "gut-study", "amelie", ["race.csv"], RULES) in (
                    {"race.csv": b"mine"}, {"race.csv": b""})  # fmt: skip
            except RefusedError as refused:
                assert "secret" not in str(refused)
    finally:
        done.set()
        attacker.join(60)


@pytest.mark.parametrize("fresh", ["longer than before", "", "same!"])
def test_changed_while_it_is_read(
    settings: Settings, outbox: Path, monkeypatch: pytest.MonkeyPatch, fresh: str
) -> None:
    """A file that is written between the first look at it and the last is refused, and read when it rests."""
    target = outbox / "grow.csv"
    target.write_text("first")
    read_bytes = snapshot._read_bytes

    def read_and_write(file: int, name: str, limit: int) -> bytes:
        content = read_bytes(file, name, limit)
        time.sleep(0.02)  # the kernel's clock for files moves in steps of up to 10 ms
        target.write_text(fresh)
        return content

    monkeypatch.setattr(snapshot, "_read_bytes", read_and_write)
    assert "changed while it was read" in refusal(settings, "grow.csv")
    monkeypatch.undo()
    assert read_outbox(settings, "gut-study", "amelie", ["grow.csv"], RULES) == {"grow.csv": fresh.encode()}


def test_written_all_the_time(settings: Settings, outbox: Path) -> None:
    """Whatever the timing: one of the texts that were there, or a refusal that says why."""
    target = outbox / "grow.csv"
    target.write_text("a" * 60_000)
    done = threading.Event()

    def rewrite() -> None:
        while not done.is_set():
            for size in (60_000, 50_000):
                target.write_text("a" * size)

    writer = threading.Thread(target=rewrite, daemon=True)
    writer.start()
    try:
        for _ in range(300):
            try:
                found = read_outbox(settings, "gut-study", "amelie", ["grow.csv"], RULES)
                assert set(found["grow.csv"]) <= set(b"a")
            except RefusedError as error:
                assert "changed while it was read" in str(error)
    finally:
        done.set()
        writer.join(60)
