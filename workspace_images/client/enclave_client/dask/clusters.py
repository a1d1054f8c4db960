"""Where Dask runs: worker processes inside the workspace by default, a dask-gateway where the site has one.

A workspace has no network, so its workers listen on its own loopback interface, which nobody else reaches, and there is
no dashboard. Memory: what the workspace may use is shared out between the workers.
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
_SHARE = 0.8
"""Of the workspace's memory: the notebook needs some as well."""


def cluster(workers: int | None = None) -> Any:
    """A ``distributed.LocalCluster`` of processes inside this workspace; close it when done.

    ``workers``: one process with one thread each; by default as many as there are cores, at most four.
    """
    from distributed import LocalCluster

    return LocalCluster(**_inside(workers))


def client(workers: int | None = None) -> Any:
    """A ``distributed.Client``; ``with client(): …`` ends it together with its cluster.

    Of a new cluster in this workspace, or of the dask-gateway that ENCLAVE_DASK_GATEWAY names. Raises EnclaveError.
    """
    address = os.environ.get(_GATEWAY)
    if address:
        return _remote(address, workers)
    from distributed import Client

    return Client(**_inside(workers))


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


def _remote(address: str, workers: int | None) -> Any:
    try:
        from dask_gateway import Gateway
    except ImportError as error:
        raise EnclaveError(
            f"{_GATEWAY} names a dask-gateway, and the package dask-gateway is not in this image. Ask your admin to "
            f"add it to workspace_images/python/requirements.in, or unset {_GATEWAY} to work inside the workspace."
        ) from error
    started = Gateway(address).new_cluster()
    started.scale(workers or 2)
    return started.get_client()


def _memory_of_each(workers: int) -> int | str:
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == resource.RLIM_INFINITY or soft <= _RESERVED:
        return "auto"
    return int((soft - _RESERVED) * _SHARE / workers)
