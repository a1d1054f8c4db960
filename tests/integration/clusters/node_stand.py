"""The stand of clusters with three "machines": network namespaces, each joined to each by a cable (veth).

In one runs the clusters' service, in the others a compute node each; hub, gateway and audit daemon are met over unix
sockets, which know no network namespace. Nothing of it is in the test's own namespace.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
from itertools import combinations
from pathlib import Path
from typing import Any

from enclave_cluster_stand import ClusterStand  # type: ignore[import-not-found]
from enclave_test_stand import REPOSITORY, processes_below, wait_for  # type: ignore[import-not-found]

_FILE = Path(__file__).parents[1] / "gateway" / "authority.py"
_CLONE_NEWNET = 0x40000000
HOME, NODE, SECOND, OTHER = "home.test", "node.test", "second.test", "other.test"
HOME_PORT, NODE_PORT = 8444, 8443


def authority(name: str = "Test authority") -> Any:
    spec = importlib.util.spec_from_file_location("cluster_authority", _FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["cluster_authority"] = module
    spec.loader.exec_module(module)
    return module.Authority(name)


class UnsafeMachine:
    """A network namespace, held by a process that sleeps."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.holder = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"])
        self.network = Path(f"/proc/{self.holder.pid}/ns/net")
        own = Path("/proc/self/ns/net").stat().st_ino
        wait_for(lambda: self.network.stat().st_ino != own, "the namespace")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "address", "add", f"{address}/32", "dev", "lo")

    def command(self, *words: str) -> list[str]:
        return ["nsenter", f"--net={self.network}", "--", *words]

    def run(self, *words: str) -> None:
        subprocess.run(self.command(*words), check=True)

    def join(self, other: UnsafeMachine) -> None:
        """A cable for the two, and on each side a route to the other."""
        ours, theirs = f"to{other.holder.pid}", f"to{self.holder.pid}"
        peer = ("type", "veth", "peer", "name", theirs, "netns", str(other.holder.pid))
        self.run("ip", "link", "add", ours, *peer)
        for machine, cable, far in ((self, ours, other), (other, theirs, self)):
            machine.run("ip", "link", "set", cable, "up")
            machine.run("ip", "route", "add", far.address, "dev", cable, "src", machine.address)

    def cut(self, other: UnsafeMachine) -> None:
        """Nothing goes through any more, and nobody says so to those that were connected."""
        self.run("ip", "link", "set", f"to{other.holder.pid}", "down")

    def connect(self, host: str, port: int) -> socket.socket:
        """A connection from here, for the test's own process. Raises OSError."""
        return self._here(lambda: socket.create_connection((host, port), 20))

    def listen(self, port: int) -> socket.socket:
        return self._here(lambda: socket.create_server(("0.0.0.0", port)))

    def _here(self, make: Any) -> socket.socket:
        """What ``make`` makes on a thread of this namespace: a socket belongs to the one it was made in."""
        found: list[Any] = []

        def work() -> None:
            descriptor = os.open(self.network, os.O_RDONLY)
            try:
                assert ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) == 0
                found.append(make())
            except OSError as error:
                found.append(error)
            finally:
                os.close(descriptor)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(60)
        if isinstance(found[0], OSError):
            raise found[0]
        return found[0]

    def close(self) -> None:
        self.holder.kill()
        self.holder.wait(20)


class NodeStand(ClusterStand):  # type: ignore[misc]
    """Use as a context manager. ``home``, ``far`` and ``third`` are the machines."""

    def __init__(self) -> None:
        super().__init__(workers=3)
        self.home, self.far, self.third = (UnsafeMachine(f"10.89.0.{number}") for number in (1, 2, 3))
        self.machines = {HOME: self.home, NODE: self.far, SECOND: self.third}
        for one, other in combinations(self.machines.values(), 2):
            one.join(other)
        self.folders = Path("/dev/shm") / f"enclave-test-{secrets.token_hex(6)}"
        self.folders.mkdir(mode=0o700)
        self.authority = authority()
        (self.root / "ca.crt").write_bytes(self.authority.certificate)
        for name in self.machines:
            self.authority.issue(name).write(self.root, name)
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}

    def _identity(self, name: str) -> dict[str, str]:
        files = {"CERTIFICATE": f"{name}.crt", "KEY": f"{name}.key", "CA": "ca.crt"}
        return {f"ENCLAVE_CLUSTER_TLS_{kind}": str(self.root / file) for kind, file in files.items()}

    def environment(self) -> dict[str, str]:
        nodes = {
            "ENCLAVE_CLUSTER_NODES": json.dumps(
                [f"{n}={self.machines[n].address}:{NODE_PORT}" for n in (NODE, SECOND)]
            ),
            "ENCLAVE_CLUSTER_ADDRESS": f"{self.home.address}:{HOME_PORT}",
        }
        return {**super().environment(), **nodes, **self._identity(HOME)}

    def prepare(self) -> None:
        self.start_node()
        self.start_node(SECOND)
        super().prepare()

    def start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        if module != "enclave.clusters.serve":
            return super().start(module, *arguments)
        return self._start_at(self.home, self.environment(), module, "-m", module)

    def has_answered(self, name: str) -> int:
        """How often the node came, or came back, as home saw it."""
        lines = (self.root / "enclave.clusters.serve.log").read_text().splitlines()
        return sum('"event": "node-answers"' in line and f'"node": "{name}"' in line for line in lines)

    def start_node(self, name: str = NODE) -> None:
        machine = self.machines[name]
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "ENCLAVE_HOME": str(self.root / "nowhere"),
            "ENCLAVE_NODE_ADDRESS": f"{machine.address}:{NODE_PORT}",
            "ENCLAVE_NODE_HOME": HOME,
            "ENCLAVE_NODE_WORKERS": "4",
            "ENCLAVE_NODE_FOLDER": str(self.folders / name),
            **self._identity(name),
        }
        self.nodes[name] = self._start_at(machine, env, name, "-m", "enclave.cli.main", "node")
        wait_for(lambda: self._listens(machine), f"the node; see its log in {self.root}")

    def _listens(self, machine: UnsafeMachine) -> bool:
        with contextlib.suppress(OSError), self.home.connect(machine.address, NODE_PORT):
            return True
        return False

    def _start_at(
        self, machine: UnsafeMachine, env: dict[str, str], name: str, *arguments: str
    ) -> subprocess.Popen[bytes]:
        command = machine.command(sys.executable, *arguments)
        with (self.root / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=REPOSITORY)
        self._processes.append(process)
        return process

    def doctor(self) -> tuple[str, str]:
        """What it says about nodes, and what is wrong, asked on the home machine."""
        code = "from enclave.clusters.node_check import look_at_nodes as look; from enclave.settings import Settings\n"
        code += "found = look(Settings()); print(found.said, found.problem, sep='\\n')"
        command = self.home.command(sys.executable, "-c", code)
        found = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=True, timeout=60)
        said, problem = found.stdout.splitlines()
        return said, problem

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait(60)

    def at_node(self, name: str = NODE) -> list[int]:
        """Workers there."""
        return [pid for pid in processes_below([self.nodes[name].pid]) if _is_worker(pid)]

    def folders_at_node(self, name: str = NODE) -> list[Path]:
        return list((self.folders / name / "run" / "ws").glob("*"))

    def __exit__(self, *given: object) -> None:
        try:
            super().__exit__(*given)
        finally:
            for machine in self.machines.values():
                machine.close()
            shutil.rmtree(self.folders, ignore_errors=True)


def _is_worker(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"distributed.cli.dask_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
