"""Islands: a real host keeps real Dask clusters apart from everything, and from each other; what ends leaves nothing.

One workspace with two clusters is shared by the tests that only look; those that end something have their own.
"""

from __future__ import annotations

import json
import os
import socket
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from enclave_island_stand import (  # type: ignore[import-not-found]
    PYTHON,
    SCHEDULER,
    WORKER,
    Forwarder,
    IslandStand,
    is_alive,
    wait_for,
)

A, B, C = ("a" * 32, "b" * 32, "c" * 32)
SLEEP = ("/usr/bin/sleep", "600")
OTHERS_LISTENER = (PYTHON, "-c", "import socket, time; s = socket.create_server(('127.0.0.1', 7000)); time.sleep(600)")
pytestmark = [pytest.mark.needs_root, pytest.mark.filterwarnings("ignore:Mismatched versions")]


@pytest.fixture(scope="module")
def islands() -> Iterator[Any]:
    """Cluster A computes, with one worker; cluster B has something that listens."""
    with IslandStand() as stand:
        assert stand.start(A, "scheduler", *SCHEDULER) == {}
        assert stand.start(A, "worker-1", *WORKER, "--name", "worker-1") == {}
        assert stand.start(B, "scheduler", *OTHERS_LISTENER) == {}
        wait_for(lambda: any(map(listens_at_7000, stand.processes())), "the other cluster's listener")
        yield stand


@pytest.fixture(scope="module")
def client(islands: Any) -> Iterator[Any]:
    """A stock client, outside, that has certificate and key."""
    from distributed import Client, Security

    islands.wait_for_scheduler(A)
    certificate, key = (str(islands.root / name) for name in islands.files)
    security = Security(
        tls_ca_file=certificate, tls_client_cert=certificate, tls_client_key=key, require_encryption=True
    )
    with (
        Forwarder(islands.folder(A) / "scheduler.sock") as door,
        Client(f"tls://127.0.0.1:{door.port}", security=security, timeout=60) as connected,
    ):
        yield connected


def run(client: Any, code: str) -> Any:
    """What ``answer`` is after ``code`` has run in the worker."""
    names: dict[str, Any] = {}

    def compute(code: str = textwrap.dedent(code), names: dict[str, Any] = names) -> Any:
        exec(code, names)
        return names["answer"]

    return client.submit(compute, pure=False).result(60)


def test_a_stock_client_computes_on_an_island(client: Any) -> None:
    assert client.submit(sum, [1, 2, 3]).result(60) == 6


def test_a_worker_has_loopback_and_the_way_to_the_gateway_and_no_other_place(client: Any, islands: Any) -> None:
    found = run(
        client,
        """
        import os, pathlib, socket
        def listed(path):
            return sorted(os.listdir(path)) if os.path.isdir(path) else []
        mounts = [line.split() for line in open("/proc/self/mounts")]
        answer = {
            "interfaces": [name for _, name in socket.if_nameindex()],
            "home": listed("/home"),
            "run": listed("/run"),
            "dask": listed("/run/dask"),
            "enclave": listed("/run/enclave"),
            "HOME": os.environ["HOME"],
            "uid": os.getuid(),
            "writable": sorted(m[1] for m in mounts if "rw" in m[3].split(",") and m[2] not in ("proc", "devpts")),
            "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
            "token": pathlib.Path(os.environ["ENCLAVE_TOKEN_FILE"]).read_text(),
            "capabilities": [l.split()[1] for l in open("/proc/self/status") if l.startswith("CapEff")][0],
            "seccomp": [l.split()[1] for l in open("/proc/self/status") if l.startswith("Seccomp:")][0],
            "namespaces": [os.readlink("/proc/self/fd/" + f) for f in os.listdir("/proc/self/fd")
                           if os.path.exists("/proc/self/fd/" + f)],
        }
        """,
    )
    assert found["interfaces"] == ["lo"]
    assert (found["home"], found["run"], found["enclave"]) == ([], ["dask", "enclave"], ["token"])
    assert found["dask"] == ["dask.crt", "dask.pem"] and found["token"] == "test-token"
    assert (found["HOME"], found["uid"]) == ("/tmp", islands.uid)
    places = ["/dev", "/dev/full", "/dev/null", "/dev/random", "/dev/shm", "/dev/tty", "/dev/urandom", "/dev/zero"]
    assert found["writable"] == [*places, "/tmp"]
    assert found["processes"] == 2 and int(found["capabilities"], 16) == 0 and found["seccomp"] == "2"
    assert not [one for one in found["namespaces"] if one.startswith(("net:", "mnt:", "user:"))]


PROBES: dict[str, str] = {
    "a listener on the machine's loopback": "socket.create_connection(('127.0.0.1', {outside}), 5)",
    "another cluster's island": "socket.create_connection(('127.0.0.1', 7000), 5)",
    "an address elsewhere": "socket.create_connection(('10.0.0.1', 80), 5)",
    "an abstract socket of the machine": "socket.socket(socket.AF_UNIX).connect('\\0enclave-test-islands')",
    "the host's door": "os.stat('{root}/run/ws/{workspace}/host/clusters.sock')",
    "the relay's folder": "os.listdir('/run/island')",
    "the machine's files": "os.stat('{root}')",
    "the home": "os.listdir('/home/researcher')",
    "the kernels' folder": "os.listdir('/run/kernels')",
    "another key": "open('/run/dask/dask.pem', 'a')",
    "the token": "open('/run/enclave/token', 'a')",
    "a socket of its own beside the gateway's": "socket.socket(socket.AF_UNIX).bind('/run/enclave/dask.sock')",
    "a new network": "ctypes.CDLL(None, use_errno=True).unshare(0x40000000) and fail()",
    "another user namespace": "ctypes.CDLL(None, use_errno=True).unshare(0x10000000) and fail()",
    "packets as they are": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "the machine behind it": "socket.socket(40, socket.SOCK_STREAM)",
    "the program below it": "open('/proc/1/mem', 'wb')",
}


def test_no_attack_from_inside_a_worker_gets_out(client: Any, islands: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as outside, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0enclave-test-islands")
        abstract.listen()
        known = {"outside": outside.getsockname()[1], "root": islands.root, "workspace": islands.places.workspace}
        probes = {name: code.format(**known) for name, code in PROBES.items()}
        code = f"""
        import ctypes, os, socket
        def fail(): raise OSError("refused")
        answer = []
        for name, probe in {probes!r}.items():
            try:
                exec(probe)
            except OSError:
                continue
            answer.append(name)
        """
        assert run(client, code) == []


def _packets() -> dict[str, tuple[bytes, str]]:
    start = {"do": "start", "cluster": C, "member": "scheduler", "command": ["true"]}

    def changed(**words: Any) -> bytes:
        return json.dumps({**start, **words}).encode()

    return {
        "no JSON": (b"{", "Expected a request to start, poll, stop"),
        "no object": (b"[]", "Expected a request to start, poll, stop"),
        "deep": (b"[" * 50_000, "Expected a request to start, poll, stop"),
        "an unknown verb": (b'{"do": ["poll"]}', "Expected a request to start, poll, stop"),
        "a path for a cluster": (changed(cluster="../" + "a" * 29), "32 hexadecimal digits"),
        "upper case": (changed(cluster="A" * 32), "32 hexadecimal digits"),
        "a path for a member": (changed(member="../x"), "Expected a member's name"),
        "no member": (changed(member=None), "Expected a member's name"),
        "no command": (changed(command=[]), "Expected a command"),
        "half a letter": (changed(command=["\ud800"]), "Expected a command"),
        "a zero byte": (changed(command=["a\0b"]), "Expected a command"),
        "a library to load": (changed(env={"LD_PRELOAD": "/tmp/x.so"}), "begin with DASK_"),
        "a variable in disguise": (changed(env={"DASK_X\nLD_PRELOAD": "x"}), "begin with DASK_"),
        "a variable without text": (changed(env={"DASK_X": 1}), "begin with DASK_"),
        "another file": (changed(files={"../enclave/token": "x"}), "dask.crt and dask.pem"),
        "a file without text": (changed(files={"dask.crt": None}), "dask.crt and dask.pem"),
        "files that are none": (changed(files=["dask.crt"]), "dask.crt and dask.pem"),
        "a worker too many": (changed(cluster=A, member="worker-9"), "3 workers run already"),
        "a running member": (changed(cluster=A), "Stop it first"),
        "a stop of nothing": (b'{"do": "stop"}', "32 hexadecimal digits"),
    }


def test_what_is_no_request_gets_a_sentence_and_starts_nothing(islands: Any) -> None:
    for number in (2, 3):
        assert islands.start(B, f"worker-{number}", *SLEEP) == {}
    before = islands.ask("poll")
    for what, (packet, sentence) in _packets().items():
        assert sentence in islands.send(packet)["problem"], what
    assert islands.members(C) is None and not islands.folder(C).exists()
    assert islands.ask("poll") == before
    for number in (2, 3):
        assert islands.ask("stop", cluster=B, member=f"worker-{number}") == {}
    assert set(islands.members(B)) == {"scheduler"}


def test_a_client_that_does_not_listen_holds_up_nobody(islands: Any) -> None:
    with islands.connect() as deaf:
        deaf.setblocking(False)
        with pytest.raises(OSError):
            for _ in range(100_000):
                deaf.send(b'{"do": "poll"}')
        assert islands.members(A) is not None


def test_a_member_that_cannot_start_is_told_and_one_that_ends_has_its_code(islands: Any) -> None:
    assert islands.start(B, "worker-code", PYTHON, "-c", "raise SystemExit(3)") == {}
    wait_for(lambda: islands.members(B)["worker-code"] == 3, "its exit code")
    assert islands.start(B, "worker-code", *SLEEP) == {}  # its name is free again
    assert islands.ask("stop", cluster=B, member="worker-code") == {}


def listens_at_7000(pid: int) -> bool:
    """Does anybody in this process's network?"""
    try:
        return ":1B58 00000000:0000 0A" in Path(f"/proc/{pid}/net/tcp").read_text()
    except OSError:
        return False


def namespaces_of(pids: list[int]) -> set[str]:
    """The networks these processes live in, our own left out."""
    found = set()
    for pid in pids:
        try:
            found.add(str(Path(f"/proc/{pid}/ns/net").readlink()))
        except OSError:
            continue
    return found - {str(Path("/proc/self/ns/net").readlink())}


def networks() -> set[str]:
    """All that some process lives in."""
    return namespaces_of([int(entry.name) for entry in Path("/proc").glob("[0-9]*")])


def test_what_is_stopped_leaves_nothing(islands: Any) -> None:
    before = set(islands.processes())
    assert islands.start(C, "scheduler", *SLEEP) == {} and islands.start(C, "worker-1", *SLEEP) == {}
    its_own = set(islands.processes()) - before
    network = namespaces_of(list(its_own))
    assert len(network) == 1
    assert islands.ask("stop", cluster=C, member="worker-1") == {}
    assert set(islands.members(C)) == {"scheduler"}
    assert islands.ask("stop", cluster=C) == {} and islands.ask("stop", cluster=C) == {}
    assert islands.members(C) is None and not islands.folder(C).exists()
    wait_for(lambda: not any(map(is_alive, its_own)) and not network & networks(), "the end of the island")
    descriptors = Path(f"/proc/{islands.host.identity.pid}/fd")
    assert network.isdisjoint(str(link.readlink()) for link in descriptors.iterdir())


def test_an_island_without_its_relay_ends(islands: Any) -> None:
    before = set(islands.processes())
    assert islands.start(C, "scheduler", *SLEEP) == {}
    relay = [pid for pid in set(islands.processes()) - before if b"relay.py" in command_of(pid)]
    os.kill(max(relay), 9)
    wait_for(lambda: islands.members(C)["scheduler"] is not None, "the end of the scheduler")
    assert "relay" in islands.start(C, "worker-1", *SLEEP)["problem"]
    assert islands.ask("stop", cluster=C) == {}


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("end", [lambda host: host.kill(), lambda host: host.terminate()], ids=["killed", "asked"])
def test_a_host_that_ends_leaves_no_process_and_no_network(end: Callable[[Any], None]) -> None:
    with IslandStand() as stand:
        assert stand.start(A, "scheduler", *SLEEP) == {} and stand.start(A, "worker-1", *SLEEP) == {}
        wait_for(
            lambda: sum(command_of(pid).startswith(b"/usr/bin/sleep") for pid in stand.processes()) == 3, "all to run"
        )
        its_own = stand.processes()
        network = namespaces_of(its_own)
        assert len(network) == 2  # the server's and the island's
        end(stand.host)
        wait_for(lambda: not any(map(is_alive, its_own)) and not network & networks(), "the end of everything")
        mounts = Path("/proc/self/mounts").read_text()
        assert str(stand.root) not in mounts


def test_without_clusters_there_is_no_door() -> None:
    with IslandStand(workers=0) as stand:
        wait_for(lambda: stand.processes(), "the server's sandbox")
        assert not (stand.places.host / "clusters.sock").exists()
