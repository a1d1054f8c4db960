"""From a grant to a plan for the workspace host: folders, account number, listening socket, mounts (no portal, no hub).

Server and kernels see ``/run/enclave`` (read-only: gateway socket, token, limits), the home and the image; the server
also the folders of the kernels' sockets, a kernel only its own. The listening socket is opened out here, in a folder no
sandbox sees, and inherited as a descriptor: so there is nothing that could be replaced by a link. Non-goal: starting
anything (``enclave.workspaces.host`` does).
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from enclave.domain.ids import ProjectId, Username, WorkspaceId
from enclave.files import remove_tree, write_atomically
from enclave.listening import listen_in
from enclave.sandbox import Bind, SandboxProfile
from enclave.settings import REPOSITORY, Settings
from enclave.workspaces import kernel_images
from enclave.workspaces.host_plan import INSIDE_IPC, HostPlan
from enclave.workspaces.host_process import STATE
from enclave.workspaces.shared_mount import LAUNCHER, SharedMount

HOME = Path("/home/researcher")
RUN = Path("/run/enclave")
OUTBOX = "outbox"
_SOURCES = REPOSITORY / "workspace_images"
_FIRST_UID = 200000
_LAST_UID = 299999


class ImageMissingError(Exception):
    """The workspace image is not built; says how to build it."""


@dataclass(frozen=True)
class Places:
    """Where one workspace's files are on the host. ``socket`` is short and lower-case whatever the root is called."""

    root: Path
    workspace: WorkspaceId

    @property
    def folder(self) -> Path:
        """``run/ws/<workspace>``: root's own."""
        return self.root / "run" / "ws" / self.workspace

    @property
    def inside(self) -> Path:
        """What the workspace sees as ``/run/enclave``."""
        return self.folder / "in"

    @property
    def host(self) -> Path:
        """What it never sees: its listening socket, its host's state and its server's log."""
        return self.folder / "host"

    @property
    def ipc(self) -> Path:
        """A folder per kernel, for its connection file and sockets. The server sees all of them read-only, so that it
        can put nothing in a kernel's folder's place before the host mounts it."""
        return self.folder / "ipc"

    @property
    def state(self) -> Path:
        return self.host / STATE

    @property
    def token(self) -> Path:
        return self.inside / "token"

    @property
    def server_log(self) -> Path:
        return self.host / "server.log"

    @property
    def listening_socket(self) -> Path:
        return self.host / "j.sock"

    @property
    def url(self) -> str:
        """Relative to the root: JupyterHub lower-cases unix URLs, so an absolute path might not survive."""
        return f"http+unix://run%2fws%2f{self.workspace}%2fhost%2fj.sock"

    def create(self) -> None:
        """Make the folders."""
        folders = ((self.folder, 0o700), (self.inside, 0o755), (self.host, 0o700), (self.ipc, 0o755))
        for path, mode in folders:
            path.mkdir(parents=True, exist_ok=True, mode=mode)
            path.chmod(mode)

    def remove(self) -> None:
        """Take all away, whatever kernels made of their folders; no error when it is gone already."""
        with suppress(OSError):
            remove_tree(self.folder)

    def write_token(self, token: str) -> None:
        """Replace the token. The folder above keeps everybody but this workspace out."""
        write_atomically(self.token, token.encode(), mode=0o644)


def listen(places: Places) -> socket.socket:
    """A listening socket in the host folder, closed by the caller once the sandbox has inherited it."""
    return listen_in(places.host, "j.sock")


def allocate_uid(settings: Settings, project: ProjectId, username: Username) -> int:
    """The account number of this person in this project: the same for ever, shared with nobody (200000 + n)."""
    folder = settings.workspaces_dir
    folder.mkdir(parents=True, exist_ok=True, mode=0o711)
    register = folder / "uids.json"
    with (folder / ".uids.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known: dict[str, int] = json.loads(register.read_bytes()) if register.exists() else {}
        name = f"{project}/{username}"
        if name not in known:
            known[name] = max(known.values(), default=_FIRST_UID - 1) + 1
            if known[name] > _LAST_UID:
                raise OSError("Expected a free account number for a workspace, found all 100,000 in use.")
            write_atomically(register, json.dumps(known, indent=1, sort_keys=True).encode(), mode=0o600)
        return known[name]


def prepare_home(
    settings: Settings,
    project: ProjectId,
    username: Username,
    uid: int,
    fill: Callable[[Path], object] = lambda home: None,
) -> Path:
    """The home with its outbox, owned by ``uid``; ``fill`` puts into a new one what waits there.

    A half-made home never gets its final name: what failed is done again at the next start. Raises OSError.
    """
    above = settings.workspaces_dir / project
    above.mkdir(parents=True, exist_ok=True, mode=0o711)
    home = above / username
    if home.exists():
        return home
    making = above / f".{username}.making"
    shutil.rmtree(making, ignore_errors=True)
    (making / OUTBOX).mkdir(parents=True)
    making.chmod(0o700)
    for path in (making / OUTBOX, making):
        give_to(path, uid)
    fill(making)
    making.rename(home)
    return home


def give_to(path: Path, uid: int) -> None:
    """Make ``uid`` the owner, when we may; a link is changed itself, never what it points to."""
    if os.geteuid() == 0:
        os.chown(path, uid, uid, follow_symlinks=False)


def base_python(image: Path) -> Path:
    """The Python installation the image was built on. Raises ImageMissingError."""
    try:
        record = json.loads((image / "enclave-image.json").read_bytes())
    except OSError as error:
        raise ImageMissingError(
            "Expected the workspace image, found none. Build it: .venv/bin/python workspace_images/python/build"
        ) from error
    return Path(record["base"])


RESERVED_MB = 1536
"""Writable memory that a kernel with pandas, pyarrow and an ADBC driver maps without touching it (measured: 1.6 GB
mapped at 0.25 GB in use; 4.1 GB of address space, which is why RLIMIT_AS at 4 GB killed kernels at random)."""


def profile(
    settings: Settings,
    places: Places,
    home: Path,
    env: dict[str, str],
    *,
    uid: int,
    memory_mb: int,
    processes: int,
    disk_mb: int,
    shared: SharedMount | None = None,
) -> SandboxProfile:
    """What server and kernels have in common. It starts in ``/``: bubblewrap may not enter a home of mode 0700."""
    return SandboxProfile(
        binds=(
            *_programs(settings),
            Bind(_SOURCES / "client", Path("/opt/enclave_client")),
            Bind(_SOURCES / "server" / "ipython_config.py", Path("/etc/ipython/ipython_config.py")),
            Bind(places.inside, RUN),
            Bind(home, HOME, writable=True),
            *(() if shared is None else shared.binds(HOME)),
            *(kernel_images.root_binds(settings.image_root) if settings.image_root else ()),
        ),
        env=env,
        uid=uid,
        data_mb=memory_mb + RESERVED_MB,
        processes=processes,
        files_mb=disk_mb,
        user_name="researcher",
    )


def _programs(settings: Settings) -> tuple[Bind, ...]:
    """Environment and Python of this machine; a Docker image may have both. Raises ImageMissingError."""
    if settings.engine == "docker" and not settings.image.exists():
        return ()
    return (Bind(settings.image, Path("/opt/image")), Bind(base_python(settings.image), Path("/opt/python")))


def plan(
    settings: Settings,
    places: Places,
    home: Path,
    kernel: SandboxProfile,
    server_env: dict[str, str],
    *,
    memory_mb: int,
    disk_mb: int,
    ends_at: float,
    usage: Path | None = None,
    shared: SharedMount | None = None,
) -> HostPlan:
    """What the workspace host is told: the kernel's sandbox, and the server's made from it."""
    return HostPlan(
        server=_server_profile(settings, places, kernel, server_env),
        kernel=kernel,
        ipc=places.ipc,
        uid=kernel.uid if kernel.uid is not None else os.geteuid(),
        state=places.state,
        log=places.server_log,
        anchor=settings.run_dir / "supervisor.lock",
        home=home,
        inside=places.inside,
        group=control_group(places.workspace),
        memory_mb=memory_mb,
        disk_mb=disk_mb,
        ends_at=ends_at,
        other_kernels=kernel_images.other_kernels(settings, kernel),
        usage=usage,
        shared=shared.files if shared is not None and shared.is_measured else None,
        shared_mb=shared.megabytes if shared is not None else 0,
        launcher=() if shared is None else LAUNCHER,
        clusters=settings.cluster_workers,
    )


def _server_profile(settings: Settings, places: Places, kernel: SandboxProfile, env: dict[str, str]) -> SandboxProfile:
    own = (
        Bind(_SOURCES / "server", Path("/opt/enclave_server")),
        Bind(_SOURCES / "lab", Path("/opt/enclave_lab")),
        Bind(places.ipc, INSIDE_IPC),
    )
    offered, offered_env = kernel_images.kernelspecs(settings)
    return replace(
        kernel,
        binds=(*kernel.binds, *own, *offered),
        env={**env, **offered_env},
        pass_fds=(int(env["ENCLAVE_LISTEN_FD"]),),
    )


def control_group(workspace: WorkspaceId) -> str:
    """Name of a workspace's control group."""
    return f"enclave-{workspace}"


def log_tail(places: Places, characters: int = 2000) -> str:
    """The end of the workspace server's log (start-up messages; outputs are never in it)."""
    try:
        with places.server_log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4 * characters))  # a server may have written any amount
            return log.read(4 * characters).decode(errors="replace")[-characters:]
    except OSError:
        return ""
