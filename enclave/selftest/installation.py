"""What there is to aim at on this installation: its own files, folders and sockets, as the machine has them now.

What is not there is left out, so that a probe says "nothing of this kind" instead of passing for the wrong reason.
"""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from enclave.processes import accepts_connections
from enclave.selftest.probes.files import identity
from enclave.selftest.workspace import DECOY, PROJECT, Running
from enclave.settings import Settings

_DISTANT, _METADATA, _METADATA6 = "198.18.0.1", "169.254.169.254", "fd00:ec2::254"


def find_targets(settings: Settings, running: Running) -> dict[str, Any]:
    """Name → path or address. Secrets are named by place, never by content."""
    running.places.server_log.touch(mode=0o600)
    run, decoy = settings.run_dir, settings.workspaces_dir / PROJECT / DECOY
    decoy.mkdir(mode=0o700, exist_ok=True)
    (decoy / "file.txt").write_text("nobody's")
    files = {
        "shadow": Path("/etc/shadow"),
        "machine_id": Path("/etc/machine-id"),
        "ssh_key": _first(Path("/root/.ssh").glob("id_*"), Path("/etc/ssh").glob("ssh_host_*_key")),
        "service_secret": settings.keys_dir / "service.secret",
        "token_key": settings.keys_dir / "token.key",
        "audit_key": _first(settings.audit_dir.glob("*.key")),
        "database": _first(settings.database_dir.glob("*.sqlite3"), settings.database_dir.glob("*.db")),
        "other_token": running.other_places.token,
        "other_home_file": decoy / "file.txt",
        "other_project_file": _first(settings.projects_dir.glob("*/permit.yaml"), settings.projects_dir.glob("*/*")),
        "server_log": running.places.server_log,
        "host_state": running.places.host,
        "config": Path(os.environ.get("ENCLAVE_CONFIG", "enclave.toml")).absolute(),
    }
    folders = {
        "home_folder": settings.root,
        "keys_folder": settings.keys_dir,
        "vault_folder": settings.vault_dir,
        "projects_folder": settings.projects_dir,
        "workspaces_folder": settings.workspaces_dir,
        "run_folder": run,
        "log_folder": settings.log_dir,
        "producer_folder": settings.producer_dir,
        "root_home": Path("/root"),
        "var_log": Path("/var/log"),
        "boot": Path("/boot"),
        "modules": Path("/lib/modules"),
        "docker_folder": Path("/var/lib/docker"),
    }
    there = {name: str(path) for name, path in (files | folders).items() if path is not None and _exists(path)}
    identities = {name: identity(os.stat(path)) for name, path in there.items()}  # noqa: PTH116
    return {"identities": identities} | there | _sockets(settings, running) | _addresses(settings)


def _sockets(settings: Settings, running: Running) -> dict[str, Any]:
    run = settings.run_dir
    # a socket that the workspace itself must not have is only there while it runs: its own door from outside
    known = {
        "docker_socket": Path("/var/run/docker.sock"),
        "containerd_socket": Path("/run/containerd/containerd.sock"),
        "systemd_socket": Path("/run/systemd/private"),
        "dbus_socket": Path("/run/dbus/system_bus_socket"),
        "journal_socket": Path("/run/systemd/journal/stdout"),
        "hub_socket": settings.hub_socket,
        "portal_socket": settings.portal_socket,
        "edge_socket": settings.edge_api_socket,
        "control_socket": settings.gateway_control_socket,
        "audit_socket": settings.audit_socket,
        "other_gateway": running.other_places.inside / "gateway.sock",
        "project_gateway": _first(run.glob("*/gateway.sock")),
        "other_server": _first(p for p in run.glob("ws/*/host/j.sock") if running.workspace not in p.parts),
    }
    found = {name: str(path) for name, path in known.items() if path is not None and accepts_connections(path)}
    return found | {"listening_socket": str(running.places.listening_socket)}


def _addresses(settings: Settings) -> dict[str, Any]:
    return {
        "internet": [_DISTANT, 443],
        "metadata": [_METADATA, 80],
        "metadata6": [_METADATA6, 80],
        "dns": [_name_server(), 53],
        "edge": [settings.host if settings.host != "0.0.0.0" else "127.0.0.1", settings.port],  # noqa: S104
        "host_name": platform.node(),
    }


def own_address() -> str:
    """An address of this machine beside loopback's first one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect((_DISTANT, 9))
            return str(asked.getsockname()[0])
        except OSError:
            return "127.0.0.2"


def _name_server() -> str:
    try:
        lines = Path("/etc/resolv.conf").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split()[1] for line in lines if line.startswith("nameserver ") and "." in line), "127.0.0.53")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _first(*kinds: Iterable[Path]) -> Path | None:
    for kind in kinds:
        try:
            return next(iter(sorted(kind)))
        except (StopIteration, OSError):
            continue
    return None
