"""The gateway's front process: ``python -m enclave.gateway.front``. It holds the public token key and executes no SQL.

Start order: policies (refuse to start without), keys, sockets of registered workspaces, sockets of active projects, the
control API. SIGTERM or SIGINT ends workers and streams, removes the sockets and exits 0.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from urllib.parse import quote

import structlog
from aiohttp import web

from audit.client import AuditClient
from enclave.access import AccessFiles
from enclave.gateway.admission import Admission
from enclave.gateway.control import control_app
from enclave.gateway.doors import Doors
from enclave.gateway.late_records import LateRecords
from enclave.gateway.open_intents import OpenIntents
from enclave.gateway.recording import Recorder
from enclave.gateway.release import ReleaseClient
from enclave.gateway.service import GatewayService
from enclave.gateway.standing import Standing
from enclave.gateway.usage import DailyUsage
from enclave.gateway.worker_pool import WorkerPool
from enclave.keys import KeyMissingError, service_secret, token_public_key
from enclave.logs import configure
from enclave.policy import PolicyDecisionPoint, PolicyError
from enclave.settings import Settings, get_settings

_log = structlog.get_logger()
_TICK_SECONDS = 1.0


class Front:
    """All parts of the front, wired; ``run`` serves until told to stop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        policy = PolicyDecisionPoint()
        access = self._access = AccessFiles(settings)
        client = AuditClient(settings.audit_socket, "gateway")
        name = quote(client.writer, safe="")
        late = LateRecords(settings.usage_dir / f"late-{name}", client)
        mark = settings.usage_dir / f"intents-closed-{name}.json"
        OpenIntents(settings.log_dir, mark, client, late=late).start()
        recorder = Recorder(client, late)
        self._secret = service_secret(settings)
        self._workers = WorkerPool(settings.run_dir, settings.projects_dir, recorder.worker_restarted)
        admission = Admission(access, token_public_key(settings), policy)
        self._standing = Standing(access)
        release, usage = ReleaseClient(settings), DailyUsage(settings.usage_dir)
        service = GatewayService(admission, recorder, self._workers, release, self._standing, usage)
        self._doors = Doors(settings, access, service)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set, then close everything."""
        await asyncio.to_thread(self._doors.reopen_workspaces)
        await asyncio.to_thread(self._doors.follow_projects)
        runner = web.AppRunner(control_app(self._doors, self._secret), access_log=None)
        await runner.setup()
        path = self._settings.gateway_control_socket
        path.unlink(missing_ok=True)
        try:
            await web.UnixSite(runner, str(path)).start()
            path.chmod(0o600)
            _log.info("front-ready", sockets=self._doors.count())
            while not stop.is_set():
                await _wait(stop, _TICK_SECONDS)
                await self._tick()
        finally:
            await runner.cleanup()
            path.unlink(missing_ok=True)
            await asyncio.to_thread(self._workers.close)
            await asyncio.to_thread(self._doors.close)
            _log.info("front-stopped")

    async def _tick(self) -> None:
        """One turn of housekeeping; an error is logged and the next turn tries again."""
        try:
            await asyncio.to_thread(self._doors.follow_projects)
            await asyncio.to_thread(self._standing.stop_withdrawn)
            await asyncio.to_thread(self._workers.follow, self._access)
            await asyncio.to_thread(self._workers.stop_idle)
        except Exception as error:
            _log.error("housekeeping-failed", kind=type(error).__name__)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


async def _serve(front: Front) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    await front.run(stop)


def main() -> int:
    """Exit code 0 after a clean stop, 2 when it cannot start."""
    configure("gateway")
    sys.tracebacklimit = 0  # pyarrow sends Python's traceback to the client for some calls (GetSchema): no frames in it
    settings = get_settings()
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    try:
        front = Front(settings)
    except (PolicyError, KeyMissingError) as error:
        _log.error("front-cannot-start", reason=str(error))
        return 2
    asyncio.run(_serve(front))
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # gRPC's own threads must not run on into the interpreter's end
