"""What keeps clusters from working on this machine, in a sentence, for ``enclave doctor``."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from enclave.settings import Settings


def find_proxy() -> Path | None:
    """dask-gateway's proxy, a program inside its package."""
    package = importlib.util.find_spec("dask_gateway_server")
    if package is None or package.origin is None:
        return None
    program = Path(package.origin).parent / "proxy" / "dask-gateway-proxy"
    return program if os.access(program, os.X_OK) else None


def find_obstacle(settings: Settings) -> str:
    """Empty when all is well or clusters are off."""
    if not settings.cluster_workers:
        return ""
    if settings.engine != "bubblewrap":
        return "cluster_workers is set and the engine is docker, which has no islands yet"
    if os.geteuid() != 0:
        return "cluster_workers is set and this is not root, who alone can join a network namespace"
    if shutil.which("nsenter") is None:
        return "nsenter is not on this machine"
    if find_proxy() is None:
        return "dask-gateway's proxy is not installed with its package"
    if not list(settings.image.glob("lib/python3*/site-packages/dask_gateway")):
        return f"the workspace image at {settings.image} has no dask-gateway"
    return ""
