"""The positive control of the Docker kind: a container that DockerSpawner makes by default, asked for by a JupyterHub.

Nothing is set that hardens: a bridge network, the image's account, Docker's own filter. Only what makes it start at all
is set: the image, the network's name, an address for the hub, a Python, and a command that waits instead of a Jupyter
server; the probes are run with ``docker exec``, in the same container.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import httpx
from enclave_test_ports import free_port  # type: ignore[import-not-found]

from enclave.selftest.probes.files import identity
from enclave.selftest.surroundings import Surroundings
from enclave.settings import Settings
from enclave.workspaces.launch import base_python

TOKEN = "control-" + "0" * 40
METADATA, DISTANT = "169.254.169.254", "198.18.0.1"
HOSTS = {
    "shadow": "/etc/shadow",
    "machine_id": "/etc/machine-id",
    "root_home": "/root",
    "var_log": "/var/log",
    "boot": "/boot",
}
CONFIG = """
import os
from jupyterhub.auth import DummyAuthenticator
from jupyterhub.proxy import Proxy

class NoProxy(Proxy):
    should_start = False
    async def add_route(self, routespec, target, data): pass
    async def delete_route(self, routespec): pass
    async def get_all_routes(self): return {{}}

c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.authenticator_class = DummyAuthenticator
c.Authenticator.allow_all = True
c.JupyterHub.hub_bind_url = "http://{address}:{port}"
c.JupyterHub.bind_url = "http://127.0.0.1:{other}"
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}
c.JupyterHub.cleanup_servers = False
c.JupyterHub.db_url = "sqlite://"
c.JupyterHub.cookie_secret_file = "{folder}/cookie"
c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"
c.DockerSpawner.image = "{image}"
c.DockerSpawner.pull_policy = "never"
c.DockerSpawner.network_name = "{network}"
c.DockerSpawner.prefix = "{prefix}"
c.DockerSpawner.cmd = ["sleep", "600"]
c.DockerSpawner.read_only_volumes = {{"{python}": "/opt/python"}}
c.JupyterHub.services = [{{"name": "control", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [{{"name": "control", "scopes": ["admin:users", "admin:servers"], "services": ["control"]}}]
"""


def _await(what: str, condition: Any, seconds: float = 60) -> Any:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s for {what}")


@contextlib.contextmanager
def container(client: Any, daemon: str, image: str, place: tuple[str, str], folder: Path) -> Iterator[Any]:
    """A running container of one user of a stock hub; gone afterwards, with the hub."""
    network, address = place
    port = free_port(address)
    prefix = f"selftest-stock-{os.getpid()}"
    config = folder / "hub_config.py"
    values = {"address": address, "port": port, "other": free_port("127.0.0.1"), "folder": folder, "image": image}
    values |= {"network": network, "python": base_python(Settings().image)}
    config.write_text(CONFIG.format(**values, prefix=prefix, token=TOKEN))
    environment = {**os.environ, "DOCKER_HOST": daemon}
    with (folder / "hub.log").open("wb") as log:
        hub = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(config)], cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        with httpx.Client(
            base_url=f"http://{address}:{port}/hub/api", headers={"Authorization": f"token {TOKEN}"}
        ) as api:
            _await("the stock hub", lambda: _answers(api))
            api.post("/users/alice").raise_for_status()
            api.post("/users/alice/server").raise_for_status()
            yield _await("the stock container", lambda: _running(client, prefix))
    finally:
        hub.terminate()
        hub.wait(60)
        for left in client.containers.list(all=True, filters={"name": prefix}):
            left.remove(force=True, v=True)


def _answers(api: httpx.Client) -> bool:
    try:
        return api.get("/").status_code == 200
    except httpx.HTTPError:
        return False


def _running(client: Any, prefix: str) -> Any:
    found = client.containers.list(filters={"name": prefix, "status": "running"})
    return found[0] if found else None


@contextlib.contextmanager
def bridge(client: Any) -> Iterator[tuple[str, str]]:
    """A bridge network as Docker makes it: its name, and the host's address on it. The cloud's metadata address and a
    distant one are on the host's end of it too while it is there."""
    name = f"selftest-{os.getpid()}"
    pool = docker.types.IPAMPool(subnet="198.18.8.0/24", gateway="198.18.8.1")
    network = client.networks.create(name, driver="bridge", ipam=docker.types.IPAMConfig(pool_configs=[pool]))
    device = f"br-{network.id[:12]}"
    try:
        for address in (METADATA, DISTANT):
            subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", device], check=True, capture_output=True)
        yield name, "198.18.8.1"
    finally:
        network.remove()


def run_probes(daemon: str, image: str, folder: Path, bundle: bytes) -> dict[str, list[str]]:
    """Id → [state, detail], as a user of a stock DockerSpawner sees it."""
    with (
        contextlib.closing(docker.DockerClient(base_url=daemon)) as client,
        bridge(client) as (network, address),
        container(client, daemon, image, (network, address), folder) as running,
        Surroundings(address) as around,
    ):
        stream = socket.SOCK_STREAM
        own = {
            "internet": around.listen(socket.AF_INET, stream, (DISTANT, 0)),
            "metadata": around.listen(socket.AF_INET, stream, (METADATA, 0)),
            "dns": around.listen(socket.AF_INET, socket.SOCK_DGRAM, (address, 0)),
            "edge": around.targets["host_tcp"],
            "scratch": "/root/selftest",
            "home_folder": str(folder),
            "docker_socket": "/var/run/docker.sock",
            "file_beside": "/etc/passwd",
            "identities": {name: identity(Path(path).stat()) for name, path in HOSTS.items() if Path(path).exists()},
            **HOSTS,
            "host_name": os.uname().nodename,
            "processes": 200,
            "memory_mb": 256,
            "disk_mb": 16,
            "disk_seconds": 1,
            "inodes": 2000,
            "inode_seconds": 0,
        }
        _put(running, {"selftest.pyz": bundle, "targets.json": json.dumps({**around.targets, **own}).encode()})
        environment = {"LD_LIBRARY_PATH": "/opt/python/lib"}
        done = running.exec_run(
            ["/opt/python/bin/python3.11", "/selftest.pyz", "/targets.json", "/results.json", "control"],
            environment=environment,
        )
        assert done.exit_code == 0, done.output.decode(errors="replace")[-2000:]
        return dict(_get(running, "/results.json"))


def _put(running: Any, files: dict[str, bytes]) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    running.put_archive("/", content.getvalue())


def _get(running: Any, path: str) -> Any:
    chunks, _ = running.get_archive(path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        member = archive.extractfile(Path(path).name)
        assert member is not None
        return json.loads(member.read())
