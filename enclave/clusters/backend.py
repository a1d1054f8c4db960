"""dask-gateway's backend: clusters run in islands, which the workspaces' hosts keep.

What dask-gateway decides (states, timeouts, how many workers) stays its own. Ours are: a record before a cluster
starts and before it stops; one cluster per workspace; and that nothing is reached over an address that a scheduler
named, since the scheduler is the researcher's code (``heartbeat``). A cluster ends with its workspace.
Non-goal: who may ask (``authenticator``), what may be asked where (``entrances``).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import aiohttp
import structlog
from aiohttp import web
from dask_gateway_server import models
from dask_gateway_server.backends.base import PublicException
from dask_gateway_server.backends.db_base import Cluster, DBBackendBase, JobStatus, Worker
from dask_gateway_server.utils import timestamp

from enclave.clusters import commands
from enclave.clusters.authenticator import WorkspaceUser
from enclave.clusters.entrances import Entrances, IslandEntrance
from enclave.clusters.heartbeat import HeartbeatError, believed
from enclave.clusters.islands import HostAwayError, HostRefusedError, HostSocket, Island
from enclave.clusters.members import Members, Terms
from enclave.clusters.records import Owner, RecordingFailedError, Records
from enclave.clusters.relay import Address
from enclave.compute_nodes.machines import Home
from enclave.edge.sockets import CheckedUnixConnector
from enclave.settings import Settings

_log = structlog.get_logger()
_CONTROL_TIMEOUT = aiohttp.ClientTimeout(total=10)
_STARTS, _STARTS_SECONDS = 6, 60.0
MOST_WORKERS_EVER = 500
"""In one cluster, one after the other: a scheduler that reports workers as ended gets new ones only so often."""
_SHARES = 2
"""Beside the workers: the scheduler and the kernel that asks."""


class IslandBackend(DBBackendBase):  # type: ignore[misc]  # dask-gateway has no types
    """``use`` before ``setup``."""

    supports_bulk_shutdown = True

    def use(self, settings: Settings, home: Home | None, entrances: Entrances, records: Records) -> None:
        """Its parts; traitlets knows no constructor arguments."""
        self._workspaces, self._most_workers = settings.run_dir / "ws", settings.cluster_workers
        self._members = Members(settings, home, self._replace)
        self._entrances, self._records = entrances, records
        self._islands: dict[str, Island] = {}
        self._owners: dict[str, Owner] = {}
        self._reasons: dict[str, str] = {}
        self._starts: dict[str, deque[float]] = {}
        self._starting: dict[str, asyncio.Event] = {}
        """Clusters whose start is on its way into the log."""

    def owner_of(self, cluster: str) -> str | None:
        """The workspace whose cluster this is; None once it is over."""
        return owner.workspace if (owner := self._owners.get(cluster)) else None

    async def setup(self, app: web.Application) -> None:
        """Without the proxy's way to our API: clients come through their doors."""
        await super().setup(app)
        await self.proxy.remove_route(kind="PATH", path="/")

    async def do_setup(self) -> None:
        """Nothing of an earlier run of this service goes on: its islands are ended, and that is recorded."""
        for name, owner in self._records.left_over().items():
            await self._records.stopped(owner, name, "service-restarted")
        for folder in sorted(self._workspaces.glob("*/host/islands/*")):
            host = HostSocket(folder.parent.parent)
            try:
                await host.stop(folder.name)
            except (HostAwayError, HostRefusedError) as error:
                _log.warning("island-not-stopped", cluster=folder.name, reason=str(error))
            await Island(folder).close()
        self._members.open()

    async def do_cleanup(self) -> None:
        """When all clusters have ended."""
        await self._members.close()

    # Starting

    async def start_cluster(self, user: WorkspaceUser, cluster_options: Any) -> str:
        """Raises PublicException with a sentence; a refusal is recorded."""
        owner = Owner(user.caller.claims.person, user.caller.claims.project, user.name)
        machines = await self._members.machines_for(user.name)
        if (rule := self._find_objection(user.name, cluster_options)) is not None:
            await self._records.refused(user.door, *rule, user.caller)
            raise PublicException(rule[1])
        cluster = self.db.create_cluster(user.name, {}, self._config(user).to_dict())
        self._owners[cluster.name], self._starting[cluster.name] = owner, asyncio.Event()
        try:
            await self._records.started(owner, cluster.name, user.caller, self._most_workers, machines)
        except RecordingFailedError as error:
            self._forget(cluster)
            failed = JobStatus.FAILED
            self.db.update_cluster(cluster, status=failed, target=failed, stop_time=timestamp())
            raise PublicException(str(error)) from error
        finally:
            self._starting.pop(cluster.name).set()
        if cluster.target > JobStatus.RUNNING:
            raise PublicException("The cluster was stopped before it began, by you or with its workspace.")
        self._members.begin(cluster.name, owner, _terms(user), machines)
        self.queue.put(cluster)
        return str(cluster.name)

    def _find_objection(self, workspace: str, options: Any) -> tuple[str, str] | None:
        if options:
            return "cluster-options", "Expected no cluster options here, found some. Leave them away."
        if any(found.status < JobStatus.STOPPED for found in self.db.username_to_clusters.get(workspace, {}).values()):
            return "one-cluster", "This workspace has a cluster already. Connect to it, or close it first."
        now = time.monotonic()
        self._starts = {name: late for name, late in self._starts.items() if now - late[-1] < _STARTS_SECONDS}
        starts = self._starts.setdefault(workspace, deque(maxlen=_STARTS))
        if len(starts) == _STARTS and now - starts[0] < _STARTS_SECONDS:
            return "too-many-starts", f"At most {_STARTS} clusters a minute are started here. Wait a little."
        starts.append(now)
        return None

    def _config(self, user: WorkspaceUser) -> Any:
        memory = user.caller.files.permit.workspace.memory_mb << 20
        return self.cluster_config_class(
            parent=self,
            cluster_max_workers=self._most_workers,
            worker_memory=memory // (self._most_workers + _SHARES),
            idle_timeout=user.idle.total_seconds(),
        )

    async def do_start_cluster(self, cluster: Cluster) -> AsyncIterator[dict[str, str]]:
        """The ways into the island first, then the scheduler. Raises OSError, HostAwayError, HostRefusedError."""
        folder = self._workspaces / str(cluster.username) / "host" / "islands" / cluster.name
        island, entrance = Island(folder), IslandEntrance(cluster.name)
        self._islands[cluster.name] = island
        await island.open(partial(self._entrances.hand_over, entrance=entrance))
        self._members.open_streams(cluster.name, island.folder)
        yield {}
        command, env = self.get_scheduler_command(cluster), self.get_scheduler_env(cluster)
        try:
            await self._members.start_scheduler(cluster.name, _question(cluster, "scheduler", command, env))
        except (HostAwayError, HostRefusedError):
            self._reasons.setdefault(cluster.name, "not-started")  # dask-gateway logs the sentence
            raise

    async def do_start_worker(self, worker: Worker) -> AsyncIterator[dict[str, str]]:
        """Raises HostAwayError, HostRefusedError."""
        yield {}
        cluster = worker.cluster
        if len(cluster.workers) > MOST_WORKERS_EVER:
            raise HostRefusedError(f"Expected at most {MOST_WORKERS_EVER} workers in a cluster's life, found more.")
        env = self.get_worker_env(cluster)

        def make(at: Address | None) -> dict[str, Any]:
            config = cluster.config
            command = commands.worker_command(worker.name, config.worker_threads, config.worker_memory, at)
            return _question(cluster, worker.name, command, env)

        await self._members.start_worker(cluster.name, worker.name, make)

    def get_tls_paths(self, cluster: Cluster) -> tuple[str, str]:
        """Inside the island."""
        return commands.tls_paths()

    def get_scheduler_command(self, cluster: Cluster) -> list[str]:
        """Inside the island."""
        config = cluster.config
        return commands.scheduler_command(self.cluster_heartbeat_period, config.adaptive_period, config.idle_timeout)

    def get_worker_env(self, cluster: Cluster) -> dict[str, str]:
        """Without the cluster's API token."""
        return commands.worker_environment(super().get_worker_env(cluster))

    # Running

    async def do_check_clusters(self, clusters: list[Cluster]) -> list[bool]:
        """Does the scheduler of each run?"""
        return [await self._members.runs(cluster.name, "scheduler") for cluster in clusters]

    async def do_check_workers(self, workers: list[Worker]) -> list[bool]:
        """Does each run, or is another one started in its place?"""
        found = [await self._members.runs(worker.cluster.name, worker.name) for worker in workers]
        ended = [worker for worker, is_running in zip(workers, found, strict=True) if not is_running]
        replaced = {worker.name: worker.cluster.name for worker in ended if self._members.is_replaced(worker.name)}
        self._replace(replaced)
        return [is_running or worker.name in replaced for worker, is_running in zip(workers, found, strict=True)]

    def _replace(self, lost: dict[str, str]) -> None:
        """Workers (with their clusters) that a machine has lost: new ones take their place, on others."""
        for name, cluster_name in lost.items():
            cluster = self.db.get_cluster(cluster_name)
            worker = cluster.workers.get(name) if cluster is not None else None
            if worker is not None and worker.target == JobStatus.RUNNING:
                self.db.update_worker(worker, target=JobStatus.FAILED)
                self.queue.put(worker)

    async def look_at_schedulers(self) -> None:
        """A cluster whose scheduler has ended is over; dask-gateway itself would wait for missing heartbeats."""
        self._members.settle()
        for cluster in list(self.db.active_clusters()):
            if cluster.status == JobStatus.RUNNING and not await self._members.runs(cluster.name, "scheduler"):
                self._reasons.setdefault(cluster.name, "scheduler-ended")
                await self.stop_cluster(cluster.name, failed=True)

    async def on_cluster_heartbeat(self, cluster_name: str, msg: Any) -> None:
        """Only what may be believed of it. Raises PublicException."""
        cluster, island = self.db.get_cluster(cluster_name), self._islands.get(cluster_name)
        if cluster is None or island is None or cluster.target > JobStatus.RUNNING:
            return
        live = [worker for worker in cluster.workers.values() if worker.status < JobStatus.STOPPED]
        running = {worker.name for worker in live if worker.status == JobStatus.RUNNING}
        try:
            heard = believed(
                msg,
                known={worker.name for worker in live},
                running=running,
                most_workers=self._most_workers,
                address=island.address,
            )
        except HeartbeatError as error:
            raise PublicException(str(error)) from error
        await super().on_cluster_heartbeat(cluster_name, heard)

    async def forward_message_to_scheduler(self, cluster: models.Cluster, msg: dict[str, Any]) -> None:
        """Through the island's own socket, wherever the scheduler says it is. Raises PublicException."""
        island = self._islands.get(cluster.name)
        if cluster.status != models.ClusterStatus.RUNNING or island is None:
            raise PublicException(f"The cluster {cluster.name} is not running. Start another one.")
        try:
            async with (
                aiohttp.ClientSession(connector=CheckedUnixConnector(island.control), timeout=_CONTROL_TIMEOUT) as own,
                own.post(
                    "http://island/api/comm",
                    json=msg,
                    headers={"Authorization": f"token {cluster.token}"},
                    allow_redirects=False,
                ) as answer,
            ):
                is_taken = answer.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise PublicException("The cluster's scheduler does not answer. Close the cluster.") from error
        if not is_taken:
            raise PublicException("The cluster's scheduler did not take it. Close the cluster.")

    # Stopping

    async def end_all_but(self, workspaces: set[str], reason: str) -> None:
        """Stop the clusters of all workspaces but these."""
        for name, owner in list(self._owners.items()):
            if owner.workspace not in workspaces:
                self._reasons.setdefault(name, reason)
                await self.stop_cluster(name)

    async def _cluster_to_stopped(self, cluster: Cluster) -> None:
        """Record it, after its start, then do it."""
        if (starting := self._starting.get(cluster.name)) is not None:
            await starting.wait()
        if (owner := self._owners.get(cluster.name)) is not None:
            asked = "failed" if cluster.target == JobStatus.FAILED else "asked"
            await self._records.stopped(owner, cluster.name, self._reasons.get(cluster.name, asked))
        await super()._cluster_to_stopped(cluster)
        self._forget(cluster)

    async def do_stop_cluster(self, cluster: Cluster) -> None:
        """Everything in the island and the ways into it."""
        await self._members.stop_cluster(cluster.name)
        self._entrances.close(IslandEntrance(cluster.name))
        if (island := self._islands.pop(cluster.name, None)) is not None:
            await island.close()

    async def do_stop_worker(self, worker: Worker) -> None:
        """One worker."""
        await self._members.stop_worker(worker.cluster.name, worker.name)

    def _forget(self, cluster: Cluster) -> None:
        self._owners.pop(cluster.name, None)
        self._reasons.pop(cluster.name, None)


def _question(cluster: Cluster, member: str, command: list[str], env: dict[str, str]) -> dict[str, Any]:
    files = {commands.CERTIFICATE: cluster.tls_cert.decode(), commands.KEY: cluster.tls_key.decode()}
    return {"cluster": cluster.name, "member": member, "command": command, "env": env, "files": files}


def _terms(user: WorkspaceUser) -> Terms:
    given = user.caller.files.permit.workspace
    return Terms(user.name, user.caller.claims.username, given.memory_mb, given.processes, given.disk_mb)
