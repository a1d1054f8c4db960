"""How a cluster's scheduler and workers are started inside their island. Pure.

One scheduler per island at a fixed port, its own HTTP API (scale, adapt) at another, both on the island's loopback; no
dashboard, no nanny: a worker that ends is replaced by a new one, and its memory is the control group's business.
"""

from __future__ import annotations

from collections.abc import Mapping

from enclave.clusters.relay import Address, host_of

API_URL = "http://127.0.0.1:8000/api"
SCHEDULER_PORT, CONTROL_PORT = 8786, 8787
CERTIFICATE, KEY = "dask.crt", "dask.pem"
_FILES = "/run/dask"
_PYTHON = "/opt/image/bin/python3.11"
_LOCAL = ("--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0")
"""Where they answer to health checks even so; its usual port is the one that ``CONTROL_PORT`` takes."""


def tls_paths() -> tuple[str, str]:
    """Where the cluster's certificate and key are inside."""
    return f"{_FILES}/{CERTIFICATE}", f"{_FILES}/{KEY}"


def scheduler_command(heartbeat_seconds: float, adaptive_seconds: float, idle_seconds: float) -> list[str]:
    """The scheduler, with dask-gateway's part in it."""
    command = [_PYTHON, "-m", "distributed.cli.dask_scheduler", "--protocol", "tls", *_LOCAL]
    command += ["--port", str(SCHEDULER_PORT), "--preload", "dask_gateway.scheduler_preload"]
    command += ["--dg-api-address", f"127.0.0.1:{CONTROL_PORT}", "--dg-heartbeat-period", f"{heartbeat_seconds:g}"]
    return [*command, "--dg-adaptive-period", f"{adaptive_seconds:g}", "--dg-idle-timeout", f"{idle_seconds:g}"]


def worker_command(name: str, threads: int, memory_bytes: int, at: Address | None = None) -> list[str]:
    """A worker that joins it; at a fixed address of its part where the cluster is on several machines (ADR 32)."""
    command = [_PYTHON, "-m", "distributed.cli.dask_worker", f"tls://127.0.0.1:{SCHEDULER_PORT}", *_LOCAL]
    command += ["--host", host_of(at[0]), "--worker-port", str(at[1])] if at else []
    return [*command, "--no-nanny", "--name", name, "--nthreads", str(threads), "--memory-limit", str(memory_bytes)]


def worker_environment(scheduler: Mapping[str, str]) -> dict[str, str]:
    """A worker has nothing to say to the server, so it gets no word to say it with."""
    return {name: value for name, value in scheduler.items() if not name.startswith("DASK_GATEWAY_API_")}
