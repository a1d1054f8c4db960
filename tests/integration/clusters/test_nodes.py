"""A researcher's cluster on two machines, with every real part; and what reaches a machine that should not.

The tests are one story in this order: she computes on both, the node is killed, it comes back, home is killed, she is
revoked. In between nobody waits for a time, only for what has to come.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from enclave_gateway_stand import PERSON  # type: ignore[import-not-found]
from enclave_node_stand import (  # type: ignore[import-not-found]
    HOME,
    HOME_PORT,
    NODE,
    NODE_PORT,
    OTHER,
    NodeStand,
    authority,
)
from enclave_test_stand import is_alive, wait_for  # type: ignore[import-not-found]

BOTH = """
import os, socket
from enclave_client import dask as enclave_dask, sql
counted = sql('SELECT ward, count(*) AS n FROM stay GROUP BY ward ORDER BY ward').arrow().to_pylist()
client = enclave_dask.client(2)
client.wait_for_workers(2, timeout=60)
def found():
    return sorted(client.scheduler_info(n_workers=-1)['workers'])
print(found())
here, far = found()
"""
COMPUTES = """
def make(n):
    import numpy
    return numpy.full(2_000_000, n)
def add(*arrays):
    return int(sum(array.sum() for array in arrays))
made = [client.submit(make, n, workers=[(here, far)[n % 2]]) for n in range(4)]
print([client.submit(add, *made, workers=[at]).result() for at in (here, far)])
def read():
    from enclave_client import dask as enclave_dask, sql
    frame = enclave_dask.table('stay', parts=2).compute(scheduler='synchronous')
    return sql('SELECT count(*) AS n FROM stay').arrow().to_pylist()[0]['n'], dict(frame.groupby('ward').size())
rows, wards = client.submit(read, workers=[far]).result()
print(rows, wards == {row['ward']: row['n'] for row in counted})
"""
ATTACK = """
def look(targets):
    import os, socket
    reached = []
    for family, address in targets:
        try:
            with socket.socket(family) as probe:
                probe.settimeout(5)
                probe.connect(tuple(address) if isinstance(address, list) else address)
                reached.append(address)
        except (OSError, ValueError):
            pass
    links, seen = [name for _, name in socket.if_nameindex()], sorted(os.listdir('/run/enclave'))
    return links, reached, seen, os.path.exists('/home/researcher')
print(client.submit(look, TARGETS, workers=[far]).result())
"""


@pytest.fixture(scope="module")
def stand() -> Iterator[Any]:
    with NodeStand() as running:
        running.open_workspace()
        yield running


@pytest.fixture(scope="module")
def kernel(stand: Any) -> str:
    found: str = stand.alice.open_kernel(stand.here)
    return found


def run(stand: Any, kernel: str, code: str) -> str:
    printed: str = stand.alice.execute(stand.here, kernel, code, 150)
    return printed


def test_she_computes_on_both_machines_and_is_recorded(stand: Any, kernel: str) -> None:
    assert run(stand, kernel, BOTH) == "['tls://127.0.0.1:8800', 'tls://127.0.1.1:8800']\n"
    assert len(wait_for(stand.at_node, "a worker on the node")) >= 1
    assert run(stand, kernel, COMPUTES) == "[12000000, 12000000]\n300 True\n"
    started = stand.wait_event("cluster:started", workspace=stand.workspace)
    assert started["actor"] == PERSON and started["data"]["machines"] == ["home", NODE]
    of_workers = [e for e in stand.events("query:outcome") if e["at"] > started["at"]]
    assert len(of_workers) >= 3
    assert {(e["actor"], e["workspace"]) for e in of_workers} == {(PERSON, stand.workspace)}
    assert stand.events("token:refused") == [] and stand.events("cluster:refused") == []


def test_a_worker_on_the_node_reaches_its_cluster_and_nothing_else(stand: Any, kernel: str) -> None:
    own = {("127.0.0.1", 8786), *((f"127.0.{part}.1", 8800 + slot) for part in (0, 1) for slot in (0, 1))}
    with stand.far.listen(7777), stand.home.listen(7777):
        ports = {NODE_PORT, HOME_PORT, 7777, 22, 111, stand.settings.port, *ports_of(stand.service.pid)}
        machines = [stand.home.address, stand.far.address, "10.89.0.255", "169.254.169.254", "127.0.0.1", "127.0.1.1"]
        targets: list[Any] = [(socket.AF_INET, [host, port]) for host in machines for port in sorted(ports)]
        targets += [
            (socket.AF_INET, [f"127.0.{n}.1", p]) for n in range(4) for p in (8000, 8786, 8787, *range(8800, 8810))
        ]
        targets += [(socket.AF_INET6, ["fe80::1", NODE_PORT]), (socket.AF_INET6, ["::ffff:10.89.0.1", HOME_PORT])]
        targets += [(socket.AF_UNIX, path) for path in (str(stand.settings.audit_socket), "/run/island/out.sock")]
        targets += [(socket.AF_UNIX, f"{stand.node_folder}/run/ws/{stand.workspace}/in/gateway.sock")]
        targets += [(40, [2, 22]), (17, ["cable", 3]), (38, ["hash", "sha256"])]  # vsock, packet, the kernel's crypto
        code = ATTACK.replace("TARGETS", repr([(int(family), address) for family, address in targets]))
        names, reached, seen, has_home = eval(run(stand, kernel, code))
    assert names == ["lo"] and not has_home and seen == ["gateway.sock", "token"]
    # a listener of nobody is a relay's port of an empty slot: it is closed again at once, and no byte has come
    assert {tuple(address) for address in reached} == own - {("127.0.1.1", 8801)}


def ports_of(pid: int) -> set[int]:
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A"}


CLUSTER = "c" * 32
STREAM = {"cluster": CLUSTER, "to": [0, 8786]}


@pytest.mark.parametrize(
    ("at", "name", "said", "rule"),
    [
        ("node", None, STREAM, "machine-certificate"),
        ("node", "foreign", STREAM, "machine-certificate"),
        ("home", "foreign", STREAM, "machine-certificate"),
        ("node", OTHER, STREAM, "unknown-machine"),
        ("home", OTHER, STREAM, "unknown-machine"),
        ("home", "*.test", STREAM, "unknown-machine"),
        ("node", OTHER, {"do": "hello"}, "unknown-machine"),
        ("home", NODE, {"do": "hello"}, "command-not-from-home"),
        ("home", NODE, STREAM, "unknown-cluster"),
        ("node", HOME, {"cluster": [], "to": {}}, "unknown-cluster"),
        ("home", NODE, {"cluster": "own", "to": [1, 8800]}, "unknown-address"),
        ("home", NODE, {"cluster": "own", "to": [0, 22]}, "unknown-address"),
        ("node", HOME, {"cluster": "own", "to": [0, 0]}, "unknown-address"),
        ("node", HOME, {"cluster": "own", "to": [1.0, 8800]}, "unknown-address"),
        ("node", HOME, b"[1]", "malformed-header"),
        ("node", HOME, b"\xff{", "malformed-header"),
        ("home", NODE, 1 << 11, "malformed-header"),
        ("node", HOME, 1 << 31, "malformed-header"),
    ],
)
def test_what_a_machine_refuses_is_recorded(stand: Any, at: str, name: Any, said: Any, rule: str) -> None:
    where = stand.home if at == "node" else stand.far
    address = (stand.far.address, NODE_PORT) if at == "node" else (stand.home.address, HOME_PORT)
    subject = NODE if at == "node" else "home"

    def recorded() -> int:
        found = [e for e in stand.events("cluster:refused") if e["data"]["rule"] == rule and e["subject"] == subject]
        return sum(e["counts"]["times"] for e in found)

    before = recorded()
    if isinstance(said, dict) and said.get("cluster") == "own":
        said = {**said, "cluster": stand.wait_event("cluster:started")["subject"]}
    content = said if isinstance(said, bytes | int) else json.dumps(said).encode()
    frame = struct.pack("!I", content) if isinstance(content, int) else struct.pack("!I", len(content)) + content
    with where.connect(*address) as plain:
        assert speak(stand, plain, name, frame) == b""
    wait_for(lambda: recorded() == before + 1, "the record of the refusal")


def speak(stand: Any, plain: socket.socket, name: str | None, frame: bytes) -> bytes:
    """What comes back before the connection is closed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if name is not None:
        issuer = authority("Somebody else") if name == "foreign" else stand.authority
        context.load_cert_chain(*issuer.issue(name if name != "foreign" else HOME).write(stand.root, "speaker"))
    try:
        with context.wrap_socket(plain) as client:
            client.sendall(frame)
            return client.recv(100)
    except (ssl.SSLError, ConnectionError):
        return b""


def test_plain_bytes_and_an_older_tls_get_no_answer(stand: Any) -> None:
    with stand.home.connect(stand.far.address, NODE_PORT) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"HTTP" not in plain.recv(100)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        stand.home.connect(stand.far.address, NODE_PORT) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
        context.wrap_socket(plain),
    ):
        pass


def test_a_killed_nodes_workers_are_replaced_at_home(stand: Any, kernel: str) -> None:
    held = "blocks = client.map(make, range(8))\nfrom distributed import wait\nprint(len(wait(blocks).done))"
    assert run(stand, kernel, held) == "8\n"
    below = wait_for(stand.at_node, "her worker on the node")
    stand.kill(stand.node)
    code = """
import time
print(sum(int(n) for n in client.gather(client.map(lambda array: array.sum(), blocks))))
while not (len(found()) == 2 and all('127.0.0.1' in one for one in found())):
    time.sleep(0.1)
print(found())
"""
    assert run(stand, kernel, code) == "56000000\n['tls://127.0.0.1:8800', 'tls://127.0.0.1:8801']\n"
    wait_for(lambda: not any(is_alive(pid) for pid in below), "the end of the killed node's workers")
    wait_for(lambda: stand.folders_at_node() == [], "the end of its folders")
    assert stand.events("cluster:stopped") == []
    assert run(stand, kernel, "client.close()\nprint('closed')") == "closed\n"


def test_a_node_whose_home_is_gone_ends_what_it_has(stand: Any, kernel: str) -> None:
    stand.start_node(lease_seconds=5.0)
    run(stand, kernel, BOTH)
    below = wait_for(stand.at_node, "her worker on the node that came back")
    stand.kill(stand.service)
    wait_for(lambda: not any(is_alive(pid) for pid in below), "the end of the lease")
    wait_for(lambda: stand.folders_at_node() == [], "the end of its folders")
    assert stand.node.poll() is None
    stand.start_service()
    assert stand.wait_event("cluster:stopped")["data"]["reason"] == "service-restarted"


def test_a_revoked_persons_workers_end_on_the_node(stand: Any) -> None:
    """The last of this file: her workspace is gone."""
    kernel = stand.alice.open_kernel(stand.here)
    assert "2" in run(stand, kernel, BOTH)
    below = wait_for(stand.at_node, "her worker")
    stand.portal.revoke("alice")
    wait_for(lambda: not any(is_alive(pid) for pid in below), "the end of a revoked person's workers")
    wait_for(lambda: stand.folders_at_node() == [], "the end of their folders")
