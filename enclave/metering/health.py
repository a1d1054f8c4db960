"""Is the enclave well? Gauges for the operator's own alarms; no project and no person in them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from prometheus_client.core import GaugeMetricFamily, Metric

from audit.client import AuditClient
from audit.index import LogIndex
from audit.reader import CHECKPOINT
from enclave.keys import service_secret
from enclave.metering.exposition import Part
from enclave.metering.queries import count_open_intents
from enclave.process_table import has_ended
from enclave.settings import Settings
from enclave.workspaces.host_process import find_hosts

_OPEN_FOR = timedelta(days=1)
_ANSWER_SECONDS = 3.0


def health_parts(settings: Settings, index: LogIndex) -> dict[str, Part]:
    """Each part may raise: then it is left out and said to be down."""
    return {
        "audit": lambda: _audit(settings),
        "open-intents": lambda: _open_intents(index),
        "gateway": lambda: _gateway(settings),
        "running": lambda: _running(settings),
        "disk": lambda: _disk(settings),
        "services": lambda: _services(settings),
    }


def _audit(settings: Settings) -> Iterator[Metric]:
    client = AuditClient(settings.audit_socket, "metering")
    try:
        yield _one("enclave_audit_up", "1: the audit daemon listens.", client.is_reachable())
    finally:
        client.close()
    age = time.time() - (settings.log_dir / CHECKPOINT).stat().st_mtime
    yield _one("enclave_audit_checkpoint_age_seconds", "Time since the log last published a checkpoint.", max(0.0, age))


def _open_intents(index: LogIndex) -> Iterator[Metric]:
    index.refresh()
    found = count_open_intents(index, datetime.now(UTC) - _OPEN_FOR)
    yield _one("enclave_open_intents", "Queries of the last 24 hours without an outcome on record.", found)
    yield _one("enclave_audit_log_records", "Records that the published log holds.", index.size())


def _gateway(settings: Settings) -> Iterator[Metric]:
    workers = GaugeMetricFamily("enclave_query_workers", "Query workers that run.", labels=["front"])
    for path in (settings.gateway_control_socket, *sorted(settings.run_dir.glob("gw-*/gateway.sock"))):
        name = "gateway" if path == settings.gateway_control_socket else path.parent.name
        workers.add_metric([name], _workers_of(settings, path))
    yield workers


def _workers_of(settings: Settings, path: Path) -> int:
    headers = {"X-Enclave-Service": service_secret(settings)}
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=_ANSWER_SECONDS, headers=headers) as front:
        return int(front.get("http://gateway/health").raise_for_status().json()["workers"])


def _running(settings: Settings) -> Iterator[Metric]:
    count = 0
    for host in find_hosts(settings.run_dir):
        count += 1
        host.close()
    yield _one("enclave_workspaces_running", "Workspaces that run now.", count)


def _disk(settings: Settings) -> Iterator[Metric]:
    free = GaugeMetricFamily("enclave_disk_free_bytes", "Free space where a folder lies.", labels=["folder"])
    size = GaugeMetricFamily("enclave_disk_size_bytes", "Whole space where a folder lies.", labels=["folder"])
    folders = (settings.root, settings.log_dir, settings.projects_dir, settings.workspaces_dir, settings.vault_dir)
    for folder in folders:
        if folder.is_dir():
            usage = shutil.disk_usage(folder)
            name = "home" if folder == settings.root else folder.name
            free.add_metric([name], usage.free)
            size.add_metric([name], usage.total)
    yield from (free, size)


def _services(settings: Settings) -> Iterator[Metric]:
    """What the supervisor last wrote: a process that it is bringing back is down until it runs again."""
    up = GaugeMetricFamily("enclave_service_up", "1: this process of the enclave runs.", labels=["service"])
    services = json.loads((settings.run_dir / "supervisor.json").read_bytes())["services"]
    for name, pid in services.items():
        up.add_metric([name], not has_ended(int(pid)))
    yield up


def _one(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, value=value)
