"""The table of the enclave's long-running processes: what each is called, how it starts and how one sees it is ready.

DESIGN.md, *Processes and trust*. Order is start order; stopping goes backwards. Workers, builds and workspaces are not
here: the gateway, the runner and the hub start those, each in a sandbox of its own.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from enclave.gateway.replicas import place_of
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
    cwd: Path | None = None


def service_specs(settings: Settings) -> tuple[ServiceSpec, ...]:
    """All services of one enclave on one machine."""
    python = (sys.executable, "-m")
    return (
        *((demo_witness(settings),) if settings.demo and settings.demo_witness_port else ()),
        audit_daemon(settings),
        ServiceSpec("portal", (*python, "enclave.portal.serve"), settings.portal_socket, stage=1),
        ServiceSpec("gateway", (*python, "enclave.gateway.front"), settings.gateway_control_socket, stage=1),
        *(gateway_replica(settings, number) for number in range(1, settings.gateway_replicas + 1)),
        ServiceSpec("edge", (*python, "enclave.edge.serve"), (settings.host, settings.port), stage=1),
        ServiceSpec("hub", (*python, "enclave.workspaces.serve"), settings.hub_socket, stage=2),
        ServiceSpec("runner", (*python, "enclave.runner"), None, stage=2),
        alert_watch(settings),
        metering(settings),
        *((clusters(settings),) if settings.cluster_workers else ()),
        *((exports(settings, settings.audit_exports),) if settings.audit_exports else ()),
    )


def gateway_replica(settings: Settings, number: int) -> ServiceSpec:
    """A further front over the same project store; at the TCP port that follows the first one's by ``number``."""
    place = place_of(settings, f"r{number}")
    argv = [sys.executable, "-m", "enclave.gateway.front", "--replica", place.replica]
    host, _, port = settings.gateway_tcp.rpartition(":")
    if port.isdecimal():  # of another shape: the front says what is wrong
        argv += ["--tcp", f"{host}:{int(port) + number}"]
    return ServiceSpec(place.writer, tuple(argv), place.control_socket, stage=1)


def audit_daemon(settings: Settings) -> ServiceSpec:
    """The log's only writer, under an account of its own where root allows it.

    Its folders are named relative to ``home``, so that the account need not be able to walk down to it; ``-P`` keeps
    the working directory out of the module search.
    """

    def place(path: Path) -> str:
        return str(path.relative_to(settings.root))

    argv = [sys.executable, "-P", "-m", "audit.daemon", "--origin", settings.log_origin]
    argv += ["--socket", place(settings.audit_socket), "--log", place(settings.log_dir)]
    argv += ["--state", place(settings.audit_dir)]
    if os.geteuid() == 0:
        argv.append("--realtime")
        argv += ["--run-as", str(settings.audit_uid)] if settings.audit_uid else []
    if (policy := settings.audit_policy) is not None:
        argv += ["--policy", place(policy) if policy.is_relative_to(settings.root) else str(policy.absolute())]
    if settings.audit_tsa:
        argv += ["--tsa", settings.audit_tsa]
    return ServiceSpec("audit", tuple(argv), settings.audit_socket, cwd=settings.root)


def demo_witness(settings: Settings) -> ServiceSpec:
    """Stands for a witness that another organisation runs; only in a demonstration."""
    port = settings.demo_witness_port
    argv = [sys.executable, "-m", "audit.cli", "witness", "run", "--key", "ed25519", "--listen", f"127.0.0.1:{port}"]
    argv += ["--state", str(settings.root / "witness" / "state"), "--log", str(settings.audit_dir / "log.vkey")]
    return ServiceSpec("witness", tuple(argv), ("127.0.0.1", port), stage=-1)


def alert_watch(settings: Settings) -> ServiceSpec:
    """Looks at the log every minute and records what an auditor should look at."""
    argv = [sys.executable, "-m", "audit.alerts", "--log", str(settings.log_dir), "--index", str(settings.index_dir)]
    argv += ["--socket", str(settings.audit_socket)]
    if settings.alert_thresholds is not None:
        argv += ["--thresholds", str(settings.alert_thresholds)]
    return ServiceSpec("alerts", tuple(argv), None, stage=2)


def metering(settings: Settings) -> ServiceSpec:
    """Measures storage and answers Prometheus."""
    ready = settings.run_dir / "metrics.sock" if settings.metrics == "unix" else None
    return ServiceSpec("metering", (sys.executable, "-m", "enclave.metering.serve"), ready, stage=2)


def clusters(settings: Settings) -> ServiceSpec:
    """Leads researchers to their Dask clusters. It ends them when it stops, so it gets time for that."""
    argv = (sys.executable, "-m", "enclave.clusters.serve")
    return ServiceSpec("clusters", argv, settings.clusters_socket, stage=2, grace_seconds=20.0)


def exports(settings: Settings, config: Path) -> ServiceSpec:
    """Sends records on to a SIEM; reads the published log only, so that a hung receiver delays nothing."""
    return ServiceSpec("exports", (sys.executable, "-m", "audit.exports", "--config", str(config)), None, stage=2)


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
