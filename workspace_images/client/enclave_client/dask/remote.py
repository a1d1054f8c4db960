"""Clusters outside of the notebook's sandbox, asked for at the enclave's dask-gateway with the workspace's token.

One socket is the way to both: its service tells requests for the API from encrypted connections to a scheduler. Only
``clusters`` imports this module, and only where there is such a service.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
from dask_gateway import Gateway, GatewayClusterError
from dask_gateway.auth import GatewayAuth
from dask_gateway.client import GatewayServerError
from distributed import Client

from enclave_client.dask.door import open_door
from enclave_client.errors import EXPIRED, EnclaveError
from enclave_client.session import read_token

_AWAY = (
    "The service that starts Dask clusters does not answer. Wait a moment and run the cell again; if it lasts, work "
    "inside the workspace (unset ENCLAVE_DASK_GATEWAY) and tell your admin."
)
_NOT_STARTED = "Ask for fewer workers, close clusters that you no longer need, or tell your admin the time of day."


class TokenAuth(GatewayAuth):  # type: ignore[misc]  # dask-gateway ships no types
    """The token as it is now: it is renewed while the workspace runs."""

    def pre_request(self, resp: Any) -> tuple[dict[str, str], None]:
        """Asked after each answer 401, which every request without a token gets first."""
        return {"Authorization": f"Bearer {read_token()}"}, None


class RemoteClient(Client):  # type: ignore[misc]
    """Ends its cluster when it is closed."""

    def __init__(self, cluster: Any) -> None:
        self._enclave_cluster = cluster
        super().__init__(cluster, security=cluster.security, loop=cluster.loop)

    def close(self, *args: Any, **options: Any) -> Any:
        """See ``distributed.Client.close``."""
        try:
            return super().close(*args, **options)
        finally:
            self._enclave_cluster.close()


def new_cluster(path: str, workers: int) -> Any:
    """A ``GatewayCluster`` of ``workers``, of the service at the socket ``path``. Raises EnclaveError."""
    address = f"127.0.0.1:{open_door(path)}"
    with _as_sentences():
        gateway = Gateway(f"http://{address}", proxy_address=f"gateway://{address}", auth=TokenAuth())
        with gateway:
            started = gateway.new_cluster()
        try:
            started.scale(workers)
        except BaseException:
            started.close()
            raise
    return started


def new_client(path: str, workers: int) -> Any:
    """A client of such a cluster; they end together. Raises EnclaveError."""
    cluster = new_cluster(path, workers)
    try:
        with _as_sentences():
            return RemoteClient(cluster)
    except BaseException:
        cluster.close()
        raise


@contextmanager
def _as_sentences() -> Iterator[None]:
    try:
        yield
    except aiohttp.ClientResponseError as error:
        raise EnclaveError(EXPIRED if error.status in (401, 403) else _AWAY) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise EnclaveError(_AWAY) from error
    except (GatewayClusterError, GatewayServerError, ValueError) as error:
        said = str(error).strip().rstrip(".")
        raise EnclaveError(f"The cluster was not started: {said}. {_NOT_STARTED}") from error
