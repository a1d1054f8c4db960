"""``python -m enclave.workspaces.hub_app``: ends workspaces when the enclave stops, not when the hub restarts.

SIGTERM alone does not say which of the two it is: the supervisor leaves a mark before it stops everything. Without a
supervisor there is nobody to start the hub again, so its end is the end of the workspaces too.
"""

from __future__ import annotations

from typing import Any

from jupyterhub.app import JupyterHub
from jupyterhub.handlers.base import BaseHandler

from enclave.settings import get_settings
from enclave.workspaces.hub_words import WORDS, preferred_language

_JUPYTERHUBS = BaseHandler.template_namespace.fget


def _in_the_readers_language(handler: Any) -> dict[str, Any]:
    """JupyterHub's template variables, with our words in the language of the browser that asks."""
    found: dict[str, Any] = _JUPYTERHUBS(handler)
    return {**found, "words": WORDS[preferred_language(handler, get_settings().site_language)]}


class EnclaveHub(JupyterHub):  # type: ignore[misc]  # JupyterHub ships no types
    """See the module."""

    def init_handlers(self) -> None:
        """JupyterHub lets a template variable know the person, not the request: hence the property."""
        BaseHandler.template_namespace = property(_in_the_readers_language)
        super().init_handlers()

    async def cleanup(self) -> None:
        """Decide about the workspaces, then what JupyterHub does."""
        run = get_settings().run_dir
        self.cleanup_servers = (run / "stopping").exists() or not (run / "supervisor.lock").exists()
        await super().cleanup()


if __name__ == "__main__":
    EnclaveHub.launch_instance()
