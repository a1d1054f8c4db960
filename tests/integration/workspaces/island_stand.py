"""A real workspace host with islands and nothing around it: no hub, no edge, no clusters service."""

from __future__ import annotations

import json
import shutil
import socket
import socketserver
import ssl
import tempfile
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from enclave_test_stand import is_alive, processes_below, wait_for  # type: ignore[import-not-found]

from enclave.domain.ids import ProjectId, Username, new_workspace_id
from enclave.settings import Settings
from enclave.workspaces import cgroups, launch
from enclave.workspaces.environments import kernel_environment, server_environment
from enclave.workspaces.host_process import HostProcess

PYTHON = "/opt/image/bin/python3.11"
TLS = {
    "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True",
    "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": "/run/dask/dask.crt",
    **{f"DASK_DISTRIBUTED__COMM__TLS__{who}__CERT": "/run/dask/dask.crt" for who in ("SCHEDULER", "WORKER")},
    **{f"DASK_DISTRIBUTED__COMM__TLS__{who}__KEY": "/run/dask/dask.pem" for who in ("SCHEDULER", "WORKER")},
}
PLAIN = ("--protocol", "tls", "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")
SCHEDULER = (PYTHON, "-m", "distributed.cli.dask_scheduler", *PLAIN, "--port", "8786", "--no-dashboard")
WORKER = (PYTHON, "-m", "distributed.cli.dask_worker", "tls://127.0.0.1:8786", *PLAIN, "--nthreads", "1", "--no-nanny")


def new_keypair() -> dict[str, str]:
    """As dask-gateway makes one for each cluster: certificate and authority in one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dask-internal")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=2))
    certificate = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("dask-internal")]), critical=False)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    signed = certificate.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return {"dask.crt": signed.decode(), "dask.pem": private.decode()}


class IslandStand:
    """One workspace whose server does nothing; use as a context manager."""

    def __init__(self, workers: int = 3) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="is", dir="/tmp"))
        self.settings = Settings(home=self.root, cluster_workers=workers)
        self.places = launch.Places(self.root, new_workspace_id())
        self.uid = launch.allocate_uid(self.settings, ProjectId("islands"), Username("alice"))
        self.home = launch.prepare_home(self.settings, ProjectId("islands"), Username("alice"), self.uid)
        self.files = new_keypair()

    def __enter__(self) -> IslandStand:
        self.places.create()
        self.places.write_token("test-token")
        kernel = launch.profile(
            self.settings,
            self.places,
            self.home,
            kernel_environment(Username("alice")),
            uid=self.uid,
            memory_mb=4096,
            processes=512,
            disk_mb=1024,
        )
        with launch.listen(self.places) as listening:
            env = server_environment(Username("alice"), "/user/alice/islands/", listening.fileno())
            plan = launch.plan(
                self.settings,
                self.places,
                self.home,
                kernel,
                env,
                memory_mb=4096,
                disk_mb=1024,
                ends_at=time.time() + 600,
            )
            command = ("/usr/bin/sleep", "600")
            self.host = HostProcess.start(replace(plan, command=command), listening.fileno())
        if self.settings.cluster_workers:
            wait_for((self.places.host / "clusters.sock").exists, f"the host's door; see {self.places.server_log}")
        return self

    def __exit__(self, *_: object) -> None:
        self.host.terminate()
        if not self.host.wait(20):
            self.host.kill()
            self.host.wait(20)
        self.host.close()
        cgroups.remove(launch.control_group(self.places.workspace))
        shutil.rmtree(self.root, ignore_errors=True)

    def folder(self, cluster: str) -> Path:
        return self.places.host / "islands" / cluster

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.settimeout(60)
        client.connect(str(self.places.host / "clusters.sock"))
        return client

    def ask(self, do: str, **words: Any) -> dict[str, Any]:
        """One request on a connection of its own."""
        return self.send(json.dumps({"do": do, **words}).encode())

    def send(self, packet: bytes) -> dict[str, Any]:
        with self.connect() as client:
            client.send(packet)
            answer: dict[str, Any] = json.loads(client.recv(1 << 17))
            return answer

    def start(self, cluster: str, member: str, *command: str, **words: Any) -> dict[str, Any]:
        given = {"command": list(command), "env": TLS, "files": self.files, **words}
        return self.ask("start", cluster=cluster, member=member, **given)

    def members(self, cluster: str) -> dict[str, int | None] | None:
        found: dict[str, int | None] | None = self.ask("poll")["clusters"].get(cluster)
        return found

    def wait_for_scheduler(self, cluster: str) -> None:
        """Until it shakes hands; before that the relay closes what comes."""
        certificate, key = (self.root / name for name in self.files)
        certificate.write_text(self.files["dask.crt"])
        key.write_text(self.files["dask.pem"])
        context = ssl.create_default_context(cafile=str(certificate))
        context.check_hostname = False
        context.load_cert_chain(certificate, key)

        def shakes_hands() -> bool:
            with socket.socket(socket.AF_UNIX) as plain:
                plain.settimeout(30)
                plain.connect(str(self.folder(cluster) / "scheduler.sock"))
                try:
                    context.wrap_socket(plain).close()
                except OSError:
                    return False
                return True

        wait_for(shakes_hands, "the scheduler")

    def processes(self) -> list[int]:
        """All of the workspace's that live."""
        return [pid for pid in processes_below([self.host.identity.pid]) if is_alive(pid)]


class Forwarder(socketserver.ThreadingTCPServer):
    """A port on loopback that leads to a unix socket, as a client in a workspace has one."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Lead)
        self.path = path
        self.port = int(self.server_address[1])
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Lead(socketserver.BaseRequestHandler):
    server: Forwarder

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as far:
            far.connect(str(self.server.path))
            back = threading.Thread(target=_copy, args=(far, self.request), daemon=True)
            back.start()
            _copy(self.request, far)
            back.join(60)


def _copy(here: socket.socket, there: socket.socket) -> None:
    try:
        while chunk := here.recv(1 << 16):
            there.sendall(chunk)
        there.shutdown(socket.SHUT_WR)
    except OSError:
        return
