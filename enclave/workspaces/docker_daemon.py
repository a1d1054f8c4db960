"""The Docker daemon of this machine: reached over its unix socket, checked before a workspace trusts it, swept after.

Contract: every failure is a SandboxError with a sentence. Whoever may write to that socket is root on the machine, so
nothing but the workspace host, the hub and the supervisor ever opens it, and no sandbox sees it. Non-goal: daemons of
other machines (their processes could not be told apart, nor inherit a descriptor).
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import DockerException, ImageNotFound, NotFound

from enclave.sandbox import ImageNotThereError, SandboxError

CALL_SECONDS = 20
OLDEST_API = (1, 41)
PROVIDES = "enclave.provides"
"""Label of an image: the folders it brings along (separated by blanks), which are then not mounted from the machine."""
LABEL_HOME, LABEL_WORKSPACE, LABEL_HOST = "enclave.home", "enclave.workspace", "enclave.host"
_INSTEAD = "or choose ENCLAVE_ENGINE=bubblewrap"


@dataclass(frozen=True)
class Daemon:
    """What was found: the image's own id, so that what runs is what was looked at; what it provides; the driver."""

    image_id: str
    provides: tuple[Path, ...]
    makes_groups: bool
    """Control groups by path (driver ``cgroupfs``), so that one of ours can stand above all containers."""


@contextlib.contextmanager
def connected(host: str) -> Iterator[Any]:
    """A client of the daemon at ``host``. What goes wrong inside becomes a SandboxError as well."""
    if not host.startswith("unix:///"):
        raise SandboxError(f"Expected docker_host to be unix:///PATH, found {host}. Workspaces need a local daemon.")
    _knock(host)
    try:
        with _client(host, ".".join(map(str, OLDEST_API))) as client:
            newest = str(client.version(api_version=False)["ApiVersion"])
        with _client(host, newest) as client:
            yield client
    except (DockerException, requests.RequestException) as error:
        explanation = str(getattr(error, "explanation", None) or "")
        raise SandboxError(_refused(explanation) if explanation else _away(host)) from error


def _knock(host: str) -> None:
    """Is somebody there? Docker's client would leave its socket open when not."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(CALL_SECONDS)
        try:
            probe.connect(host.removeprefix("unix://"))
        except OSError as error:
            raise SandboxError(_away(host)) from error


def _client(host: str, version: str) -> contextlib.closing[Any]:
    """``version="auto"`` would ask while it is made, and leave its socket open when that fails."""
    return contextlib.closing(docker.APIClient(base_url=host, version=version, timeout=CALL_SECONDS))


def _away(host: str) -> str:
    return f"Expected Docker to answer on {host}, found no answer. Start it (systemctl start docker), {_INSTEAD}."


def _refused(explanation: str) -> str:
    return f"Docker refused: {explanation.strip().rstrip('.')}. Ask your admin to look at its log."


def look(client: Any, image: str) -> Daemon:
    """Everything a workspace relies on. Raises SandboxError."""
    version = tuple(int(part) for part in str(client.version()["ApiVersion"]).split("."))
    if version < OLDEST_API:
        raise SandboxError(f"Expected Docker 20.10 or newer, found an older one. Upgrade it, {_INSTEAD}.")
    facts = client.info()
    options = {option.split(",")[0] for option in facts.get("SecurityOptions") or ()}
    if "name=seccomp" not in options:
        raise SandboxError(
            f"Expected a Docker that filters system calls (seccomp), found none. Use another, {_INSTEAD}."
        )
    if options & {"name=userns", "name=rootless"}:
        raise SandboxError(
            "Expected a Docker without user remapping (homes belong to accounts of this machine), found one with it. "
            f"Take userns-remap out of its configuration, {_INSTEAD}."
        )
    found = _image(client, image)
    labels = found["Config"].get("Labels") or {}
    provides = tuple(Path(part) for part in labels.get(PROVIDES, "").split())
    return Daemon(found["Id"], provides, facts.get("CgroupDriver") == "cgroupfs")


def _image(client: Any, image: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = client.inspect_image(image)
    except ImageNotFound as error:
        raise ImageNotThereError(
            f"Expected the image {image} in Docker, found none. Build it: workspace_images/python/build-docker {image}"
        ) from error
    if found["Config"].get("Volumes"):
        raise SandboxError(f"Expected an image without VOLUME (it would be writable), found one in {image}.")
    return found


def check(host: str, image: str) -> Daemon:
    """Can a workspace be started here? Raises SandboxError with what to do."""
    with connected(host) as client:
        return look(client, image)


def sweep(host: str, home: Path, workspace: str | None = None, seconds: float = 15.0) -> int:
    """Remove what is left of this enclave's containers (or of one workspace's); how many. Raises SandboxError.

    Waits at most ``seconds`` until they are gone, and with them their control groups.

    Containers end with their host by themselves; this is for what a stopped daemon or a hanging keeper has left.
    """
    labels = [f"{LABEL_HOME}={home}"] + ([f"{LABEL_WORKSPACE}={workspace}"] if workspace else [])
    with connected(host) as client:
        found = client.containers(all=True, filters={"label": labels})
        for container in found:
            remove(client, container["Id"])
        ends = time.monotonic() + seconds
        while client.containers(all=True, filters={"label": labels}) and time.monotonic() < ends:
            time.sleep(0.1)
        return len(found)


def remove(client: Any, container: str) -> None:
    """End and remove one; no error when it is gone or just going."""
    try:
        client.remove_container(container, force=True, v=True)
    except NotFound:
        return
    except docker.errors.APIError as error:
        if error.status_code != 409:  # 409: its removal is under way
            raise
