"""``python -m enclave.edge.serve``: the public listener, and the route API on ``run/edge.sock``."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from functools import partial

import structlog
from aiohttp import web

from audit.client import AuditClient
from enclave import keys, logs
from enclave.access import AccessFiles
from enclave.edge.app import Edge
from enclave.edge.archiving import ShownArchive
from enclave.edge.budgets import Budgets
from enclave.edge.meter import Meter
from enclave.edge.route_api import RouteApi
from enclave.edge.routes import RouteTable
from enclave.edge.tls import TlsError, find_tls_context
from enclave.settings import Settings, get_settings

log = structlog.get_logger()

_RECORD_SECONDS = 2.0


async def serve(settings: Settings, stopped: asyncio.Event) -> None:
    """Serve until ``stopped`` is set. Raises OSError when an address is taken, KeyMissingError, TlsError."""
    tls = find_tls_context(settings)
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    secret = keys.proxy_auth_token(settings)
    table = RouteTable(settings.root, settings.run_dir / "routes.json")
    client = AuditClient(settings.audit_socket, "edge")
    budgets = Budgets(AccessFiles(settings))
    archive = ShownArchive(settings.shown_dir, settings.shown_key, budgets)
    record = partial(client.record, timeout=_RECORD_SECONDS)
    meter = Meter(settings.exposure_dir, budgets, record, archive=archive)
    meter.load_pending()
    edge = Edge(settings, table, secret, meter)
    api = RouteApi(table, edge.upstreams, secret)
    public = web.AppRunner(edge.application(), access_log=None, handle_signals=False, auto_decompress=False)
    routes = web.AppRunner(api.application(), access_log=None, handle_signals=False)
    await public.setup()
    await routes.setup()
    try:
        settings.edge_api_socket.unlink(missing_ok=True)
        await web.UnixSite(routes, str(settings.edge_api_socket)).start()
        settings.edge_api_socket.chmod(0o600)
        await web.TCPSite(public, settings.host, settings.port, ssl_context=tls).start()
        log.info("edge:listening", host=settings.host, port=settings.port)
        metering = asyncio.create_task(meter.run())
        await stopped.wait()
        metering.cancel()
        await meter.turn(last=True)
    finally:
        await public.cleanup()
        await routes.cleanup()


async def _main() -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    await serve(get_settings(), stopped)


if __name__ == "__main__":
    os.umask(0o077)
    logs.configure("edge")
    try:
        asyncio.run(_main())
    except TlsError as error:
        log.error("edge:refused", reason=str(error))
        sys.exit(f"The edge did not start. {error}")
