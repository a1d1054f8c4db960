"""``python -m enclave.workspaces.serve``: become JupyterHub with our configuration, in the enclave's root folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from enclave.settings import Settings, get_settings

CONFIG = Path(__file__).with_name("jupyterhub_config.py")


def hub_environment(settings: Settings, given: dict[str, str]) -> dict[str, str]:
    """The hub's environment: paths made absolute, because its working directory is another one."""
    env = {**given, "ENCLAVE_HOME": str(settings.root)}
    file = Path(given.get("ENCLAVE_CONFIG", "enclave.toml")).absolute()
    if file.exists():
        env["ENCLAVE_CONFIG"] = str(file)
    return env


def main() -> None:
    """Never returns: this process becomes the hub."""
    settings = get_settings()
    folder = settings.root / "hub"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    settings.hub_socket.unlink(missing_ok=True)
    env = hub_environment(settings, dict(os.environ))
    os.umask(0o077)
    os.chdir(settings.root)
    os.execve(sys.executable, [sys.executable, "-m", "enclave.workspaces.hub_app", "-f", str(CONFIG)], env)  # noqa: S606


if __name__ == "__main__":
    main()
