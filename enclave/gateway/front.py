"""The gateway's front process: ``python -m enclave.gateway.front``. It holds the public token key and executes no SQL.

``--replica NAME`` runs a further front over the same ENCLAVE_HOME (``replicas``); ``--tcp HOST:PORT`` has it listen
elsewhere than ``gateway_tcp`` says. Start order: TLS files and policies (refuse to start without), keys, the name, the
TCP port, sockets of registered workspaces, sockets of active projects, the control API. SIGTERM or SIGINT ends workers
and streams, removes the sockets and exits 0.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from functools import partial
from urllib.parse import quote

import structlog
from aiohttp import web

from audit.client import AuditClient
from enclave.access import AccessFiles
from enclave.gateway.admission import Admission
from enclave.gateway.control import control_app
from enclave.gateway.doors import DoorError, Doors
from enclave.gateway.housekeeping import Housekeeping, seldom
from enclave.gateway.late_records import LateRecords
from enclave.gateway.open_intents import OpenIntents
from enclave.gateway.partitions import Partitions
from enclave.gateway.recording import Recorder
from enclave.gateway.release import ReleaseClient
from enclave.gateway.replicas import ReplicaError, hold_name, place_of
from enclave.gateway.service import GatewayService
from enclave.gateway.standing import Standing
from enclave.gateway.tickets import TicketStore
from enclave.gateway.tls import TlsError, read_listener
from enclave.gateway.usage import DailyUsage
from enclave.gateway.without_pandas import do_without_pandas
from enclave.gateway.worker_pool import WorkerPool
from enclave.gateway.worker_process import worker_limits
from enclave.gateway.worker_standing import WorkerStanding
from enclave.gateway.worker_uids import WorkerUids
from enclave.keys import KeyMissingError, service_secret, token_public_key
from enclave.logs import configure
from enclave.policy import PolicyDecisionPoint, PolicyError
from enclave.settings import Settings, get_settings

_log = structlog.get_logger()
_TICK_SECONDS = 1.0
_CLEAN_SECONDS = 60.0


class Front:
    """All parts of the front, wired; ``run`` serves until told to stop."""

    def __init__(self, settings: Settings, replica: str = "", tcp: str = "") -> None:
        """Raises KeyMissingError, PolicyError, TlsError, ReplicaError."""
        place = self._place = place_of(settings, replica)
        self._listener = read_listener(settings, tcp)
        place.folder.mkdir(parents=True, exist_ok=True, mode=0o700 if replica else 0o755)
        policy = PolicyDecisionPoint()
        access = AccessFiles(settings)
        self._secret, key = service_secret(settings), token_public_key(settings)
        self._name = hold_name(settings, place)
        client = AuditClient(settings.audit_socket, place.writer)
        name = quote(client.writer, safe="")
        late = LateRecords(settings.usage_dir / f"late-{name}", client)
        mark = settings.usage_dir / f"intents-closed-{name}.json"
        OpenIntents(settings.log_dir, mark, client, late).start()
        recorder = Recorder(client, late)
        self._workers = WorkerPool(
            place.folder,
            settings.projects_dir,
            recorder.worker_restarted,
            worker_limits(settings),
            maximum=settings.query_workers,
            uid_of=WorkerUids(settings.usage_dir / "worker-uids.json").uid,
        )
        self._workers.remove_left_over()
        admission = Admission(access, key, policy)
        standing = Standing(access)
        release, usage = ReleaseClient(settings), DailyUsage(settings.usage_dir)
        service = GatewayService(admission, recorder, self._workers, release, standing, usage)
        partitions = Partitions(service, TicketStore(settings.tickets_dir), self._secret)
        self._doors = Doors(place, access, service, partitions)
        self._housekeeping = Housekeeping(
            (standing.stop_withdrawn,),
            (standing.settle_outcomes,),
            (self._doors.follow_projects,),
            (partial(self._workers.follow, WorkerStanding(access)), self._workers.stop_idle),
            (seldom(partitions.clean, _CLEAN_SECONDS),),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set, then close everything. Raises DoorError when the TCP port cannot be had."""
        if self._listener is not None:
            await asyncio.to_thread(self._doors.open_tcp, self._listener)
        await asyncio.to_thread(self._doors.reopen_workspaces)
        await asyncio.to_thread(self._doors.follow_projects)
        runner = web.AppRunner(control_app(self._doors, self._secret, self._workers.count), access_log=None)
        await runner.setup()
        path = self._place.control_socket
        path.unlink(missing_ok=True)
        try:
            await web.UnixSite(runner, str(path)).start()
            path.chmod(0o600)
            _log.info("front-ready", sockets=self._doors.count())
            while not stop.is_set():
                await _wait(stop, _TICK_SECONDS)
                self._housekeeping.turn()
        finally:
            await runner.cleanup()
            path.unlink(missing_ok=True)
            await asyncio.to_thread(self._workers.close)
            await asyncio.to_thread(self._doors.close)
            self._name.close()
            _log.info("front-stopped")


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


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 after a clean stop, 2 when it cannot start."""
    parser = argparse.ArgumentParser(description="Gateway front; started by the supervisor or `enclave gateway serve`.")
    parser.add_argument("--replica", default="", help="Name of a further front over the same ENCLAVE_HOME.")
    parser.add_argument("--tcp", default="", help="host:port instead of the setting gateway_tcp.")
    asked = parser.parse_args(arguments)
    do_without_pandas()
    configure(f"gateway-{asked.replica}" if asked.replica else "gateway")
    sys.tracebacklimit = 0  # pyarrow sends Python's traceback to the client for some calls (GetSchema): no frames in it
    settings = get_settings()
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    try:
        asyncio.run(_serve(Front(settings, asked.replica, asked.tcp)))
    except (PolicyError, KeyMissingError, TlsError, ReplicaError, DoorError) as error:
        _log.error("front-cannot-start", reason=str(error))
        return 2
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # gRPC's own threads must not run on into the interpreter's end
