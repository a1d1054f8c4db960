"""The table of the enclave's long-running processes: what each is called, how it starts and how one sees it is ready.

DESIGN.md, *Processes and trust*. Order is start order; stopping goes backwards. Workers, builds and workspaces are not
here: the gateway, the runner and the hub start those, each in a sandbox of its own.
"""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from enclave.settings import Settings

Address = Path | tuple[str, int]


@dataclass(frozen=True)
class ServiceSpec:
    """One process. ``ready`` is where it accepts connections once it is up; None: it only has to stay alive."""

    name: str
    argv: tuple[str, ...]
    ready: Address | None
    stage: int = 0
    """Processes of one stage start side by side; the next stage begins when all of them are ready."""
    grace_seconds: float = 8.0


def service_specs(settings: Settings) -> tuple[ServiceSpec, ...]:
    """All services of one enclave on one machine."""
    python = (sys.executable, "-m")
    audit = ["audit.daemon", "--socket", str(settings.audit_socket), "--log", str(settings.log_dir)]
    audit += ["--state", str(settings.audit_dir), "--origin", settings.log_origin]
    return (
        ServiceSpec("audit", (*python, *audit), settings.audit_socket),
        ServiceSpec("portal", (*python, "enclave.portal.serve"), settings.portal_socket, stage=1),
        ServiceSpec("gateway", (*python, "enclave.gateway.front"), settings.gateway_control_socket, stage=1),
        ServiceSpec("edge", (*python, "enclave.edge.serve"), (settings.host, settings.port), stage=1),
        ServiceSpec("hub", (*python, "enclave.workspaces.serve"), settings.hub_socket, stage=2),
        ServiceSpec("runner", (*python, "enclave.runner"), None, stage=2),
    )


def accepts_connections(address: Address) -> bool:
    """Does somebody answer there right now?"""
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(address) if isinstance(address, Path) else address)
        except OSError:
            return False
    return True
