"""The whole environment of a workspace's programs: what its host sets, and nothing of the machine's. No secret."""

from __future__ import annotations

from enclave.domain.ids import Username
from enclave.workspaces.host_plan import INSIDE_IPC
from enclave.workspaces.launch import HOME, RUN


def kernel_environment(username: Username, *, clusters: bool = False) -> dict[str, str]:
    """A kernel's; with ``clusters`` it is told where to ask for a Dask cluster."""
    door = {"ENCLAVE_DASK_GATEWAY": f"unix:{RUN}/dask.sock"} if clusters else {}
    return {
        "HOME": str(HOME),
        "USER": username,
        "PATH": "/opt/image/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "LD_LIBRARY_PATH": "/opt/python/lib",
        "PYTHONPATH": "/opt/enclave_client",
        "PYTHONDONTWRITEBYTECODE": "1",
        "ENCLAVE_TOKEN_FILE": str(RUN / "token"),
        "ENCLAVE_GATEWAY": f"grpc+unix://{RUN}/gateway.sock",
        "ENCLAVE_USERNAME": username,
        "JUPYTER_RUNTIME_DIR": "/tmp/jupyter",  # noqa: S108  (the sandbox's own /tmp)
        "MPLCONFIGDIR": "/tmp/matplotlib",  # noqa: S108
        "OMP_NUM_THREADS": "4",
        **door,
    }


def server_environment(username: Username, base_url: str, listen_fd: int) -> dict[str, str]:
    """The Jupyter server's."""
    return {
        **kernel_environment(username),
        "PYTHONPATH": "/opt/enclave_client:/opt/enclave_server",
        "ENCLAVE_BASE_URL": base_url,
        "ENCLAVE_LISTEN_FD": str(listen_fd),
        "ENCLAVE_IPC": str(INSIDE_IPC),
        "JUPYTER_CONFIG_DIR": "/opt/enclave_server/jupyter",
        "JUPYTERLAB_SETTINGS_DIR": str(HOME / ".jupyter/lab/user-settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(HOME / ".jupyter/lab/workspaces"),
    }
