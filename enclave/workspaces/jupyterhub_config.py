"""JupyterHub's configuration: unix sockets, the edge as proxy, the portal for identity, bubblewrap.

Read by JupyterHub from ``enclave.workspaces.serve``, whose working directory is the enclave's root: socket URLs here
are relative, because JupyterHub lower-cases unix URLs and socket paths must stay short.
"""

from __future__ import annotations

from pathlib import Path

from enclave import keys
from enclave.settings import get_settings
from enclave.workspaces import authenticator
from enclave.workspaces.standing import LOOK_JITTER, LOOK_SECONDS

c = get_config()  # type: ignore[name-defined]  # noqa: F821  (JupyterHub provides it)
settings = get_settings()

c.JupyterHub.bind_url = settings.hub_url
c.JupyterHub.hub_bind_url = "http+unix://run%2Fhub.sock"
c.JupyterHub.hub_connect_url = "http+unix://run%2Fhub.sock"
c.JupyterHub.hub_socket_mode = 0o600
c.JupyterHub.db_url = f"sqlite:///{settings.root}/hub/jupyterhub.sqlite"
c.JupyterHub.cookie_secret = keys.cookie_secret(settings)
c.JupyterHub.cookie_max_age_days = 0.5
# Over TLS no sibling origin (a workspace) can plant the hub's cookies.
c.JupyterHub.cookie_host_prefix_enabled = settings.workspace_origins and settings.scheme == "https"
c.JupyterHub.proxy_class = "jupyterhub.proxy.ConfigurableHTTPProxy"
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http+unix://run%2Fedge.sock"
c.ConfigurableHTTPProxy.auth_token = keys.proxy_auth_token(settings)

c.JupyterHub.authenticator_class = "enclave.workspaces.authenticator.PortalAuthenticator"
authenticator.configure(c, settings)

c.JupyterHub.spawner_class = "enclave.workspaces.spawner.WorkspaceSpawner"
c.Spawner.port = 8888
c.Spawner.default_url = "/lab"
c.Spawner.poll_interval = LOOK_SECONDS
c.Spawner.poll_jitter = LOOK_JITTER
c.Spawner.start_timeout = 90
c.Spawner.http_timeout = 60
c.JupyterHub.allow_named_servers = True
c.JupyterHub.shutdown_on_logout = True
c.JupyterHub.last_activity_interval = 60
c.JupyterHub.default_url = "/hub/home"
c.JupyterHub.template_paths = [str(Path(__file__).parent / "templates")]
c.JupyterHub.template_vars = {
    "portal_url": settings.portal_url,
    "hospital": settings.hospital,
}

c.JupyterHub.services = [{"name": "runner", "api_token": keys.hub_api_token(settings)}]
c.JupyterHub.load_roles = [
    {
        "name": "runner",
        "description": "Stops workspaces when a person or a project is revoked.",
        "scopes": ["list:users", "read:users", "read:servers", "delete:servers"],
        "services": ["runner"],
    }
]
