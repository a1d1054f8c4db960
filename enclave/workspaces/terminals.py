"""Terminals, where the data permit allows them: what their sandboxes and the Jupyter server need for it (ADR 31).

A terminal's sandbox is a kernel's, started over the same channel; it runs ``workspace_images/terminal/terminal.py``.
Whether somebody reaches one is the edge's decision, by the permit as it stands then.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from enclave.sandbox import Bind
from enclave.settings import REPOSITORY
from enclave.workspaces.host_plan import HostPlan

_FOLDER = Bind(REPOSITORY / "workspace_images" / "terminal", Path("/opt/enclave_terminal"))
PROGRAM = str(_FOLDER.target / "terminal.py")
"""As the server asks for it."""
_SERVERS = {"ENCLAVE_TERMINALS": "1", "JUPYTER_CONFIG_PATH": "/opt/enclave_server/terminals"}
"""The server's extension takes requests, and JupyterLab shows its own one."""


def with_terminals(plan: HostPlan, allowed: bool) -> HostPlan:
    """The plan with terminals, if they are allowed."""
    if not allowed:
        return plan
    server = replace(plan.server, env={**plan.server.env, **_SERVERS})
    return replace(plan, server=server, kernel=replace(plan.kernel, binds=(*plan.kernel.binds, _FOLDER)))
