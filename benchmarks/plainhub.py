"""The baseline of ``workspace_start.py``: JupyterHub as anybody would set it up, with the same packages as a workspace.

JupyterHub with SimpleLocalProcessSpawner, DummyAuthenticator and node's configurable-http-proxy (from npm, into
the benchmark's own folder), on loopback. Its Python is the image's own packages without any sandbox, so both sides
start the same JupyterLab and the same kernel. Non-goal: being safe; everybody is let in, as root where we are root.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

PROXY = "configurable-http-proxy@5.3.0"
_CONFIG = """
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.command = {proxy!r}
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = "benchmark-only-password"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "{folder}/homes/{{username}}"
c.Spawner.cmd = ["{folder}/env/bin/python", "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"]
c.Spawner.environment = {{"LD_LIBRARY_PATH": "{base}/lib"}}
c.Spawner.default_url = "/lab"
c.JupyterHub.db_url = "sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie-secret"
c.JupyterHub.services = [{{"name": "benchmark", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [
    {{"name": "benchmark", "services": ["benchmark"], "scopes": ["list:users", "read:servers", "delete:servers"]}}
]
"""
TOKEN = "benchmark-only-token-0123456789"


class PlainHub:
    """Use as a context manager; ``folder`` is the benchmark's own."""

    def __init__(self, folder: Path, image: Path) -> None:
        self.folder = folder
        self._image = image
        self._base = Path(json.loads((image / "enclave-image.json").read_text())["base"])
        self.port, self._hub_port, self._api_port = (_free_port() for _ in range(3))
        self._hub: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._hub is not None
        return self._hub.pid

    def __enter__(self) -> PlainHub:
        self._make_environment()
        proxy = self._install_proxy()
        (self.folder / "homes").mkdir()
        config = self.folder / "jupyterhub_config.py"
        text = _CONFIG.format(
            port=self.port,
            hub_port=self._hub_port,
            api_port=self._api_port,
            proxy=proxy,
            folder=self.folder,
            base=self._base,
            token=TOKEN,
        )
        config.write_text(text)
        command = [self.folder / "env" / "bin" / "python", "-m", "jupyterhub", "-f", config]
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8"}
        with (self.folder / "hub.log").open("ab") as log:
            self._hub = subprocess.Popen(command, cwd=self.folder, env=env, stdout=log, stderr=log)
        ends = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < ends and self._hub.poll() is None, (self.folder / "hub.log").read_text()[-3000:]
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        if self._hub is not None:
            self._hub.terminate()
            self._hub.wait(30)

    def stop_server(self, username: str) -> None:
        """End it and wait for its end."""
        with self._api() as api:
            api.delete(f"/users/{username}/server").raise_for_status()
            while api.get(f"/users/{username}").json()["servers"]:
                time.sleep(0.05)

    def server_pid(self, username: str) -> int:
        """Of the single-user server."""
        wanted = f"HOME={self.folder}/homes/{username}".encode()
        for found in Path("/proc").glob("[0-9]*"):
            try:
                is_theirs = wanted in (found / "environ").read_bytes().split(b"\0")
                if is_theirs and b"jupyterhub.singleuser" in (found / "cmdline").read_bytes():
                    return int(found.name)
            except OSError:
                continue
        raise LookupError(f"expected a running server of {username}, found none")

    def log_in(self, client: httpx.Client, username: str) -> None:
        page = client.get(f"{self.url}/hub/login")
        xsrf = next(c.value for c in client.cookies.jar if c.name == "_xsrf")
        form = {"username": username, "password": "benchmark-only-password", "_xsrf": xsrf}
        client.post(f"{self.url}/hub/login?next=%2Fhub%2Fhome", data=form).raise_for_status()
        assert page.status_code == 200

    def _api(self) -> httpx.Client:
        headers = {"Authorization": f"token {TOKEN}"}
        return httpx.Client(base_url=f"{self.url}/hub/api", headers=headers, timeout=60)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/hub/api").status_code == 200
        except httpx.HTTPError:
            return False

    def _make_environment(self) -> None:
        """A virtual environment of nothing but the image's packages."""
        env = self.folder / "env"
        subprocess.run([self._base / "bin" / "python3.11", "-m", "venv", "--without-pip", env], check=True)
        packages = self._image / "lib" / "python3.11" / "site-packages"
        (env / "lib" / "python3.11" / "site-packages" / "image.pth").write_text(f"{packages}\n")
        for name in ("share", "etc"):
            if (self._image / name).exists():
                (env / name).symlink_to(self._image / name)

    def _install_proxy(self) -> list[str]:
        place = self.folder / "proxy"
        place.mkdir()
        quiet = ["--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts"]
        subprocess.run(["npm", "install", *quiet, "--prefix", place, PROXY], check=True, timeout=300)
        return ["node", str(place / "node_modules" / ".bin" / "configurable-http-proxy")]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: Any = probe.getsockname()
        return int(found[1])
