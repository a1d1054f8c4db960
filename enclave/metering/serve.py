"""``python -m enclave.metering.serve``: measures what projects store, and answers Prometheus.

Where it answers (setting ``metrics``): ``run/metrics.sock`` (mode 0600), a port on loopback, or nowhere. No workspace
reaches either: it sees nothing of ``run/`` but its own folder, and its network namespace has a loopback of its own. The
edge passes nothing on to it. So the figures need no password; an address that is not loopback is refused.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import django
import structlog
from aiohttp import web
from django.db import close_old_connections
from django.utils.module_loading import import_string
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from audit.index import LogIndex
from enclave import logs
from enclave.access import AccessFiles
from enclave.domain.ids import ProjectId
from enclave.metering.address import MetricsAddressError, metrics_address
from enclave.metering.exposition import UsageCollector
from enclave.metering.health import health_parts
from enclave.metering.ledger import LedgerUnreadableError
from enclave.metering.storage import StorageLedger, measure
from enclave.settings import Settings, get_settings

log = structlog.get_logger()
VAULT_BYTES = "egress_review.actions.storage.vault_bytes"
"""``(project) -> int``, as text: the egress review sits above this package (DESIGN.md, dependency rule)."""


def measure_all(settings: Settings, vault_bytes: Callable[[ProjectId], int]) -> int:
    """Measure every project once; returns how many could not be measured (they are tried again at the next turn)."""
    failed = 0
    for project in AccessFiles(settings).projects():
        try:
            found = measure(settings, project, vault_bytes(project))
            StorageLedger(settings.metering_dir, project).add(found, datetime.now(UTC))
        except (OSError, LedgerUnreadableError) as error:
            failed += 1
            log.warning("storage-not-measured", project=project, reason=str(error))
    return failed


def metrics_app(collector: Collector) -> web.Application:
    """``GET /metrics``; one scrape at a time."""
    one = asyncio.Lock()

    async def answer(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        async with one:
            body = await asyncio.to_thread(encode, collector)
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application(client_max_size=1)
    app.router.add_get("/metrics", answer)
    return app


async def serve(settings: Settings, collector: Collector, stopped: asyncio.Event) -> None:
    """Answer until ``stopped`` is set. Raises OSError, MetricsAddressError."""
    address = metrics_address(settings)
    runner = web.AppRunner(metrics_app(collector), access_log=None, handle_signals=False)
    await runner.setup()
    try:
        if isinstance(address, Path):
            address.unlink(missing_ok=True)
            await web.UnixSite(runner, str(address)).start()
            address.chmod(0o600)
        elif address is not None:
            await web.TCPSite(runner, *address).start()
        await stopped.wait()
    finally:
        await runner.cleanup()


def _keep_measuring(settings: Settings, ended: threading.Event) -> None:
    vault_bytes: Callable[[ProjectId], int] = import_string(VAULT_BYTES)
    while True:
        try:
            close_old_connections()
            measure_all(settings, vault_bytes)
        except Exception:  # the database is away, say: the next turn may find it
            log.exception("storage-not-measured")
        if ended.wait(settings.metering_minutes * 60):
            return


async def _main(settings: Settings) -> None:
    stopped, ended = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    threading.Thread(target=_keep_measuring, args=(settings, ended), name="storage", daemon=True).start()
    index = LogIndex(settings.log_dir, settings.index_dir)
    try:
        await serve(settings, UsageCollector(settings, index, health_parts(settings, index)), stopped)
    finally:
        ended.set()


if __name__ == "__main__":
    os.umask(0o077)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "enclave.portal.django_settings")
    logs.configure("metering")
    django.setup()
    try:
        asyncio.run(_main(get_settings()))
    except MetricsAddressError as refused:
        log.error("metering:refused", reason=str(refused))
        sys.exit(f"The metering process did not start. {refused}")
