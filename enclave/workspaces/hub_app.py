"""``python -m enclave.workspaces.hub_app``: ends workspaces when the enclave stops, not when the hub restarts.

SIGTERM alone does not say which of the two it is: the supervisor leaves a mark before it stops everything. Without a
supervisor there is nobody to start the hub again, so its end is the end of the workspaces too.
"""

from __future__ import annotations

from jupyterhub.app import JupyterHub

from enclave.settings import get_settings


class EnclaveHub(JupyterHub):  # type: ignore[misc]  # JupyterHub ships no types
    """See the module."""

    async def cleanup(self) -> None:
        """Decide about the workspaces, then what JupyterHub does."""
        run = get_settings().run_dir
        self.cleanup_servers = (run / "stopping").exists() or not (run / "supervisor.lock").exists()
        await super().cleanup()


if __name__ == "__main__":
    EnclaveHub.launch_instance()
