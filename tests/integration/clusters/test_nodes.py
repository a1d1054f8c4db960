"""A researcher's cluster on three machines, with every real part; and what reaches a machine that should not.

The tests are one story in this order: she computes on all, somebody else on the same machines beside her, one node is
killed and comes back, the other one is cut off until its lease is over, she is revoked. Nobody waits for a time, only
for what has to come.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from enclave_cluster_cells import ALL, ATTACK, BESIDE, COMPUTES, EVERYWHERE  # type: ignore[import-not-found]
from enclave_gateway_stand import PERSON, PROJECT  # type: ignore[import-not-found]
from enclave_node_stand import (  # type: ignore[import-not-found]
    HOME,
    HOME_PORT,
    NODE,
    NODE_PORT,
    OTHER,
    SECOND,
    NodeStand,
    authority,
)
from enclave_test_stand import is_alive, wait_for  # type: ignore[import-not-found]

from enclave.metering.ledger import Ledger
from enclave.processes import accepts_connections
from enclave.workspaces import cgroups


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
    printed: str = stand.alice.execute(stand.here, kernel, code, 200)
    return printed


def test_she_computes_on_both_machines_and_is_recorded(stand: Any, kernel: str) -> None:
    assert run(stand, kernel, ALL) == f"{EVERYWHERE}\n"
    assert len(wait_for(stand.at_node, "a worker on the node")) >= 1
    assert run(stand, kernel, COMPUTES) == "[15000000, 15000000, 15000000]\nTrue True\n"
    started = stand.wait_event("cluster:started", workspace=stand.workspace)
    assert started["actor"] == PERSON and started["data"]["machines"] == ["home", NODE, SECOND]

    if cgroups.describe().startswith("control groups"):
        (process, *_) = stand.at_node()
        assert f"enclave-part-{started['subject']}" in Path(f"/proc/{process}/cgroup").read_text()

    def of_workers() -> list[Any]:
        return [e for e in stand.events("query:outcome") if e["at"] > started["at"]]

    wait_for(lambda: len(of_workers()) >= 3, "the records of her worker's queries")
    assert {(e["actor"], e["workspace"]) for e in of_workers()} == {(PERSON, stand.workspace)}
    assert stand.events("token:refused") == [] and stand.events("cluster:refused") == []


def test_somebody_else_computes_on_the_same_node_and_they_do_not_meet(stand: Any, kernel: str) -> None:
    """His worker has the address of hers; each is a way into its own cluster's island."""
    hers = stand.at_node()
    leaves = "print(client.submit(lambda: open('/tmp/hers', 'w').write('x'), workers=[far]).result())"
    assert run(stand, kernel, leaves) == "1\n"
    bob = stand.browser("bob")
    there = bob.start_workspace(PROJECT)
    *_, workspace = stand.portal.started
    wait_for(lambda: accepts_connections(stand.settings.run_dir / "ws" / workspace / "in" / "dask.sock"), "his door")
    his_kernel = bob.open_kernel(there)
    assert bob.execute(there, his_kernel, BESIDE, 200) == f"{EVERYWHERE[1]} 285 False\n"
    his = set(stand.at_node()) - set(hers)
    (her_walls, his_walls) = ({walls(pid) for pid in pids} for pids in (hers, his))
    assert his and not her_walls & his_walls
    him = stand.wait_event("cluster:started", workspace=workspace)["actor"]
    assert him != PERSON and stand.wait_event("query:outcome", workspace=workspace)["actor"] == him
    bob.execute(there, his_kernel, "client.close()", 200)
    wait_for(lambda: stand.at_node() == hers, "the end of his workers, and of no other")
    (ledger,) = stand.settings.metering_dir.glob(f"{PROJECT}/workspaces/*/{workspace}-*.json")
    wait_for(lambda: used_cpu_ns(ledger) > 10**8, "the record of what they used there")
    assert run(stand, kernel, "print(client.submit(sum, [1, 2], workers=[far]).result())") == "3\n"


def used_cpu_ns(ledger: Path) -> int:
    return sum(used.cpu_ns for used in Ledger(ledger).read().days.values())


def walls(pid: int) -> tuple[int, str]:
    """Network and account of a process."""
    uids = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Uid:"))
    return Path(f"/proc/{pid}/ns/net").stat().st_ino, uids


def test_a_worker_on_the_node_reaches_its_cluster_and_nothing_else(stand: Any, kernel: str) -> None:
    own = {("127.0.0.1", 8786), *((f"127.0.{part}.1", 8800 + slot) for part in range(3) for slot in range(3))}
    with stand.far.listen(7777), stand.home.listen(7777):
        ports = {NODE_PORT, HOME_PORT, 7777, 22, 111, stand.settings.port, *ports_of(stand.service.pid)}
        machines = [
            *(machine.address for machine in stand.machines.values()),
            "10.89.0.255",
            "169.254.169.254",
            "127.0.0.1",
            "127.0.1.1",
        ]
        targets: list[Any] = [(socket.AF_INET, [host, port]) for host in machines for port in sorted(ports)]
        targets += [
            (socket.AF_INET, [f"127.0.{n}.1", p]) for n in range(4) for p in (8000, 8786, 8787, *range(8800, 8810))
        ]
        targets += [(socket.AF_INET6, ["fe80::1", NODE_PORT]), (socket.AF_INET6, ["::ffff:10.89.0.1", HOME_PORT])]
        targets += [(socket.AF_UNIX, path) for path in (str(stand.settings.audit_socket), "/run/island/out.sock")]
        targets += [(socket.AF_UNIX, f"{stand.folders}/{NODE}/.lock")]
        targets += [(40, [2, 22]), (17, ["cable", 3]), (38, ["hash", "sha256"])]  # vsock, packet, the kernel's crypto
        code = ATTACK.replace("TARGETS", repr([(int(family), address) for family, address in targets]))
        names, reached, seen, has_home = eval(run(stand, kernel, code))
    assert names == ["lo"] and not has_home and seen == ["gateway.sock", "token"]
    # a listener of nobody is a relay's port of an empty slot: it is closed again at once, and no byte has come
    assert {tuple(address) for address in reached} == own - {("127.0.1.1", 8801), ("127.0.1.1", 8802)}


def ports_of(pid: int) -> set[int]:
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A"}


CLUSTER = "c" * 32
STREAM = {"cluster": CLUSTER, "to": [0, 8786]}
OWN = "her cluster"
REFUSED: list[tuple[str, str | None, Any, str]] = [
    (NODE, None, STREAM, "machine-certificate"),
    (NODE, "foreign", STREAM, "machine-certificate"),
    (HOME, "foreign", STREAM, "machine-certificate"),
    (NODE, OTHER, STREAM, "unknown-machine"),
    (HOME, OTHER, STREAM, "unknown-machine"),
    (HOME, HOME, STREAM, "unknown-machine"),
    (HOME, "*.test", STREAM, "unknown-machine"),
    (NODE, OTHER, {"do": "hello"}, "unknown-machine"),
    (NODE, NODE, {"do": "stop", "cluster": OWN}, "unknown-machine"),
    (NODE, SECOND, {"do": "stop", "cluster": OWN}, "command-not-from-home"),
    (HOME, NODE, {"do": "hello"}, "command-not-from-home"),
    (HOME, NODE, STREAM, "unknown-cluster"),
    (NODE, HOME, {"cluster": [], "to": {}}, "unknown-cluster"),
    (HOME, NODE, {"cluster": OWN, "to": [1, 8800]}, "unknown-address"),
    (HOME, NODE, {"cluster": OWN, "to": [0, 22]}, "unknown-address"),
    (NODE, HOME, {"cluster": OWN, "to": [0, 0]}, "unknown-address"),
    (NODE, SECOND, {"cluster": OWN, "to": [1.0, 8800]}, "unknown-address"),
    (NODE, HOME, b"[1]", "malformed-header"),
    (NODE, HOME, b"\xff{", "malformed-header"),
    (HOME, NODE, 1 << 11, "malformed-header"),
    (NODE, SECOND, 1 << 11, "malformed-header"),
    (NODE, HOME, 1 << 31, "malformed-header"),
]
"""At which machine, with a certificate of which name, what is said, and the rule that it is refused by."""


def test_what_a_machine_refuses_is_recorded(stand: Any) -> None:
    own = stand.wait_event("cluster:started", workspace=stand.workspace)["subject"]
    for at, name, said, _ in REFUSED:
        content = said if isinstance(said, bytes | int) else json.dumps(said).replace(OWN, own).encode()
        frame = struct.pack("!I", content) if isinstance(content, int) else struct.pack("!I", len(content)) + content
        address = stand.machines[at].address, HOME_PORT if at == HOME else NODE_PORT
        with (stand.far if at == HOME else stand.home).connect(*address) as plain:
            assert speak(stand, plain, name, frame) == b"", (at, name, said)

    def recorded() -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        for event in stand.events("cluster:refused"):
            assert event["decision"] == "deny" and event["data"]["at"] == "machines"
            found[event["subject"], event["data"]["rule"]] += event["counts"]["times"]
        return found

    expected = Counter((at if at != HOME else "home", rule) for at, _, _, rule in REFUSED)
    wait_for(lambda: recorded() == expected, "the records of all refusals, each counted once")
    assert stand.at_node()


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


def ended(stand: Any) -> list[Any]:
    """Records of the end of her cluster."""
    return [event for event in stand.events("cluster:stopped") if event["workspace"] == stand.workspace]


def test_a_killed_nodes_workers_are_replaced_on_other_machines(stand: Any, kernel: str) -> None:
    held = "blocks = client.map(make, range(8))\nfrom distributed import wait\nprint(len(wait(blocks).done))"
    assert run(stand, kernel, held) == "8\n"
    below = wait_for(stand.at_node, "her worker on the node")
    stand.kill(stand.nodes[NODE])
    code = """
import time
print(sum(int(n) for n in client.gather(client.map(lambda array: array.sum(), blocks))))
while not (len(found()) == 3 and far not in found() and here in found() and third in found()):
    time.sleep(0.1)
"""
    assert run(stand, kernel, code) == "28000000\n"
    wait_for(lambda: not any(is_alive(pid) for pid in below), "the end of the killed node's workers")
    wait_for(lambda: stand.folders_at_node() == [], "the end of its folders")
    assert ended(stand) == []
    said, problem = stand.doctor()
    assert f"{SECOND} (4 workers, certificate until 20" in said and NODE in said
    assert problem == f"{NODE} does not answer as a node (ConnectionRefusedError)"


def test_a_node_that_is_cut_off_is_replaced_and_ends_what_it_has(stand: Any, kernel: str) -> None:
    stand.start_node()
    wait_for(lambda: stand.has_answered(NODE) == 2, "home to see that the killed node is back")
    below = wait_for(lambda: stand.at_node(SECOND), "her worker on the other node")
    stand.home.cut(stand.third)
    code = """
while not (len(found()) == 3 and third not in found() and here in found() and far in found()):
    time.sleep(0.1)
print(client.submit(add, *blocks, workers=[far]).result())
"""
    assert run(stand, kernel, code) == "28000000\n"
    wait_for(lambda: not any(is_alive(pid) for pid in below), "the end of the lease")
    wait_for(lambda: stand.folders_at_node(SECOND) == [], "the end of its folders")
    assert stand.nodes[SECOND].poll() is None and ended(stand) == []


def test_a_revoked_persons_workers_end_on_the_node_that_came_back(stand: Any) -> None:
    """The last of this file: her workspace is gone."""
    below = wait_for(stand.at_node, "her worker")
    stand.portal.revoke("alice")
    found = stand.wait_event("cluster:stopped", workspace=stand.workspace)
    assert found["data"]["reason"] in ("workspace-stopped", "scheduler-ended", "failed")
    wait_for(lambda: not any(is_alive(pid) for pid in below), "the end of a revoked person's workers")
    wait_for(lambda: stand.folders_at_node() == [], "the end of their folders")
    stand.stop(stand.nodes[NODE])
    assert stand.nodes[NODE].returncode == 0
