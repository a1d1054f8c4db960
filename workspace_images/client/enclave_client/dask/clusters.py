"""Where Dask runs: worker processes inside the workspace, or on an island beside it where the site offers clusters.

A workspace has no network, so workers inside listen on its own loopback interface, which nobody else reaches, and there
is no dashboard. Memory: what the workspace may use is shared out between the workers. Workers on an island have a
sandbox each (``ENCLAVE_DASK_GATEWAY`` names the way there); they count into the workspace's memory all the same.
"""

from __future__ import annotations

import logging
import os
import resource
from pathlib import Path
from typing import Any

from enclave_client.errors import EnclaveError

_GATEWAY = "ENCLAVE_DASK_GATEWAY"
_RESERVED = 1536 << 20
"""What the sandbox allows above the permit's memory, for what runtimes reserve and never touch."""
_USUAL = 2
_SHARE = 0.8
"""Of the workspace's memory: the notebook needs some as well."""


def cluster(workers: int | None = None) -> Any:
    """A ``distributed.LocalCluster`` or a ``dask_gateway.GatewayCluster``; close it when done. Raises EnclaveError.

    ``workers``: processes with one thread each; by default inside as many as there are cores, at most four, else two.
    """
    path = _find_service()
    if path is not None:
        return _remote().new_cluster(path, workers or _USUAL)
    from distributed import LocalCluster

    return LocalCluster(**_inside(workers))


def client(workers: int | None = None) -> Any:
    """A ``distributed.Client`` of a new cluster; ``with client(): …`` ends both. Raises EnclaveError."""
    path = _find_service()
    if path is not None:
        return _remote().new_client(path, workers or _USUAL)
    from distributed import Client

    return Client(**_inside(workers))


def _find_service() -> str | None:
    """The socket of the clusters' service; None where there is none."""
    address = os.environ.get(_GATEWAY)
    if not address:
        return None
    path = address.removeprefix("unix:")
    if path == address or not path.startswith("/"):
        raise EnclaveError(
            f"Expected a socket (unix:/…) in {_GATEWAY}, found something else. Unset it to work inside the workspace."
        )
    return path


def _inside(workers: int | None) -> dict[str, Any]:
    """Arguments of a cluster inside the workspace."""
    count = workers or max(1, min(4, len(os.sched_getaffinity(0))))
    return {
        "n_workers": count,
        "threads_per_worker": 1,
        "processes": True,
        "silence_logs": logging.CRITICAL,  # a worker that ends late or hears no scheduler while both end is no news
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",  # where the scheduler answers to health checks; it always listens somewhere
        "scheduler_kwargs": {"dashboard": False},
        "memory_limit": _memory_of_each(count),
        "local_directory": str(Path.home() / ".cache" / "dask"),
    }


def _remote() -> Any:
    try:
        from enclave_client.dask import remote
    except ImportError as error:
        raise EnclaveError(
            f"{_GATEWAY} names a dask-gateway, and the package dask-gateway is not in this image. Ask your admin to "
            f"build the image anew, or unset {_GATEWAY} to work inside the workspace."
        ) from error
    return remote


def _memory_of_each(workers: int) -> int | str:
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == resource.RLIM_INFINITY or soft <= _RESERVED:
        return "auto"
    return int((soft - _RESERVED) * _SHARE / workers)
