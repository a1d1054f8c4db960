"""Hostile entries in the table of processes: names that are no text or look like a line, numbers that change hands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from enclave.metering.readings import ProcessTimes
from enclave.process_table import children, has_ended, processes_below, start_time, status_words
from enclave.workspaces import quota
from enclave.workspaces.engines import BubblewrapSandbox
from enclave.workspaces.quota import DiskWatch, limit_file_sizes

NAMES = {"cut in the middle of a letter": b"analyse_donn\xc3\xa9\xc3", "a line of its own": b"x\rUid: 0 0\x85) Z 1"}
_TAKE_A_NAME = "import ctypes, sys\nctypes.CDLL(None).prctl(15, {name!r}, 0, 0, 0)\nprint(flush=True)\ninput()"


@pytest.fixture(params=NAMES)
def named(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", _TAKE_A_NAME.format(name=NAMES[request.param])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        yield process
        process.kill()


def test_it_is_found_as_what_it_is(named: subprocess.Popen[bytes]) -> None:
    assert named.pid in children(os.getpid()) and named.pid in processes_below(os.getpid())
    assert start_time(named.pid) and not has_ended(named.pid)
    assert status_words(named.pid, "Uid")[0] == str(os.geteuid()).encode()
    assert status_words(named.pid, "PPid") == [str(os.getpid()).encode()]
    assert status_words(named.pid, "Nothing") == []
    assert ProcessTimes(named.pid).memory_bytes() > 0 and ProcessTimes(named.pid).cpu_ns() >= 0


def test_it_keeps_no_other_workspace_from_its_limit_or_its_end(named: subprocess.Popen[bytes], tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "file").write_bytes(b"x" * (2 << 20))
    DiskWatch((home,), tmp_path, 1, named.pid).look()
    assert (tmp_path / "disk.json").exists()
    limit_file_sizes(named.pid, 0)
    sandbox = BubblewrapSandbox(named)
    sandbox.signal(0)
    sandbox.kill()
    assert sandbox.wait(60) == -9


def test_a_process_that_is_gone_is_no_error() -> None:
    gone = 2**22 + 1
    assert (start_time(gone), has_ended(gone), status_words(gone, "Uid"), children(gone)) == (None, True, [], [])


def test_one_that_cannot_be_limited_spares_no_other_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gone meanwhile, hung, or its number somebody else's by now."""
    begun = {1: 10, 2: 20, 3: 30, 4: 40}
    asked = []

    def limit(pid: int, size: int) -> None:
        asked.append((pid, size))
        if pid == 1:
            raise FileNotFoundError
        if pid == 2:
            raise subprocess.TimeoutExpired("prlimit", 10)

    home = tmp_path / "home"
    home.mkdir()
    (home / "file").write_bytes(b"x" * (2 << 20))
    monkeypatch.setattr(quota, "started_below", lambda top: begun)
    monkeypatch.setattr(quota, "start_time", lambda pid: begun[pid] + (pid == 3))
    monkeypatch.setattr(quota, "limit_file_sizes", limit)
    DiskWatch((home,), tmp_path, 1, 9).look()
    assert asked == [(1, 0), (2, 0), (4, 0)] and (tmp_path / "disk.json").exists()
