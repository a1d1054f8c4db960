"""Real hub, host, islands, gateway, audit daemon, dask-gateway server and proxy; alice has a workspace."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from enclave_gateway_stand import PROJECT, GatewayStand  # type: ignore[import-not-found]
from enclave_test_stand import processes_below, wait_for  # type: ignore[import-not-found]

from audit.reader import read_entries
from enclave.processes import accepts_connections


class ClusterStand(GatewayStand):  # type: ignore[misc]
    """Use as a context manager."""

    def __init__(self, workers: int = 2) -> None:
        super().__init__(cluster_workers=str(workers))

    def prepare(self) -> None:
        super().prepare()
        self.service = self.start("enclave.clusters.serve")

    def open_workspace(self) -> None:
        self.alice = self.browser("alice")
        self.here = self.alice.start_workspace(PROJECT)
        (self.workspace,) = self.portal.started
        door = self.settings.run_dir / "ws" / self.workspace / "in" / "dask.sock"
        wait_for(lambda: accepts_connections(door), f"the door; see the logs in {self.root}")

    @property
    def islands(self) -> Path:
        found: Path = self.settings.run_dir / "ws" / self.workspace / "host" / "islands"
        return found

    def service_ports(self) -> list[int]:
        """TCP ports that the service and the proxy listen on."""
        below = processes_below([self.service.pid])
        inodes = {name for pid in below for name in _descriptors(pid)}
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        listening = [row for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]
        return [int(row[1].split(":")[1], 16) for row in listening]

    def dask_processes(self) -> list[int]:
        """Schedulers and workers of her workspace."""
        found = []
        for pid in self.processes_of(self.workspace):
            with contextlib.suppress(OSError):
                if b"distributed.cli.dask" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def events(self, event_type: str) -> list[dict[str, Any]]:
        try:
            leaves = [entry.leaf for entry in read_entries(self.settings.log_dir)]
        except Exception:
            return []
        return [leaf for leaf in leaves if leaf["type"] == event_type]

    def wait_event(self, event_type: str, **wanted: Any) -> dict[str, Any]:
        """The newest one with these fields."""

        def find() -> dict[str, Any] | None:
            found = [e for e in self.events(event_type) if all(e.get(name) == value for name, value in wanted.items())]
            return found[-1] if found else None

        found: dict[str, Any] = wait_for(find, f"{event_type} {wanted}")
        return found


def _descriptors(pid: int) -> list[str]:
    """What its descriptors lead to."""
    found = []
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(link.readlink().name)
    return found
