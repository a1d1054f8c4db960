"""JupyterLab as it runs in a workspace: listens on an inherited socket, opens no port and knows exactly one person.

Who may reach the socket is decided by the edge before a byte arrives here (ADR 0004), so this server asks nobody to log
in. Kernels run in sandboxes of their own (``enclave_jupyter.provisioner``) and cannot touch this process; what must
hold even if they could is enforced by edge and gateway.
"""

from __future__ import annotations

import os
import socket
import sys

# Half of a start was jsonschema building a parser for the formats "iri" and "duration" (0.9 of 1.8 s of processor
# time), which no schema of Jupyter uses. Without these packages it leaves the two formats unchecked, as it documents.
sys.modules.update(dict.fromkeys(("rfc3987_syntax", "isoduration")))

from jupyter_server.auth import IdentityProvider, User  # noqa: E402
from jupyter_server.serverapp import ServerApp  # noqa: E402
from jupyterlab import commands  # noqa: E402

# Where there is a node, importing LabApp asks it for yarn's settings (0.2 s); nothing is ever built in a workspace.
commands._yarn_config = lambda logger: {"yarn config": {}, "npm config": {}}

from jupyterlab.labapp import LabApp  # noqa: E402


class ResearcherIdentity(IdentityProvider):
    """Every request that arrives belongs to the person this workspace was started for."""

    def get_user(self, handler: object) -> User:
        """The person named by ``ENCLAVE_USERNAME``."""
        name = os.environ["ENCLAVE_USERNAME"]
        return User(username=name, name=name, display_name=name)

    @property
    def auth_enabled(self) -> bool:
        """The edge has done it."""
        return False

    def validate_security(self, app: ServerApp, ssl_options: object = None) -> None:
        """No advice about passwords: there is no port to protect."""


class InheritedSocketServer(ServerApp):
    """A Jupyter server that serves the listening descriptor named by ``ENCLAVE_LISTEN_FD`` and nothing else."""

    name = "jupyter-server"
    server_name = os.environ.get("ENCLAVE_BASE_URL", "/").rstrip("/").rpartition("/")[2]
    """JupyterLab reads it for the address of its "restart" button."""

    def migrate_config(self) -> None:
        """Nothing to take over from old Jupyter versions; it would write into the read-only configuration."""

    def _find_http_port(self) -> None:
        """No TCP port is wanted, so none is looked for."""

    def _bind_http_server(self) -> bool:
        listening = socket.socket(fileno=int(os.environ["ENCLAVE_LISTEN_FD"]))
        listening.setblocking(False)
        self.http_server.add_socket(listening)
        return True


class WorkspaceLab(LabApp):
    """JupyterLab on an ``InheritedSocketServer``."""

    serverapp_class = InheritedSocketServer

    @classmethod
    def get_extension_package(cls) -> str:
        """The extension to load is JupyterLab's; this module only starts it."""
        return "jupyterlab"
