"""Questions to the workspaces' hosts: one that hangs keeps nobody else waiting."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from pathlib import Path

import pytest

from enclave.clusters import islands as module
from enclave.clusters.islands import HostAwayError, HostRefusedError, HostSocket
from enclave.listening import listen_in

HANGING = 40
"""More than asyncio has threads on any machine."""


def listening(folder: Path) -> socket.socket:
    folder.mkdir()
    return listen_in(folder, "clusters.sock", kind=socket.SOCK_SEQPACKET)


def answer(host: socket.socket, said: list[bytes]) -> None:
    for one in said:
        client, _ = host.accept()
        with client:
            client.recv(1000)
            client.send(one)


def test_many_hosts_that_hang_keep_no_other_one_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 3600.0)

    async def run(hanging: list[HostSocket], good: HostSocket) -> None:
        asked = [asyncio.create_task(host.poll()) for host in hanging]
        await asyncio.sleep(0)
        assert await asyncio.wait_for(good.poll(), 60) == {"c": {"w": None}}
        for task in asked:
            task.cancel()
        assert all(
            isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*asked, return_exceptions=True)
        )

    with contextlib.ExitStack() as held:
        for n in range(HANGING):
            held.enter_context(listening(tmp_path / str(n)))
        host = held.enter_context(listening(tmp_path / "good"))
        threading.Thread(target=answer, args=(host, [b'{"clusters": {"c": {"w": null}}}'])).start()
        asyncio.run(run([HostSocket(tmp_path / str(n)) for n in range(HANGING)], HostSocket(tmp_path / "good")))


def test_what_is_no_answer_is_a_host_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [b"", b"[]", b"{", json.dumps({"problem": "No room."}).encode()]
    with listening(tmp_path / "host") as host:
        threading.Thread(target=answer, args=(host, said)).start()
        for _ in range(3):
            with pytest.raises(HostAwayError):
                asyncio.run(HostSocket(tmp_path / "host").poll())
        with pytest.raises(HostRefusedError, match="No room"):
            asyncio.run(HostSocket(tmp_path / "host").poll())
        monkeypatch.setattr(module, "_ANSWER_SECONDS", 0.01)
        with pytest.raises(HostAwayError):
            asyncio.run(HostSocket(tmp_path / "host").poll())
    for missing in (tmp_path / "host", tmp_path / "nowhere"):
        with pytest.raises(HostAwayError):
            asyncio.run(HostSocket(missing).poll())
