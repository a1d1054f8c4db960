"""The way from Dask's addresses to the service's socket, and what stands in the variable that names it."""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from enclave_client.dask import clusters
from enclave_client.dask.door import open_door
from enclave_client.errors import EnclaveError


class _Upper(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.read().upper())  # only once the other side has said that it was all


class _Service(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "dask.sock"
    with _Service(str(path), _Upper) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield path
        serving.shutdown()


def said(port: int, words: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 60) as caller:
        caller.sendall(words)
        caller.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: caller.recv(1 << 16), b""))


def test_everything_gets_there_and_back_and_so_does_the_end(service: Path) -> None:
    port = open_door(str(service))
    assert said(port, b"a" * 3_000_000) == b"A" * 3_000_000
    assert open_door(str(service)) == port


def test_a_service_that_is_away_closes_the_connection_and_may_come_back(tmp_path: Path) -> None:
    path = tmp_path / "dask.sock"
    port = open_door(str(path))
    assert said(port, b"") == b""
    with _Service(str(path), _Upper) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        assert said(port, b"back") == b"BACK"
        serving.shutdown()


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "unix:dask.sock", "/run/enclave/dask.sock"])
def test_what_is_no_socket_is_told(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("ENCLAVE_DASK_GATEWAY", address)
    for asked in (clusters.client, clusters.cluster):
        with pytest.raises(EnclaveError, match="Expected a socket"):
            asked()


def test_an_image_without_the_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCLAVE_DASK_GATEWAY", "unix:/run/enclave/dask.sock")
    monkeypatch.setitem(sys.modules, "enclave_client.dask.remote", None)
    with pytest.raises(EnclaveError, match="dask-gateway is not in this image"):
        clusters.client()
