"""``python -m enclave.clusters.serve``: dask-gateway's server and proxy with our authenticator, backend and doors.

Listens on loopback (the API for the proxy alone, the proxy's two ports), for compute nodes where there are any
(``members``), on ``run/clusters.sock`` to say that it runs, and on one socket per workspace and per island. In-memory
database: what an earlier run left is ended at start. SIGTERM ends the clusters first. Exit code 2 when it cannot start.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

import structlog
from aiohttp import web
from dask_gateway_server.app import DaskGateway
from traitlets.config import Config

from enclave import descriptors
from enclave.access import AccessFiles
from enclave.clusters import commands
from enclave.clusters.authenticator import WorkspaceAuthenticator
from enclave.clusters.backend import IslandBackend
from enclave.clusters.doors import Doors
from enclave.clusters.entrances import Entrances, check_entrance
from enclave.clusters.records import Records
from enclave.compute_nodes.machines import read_home
from enclave.gateway.admission import Admission
from enclave.keys import KeyMissingError, token_public_key
from enclave.listening import listen_in
from enclave.logs import configure
from enclave.policy import PolicyDecisionPoint, PolicyError
from enclave.settings import Settings, get_settings
from enclave.tls_files import TlsError

_log = structlog.get_logger()
_TICK_SECONDS = 1.0
_LOOK_TICKS = 3
_PROXY_SECONDS = 20.0


def server_config() -> Config:
    """What dask-gateway is told; its defaults listen on all interfaces and keep ended clusters for a day."""
    config = Config()
    config.DaskGateway.config_file = ""
    config.DaskGateway.log_level = "WARN"
    config.DaskGateway.authenticator_class = WorkspaceAuthenticator
    config.DaskGateway.backend_class = IslandBackend
    config.DaskGateway.address = "127.0.0.1:0"
    config.Proxy.address = "127.0.0.1:0"
    config.Proxy.tcp_address = "127.0.0.1:0"
    config.Proxy.proxy_status_period = 1.0
    config.IslandBackend.api_url = commands.API_URL
    config.IslandBackend.cluster_status_period = 2.0
    config.IslandBackend.worker_status_period = 2.0
    config.IslandBackend.db_cluster_max_age = 3600.0
    return config


class ClusterServer(DaskGateway):  # type: ignore[misc]  # dask-gateway has no types
    """The stock application; what is added is reached only through its authenticator, backend and middleware."""

    def load_config_file(self, *_: object, **__: object) -> None:
        """No file: dask-gateway would run one it finds in the working directory."""

    def build(self, settings: Settings) -> None:
        """Put the parts together. Raises KeyMissingError, PolicyError, TlsError."""
        self.initialize([])
        self._settings, self._entrances = settings, Entrances()
        records = self._records = Records(settings)
        admission = Admission(AccessFiles(settings), token_public_key(settings), PolicyDecisionPoint())
        self.authenticator.use(admission, self._entrances, records)
        self.backend.use(settings, read_home(settings), self._entrances, records)
        self.app.middlewares.append(check_entrance(self._entrances))
        self._doors = Doors(settings, self._entrances, self.backend.owner_of, self._proxy_address)

    async def setup(self) -> None:
        """The server, then the doors, then the socket that says so. Raises TimeoutError, OSError."""
        await super().setup()
        self._entrances.serve_with(self.runner.server)
        async with asyncio.timeout(_PROXY_SECONDS):
            await self.backend.proxy._proxy_contacted
        await self._doors.follow()
        self._following = asyncio.create_task(self._follow())
        said = listen_in(self._settings.run_dir, self._settings.clusters_socket.name, mode=0o600)
        await web.SockSite(self.runner, said).start()
        _log.info("clusters-ready")

    async def cleanup(self) -> None:
        """The doors first, so that nobody starts anything meanwhile."""
        if hasattr(self, "_following"):
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        self._settings.clusters_socket.unlink(missing_ok=True)
        await self._doors.close()
        await super().cleanup()

    async def _follow(self) -> None:
        ticks = 0
        while True:
            try:
                await self.backend.end_all_but(await self._doors.follow(), "workspace-stopped")
                await self._records.settle()
                ticks += 1
                if ticks % _LOOK_TICKS == 0:
                    await self.backend.look_at_schedulers()
            except Exception as error:
                _log.error("housekeeping-failed", kind=type(error).__name__)
            await asyncio.sleep(_TICK_SECONDS)

    def _proxy_address(self) -> tuple[str, int]:
        host, _, port = str(self.backend.proxy.tcp_address).rpartition(":")
        return host, int(port)


def main() -> Any:
    """0 after a clean stop, 2 when it cannot start."""
    configure("clusters")
    descriptors.raise_limit()
    settings = get_settings()
    server = ClusterServer(config=server_config())
    try:
        server.build(settings)
    except (KeyMissingError, PolicyError, TlsError) as error:
        _log.error("clusters-cannot-start", reason=str(error))
        return 2
    with contextlib.suppress(KeyboardInterrupt):
        server.start()
    return 0


if __name__ == "__main__":
    sys.exit(main())
