"""The cluster port of a machine: who says nothing keeps nobody else out."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from enclave_test_ports import free_port  # type: ignore[import-not-found]

from enclave.compute_nodes import listener as module
from enclave.compute_nodes.listener import Listener, Names
from enclave.compute_nodes.machines import Machine, read_node
from enclave.compute_nodes.refusals import Refusals
from enclave.compute_nodes.wire import LONGEST_HEADER, connect_tls, read_frame, write_frame
from enclave.settings import Settings

_FILE = Path(__file__).parents[2] / "integration" / "gateway" / "authority.py"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a node that answers under the name of home.test."""
    spec = importlib.util.spec_from_file_location("listener_authority", _FILE)
    assert spec is not None and spec.loader is not None
    issuing: Any = importlib.util.module_from_spec(spec)

    sys.modules["listener_authority"] = issuing
    spec.loader.exec_module(issuing)
    issuer = issuing.Authority()
    certificate, key = issuer.issue("home.test").write(tmp_path, "home")
    (tmp_path / "ca.crt").write_bytes(issuer.certificate)
    files = {"certificate": certificate, "key": key, "ca": tmp_path / "ca.crt"}
    address = f"127.0.0.1:{free_port()}"
    tls: dict[str, Any] = {f"cluster_tls_{name}": file for name, file in files.items()}
    return Settings(home=tmp_path, node_address=address, node_home="another.test", node_workers=1, **tls)


def test_one_address_gets_so_many_handshakes_and_the_others_go_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_OF_ONE", 2)
    node, refusals = read_node(settings), Refusals()

    async def answer(names: Names, header: dict[str, Any], streams: Any) -> None:
        write_frame(streams[1], json.dumps([sorted(names), header]).encode())
        await streams[1].drain()

    async def run() -> None:
        listener = Listener(node.identity.server, refusals, lambda names: LONGEST_HEADER * len(names), answer)
        listener.open(node.address)
        near = {"host": "127.0.0.1", "port": node.address.port, "local_addr": ("127.0.0.2", 0)}
        silent = [await asyncio.open_connection(**near) for _ in range(2)]
        try:
            reader, writer = await asyncio.open_connection(**near)
            assert await reader.read() == b""
            home = Machine("home.test", node.address.host, node.address.port)
            other = await connect_tls(home, node.identity.client)
            write_frame(other[1], b'{"word": 1}')
            assert json.loads(await read_frame(other[0], 100)) == [["home.test"], {"word": 1}]
        finally:
            for _, one in (*silent, (reader, writer), other):
                one.transport.abort()
            await listener.close()

    asyncio.run(asyncio.wait_for(run(), 60))
    assert refusals.said()["refused"] == {"too-many-streams": 1}
