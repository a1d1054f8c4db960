"""The front's Flight sockets: one per running workspace, one per active project for tools on the machine; and the TCP
port, when it is set, which belongs to no project.

``run/ws/<workspace>/in/gateway.sock`` may be connected to by the workspace's own uid (0666; only that workspace has
the folder mounted). ``run/<project>/gateway.sock`` is for the enclave's own account (0600 in a 0700 folder). What is
kept on disk is ``run/ws/<workspace>/workspace.json``, so that a restarted front opens the same sockets again.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

import structlog

from enclave.access import AccessFiles
from enclave.domain.ids import PROJECT_ID, PersonId, ProjectId, WorkspaceId
from enclave.domain.projects import ProjectState
from enclave.files import write_atomically
from enclave.gateway.admission import Door
from enclave.gateway.flight_server import GatewayFlightServer
from enclave.gateway.partitions import Partitions
from enclave.gateway.replicas import FrontPlace
from enclave.gateway.service import GatewayService
from enclave.gateway.tls import TcpListener
from enclave.tokens import DoorKind

_log = structlog.get_logger()
WORKSPACE_ID = re.compile(r"w-[0-9a-f]{12}")
PERSON_ID = re.compile(r"u-[0-9a-f]{12}")
SOCKET_NAME = "gateway.sock"
_CLOSE_SECONDS = 5.0
_LONGEST_PATH = 107


class DoorError(Exception):
    """A socket cannot be opened; the sentence says what was expected."""


@dataclass
class _OpenDoor:
    door: Door
    server: GatewayFlightServer


class Doors:
    """Opens and closes sockets. Thread-safe; opening what is open already changes nothing."""

    def __init__(self, place: FrontPlace, access: AccessFiles, service: GatewayService, partitions: Partitions) -> None:
        self._place, self._run_dir = place, place.folder
        self._access = access
        self._service = service
        self._partitions = partitions
        self._lock = threading.Lock()
        self._open: dict[Path, _OpenDoor] = {}
        self._tcp: GatewayFlightServer | None = None
        self._is_closed = False

    def open_workspace(self, workspace: WorkspaceId, project: ProjectId, person: PersonId) -> Path:
        """Listen for one workspace; returns the socket's path. Raises DoorError."""
        if not self._place.serves_workspaces:
            raise DoorError("This is a replica of the gateway, which serves no workspaces. Ask the first front.")
        path = self._workspace_path(workspace, project, person)
        door, folder = Door(project, path, workspace, person), self._run_dir / "ws" / workspace
        if not (folder / "in").is_dir():
            raise DoorError(f"Expected the folder in/ of workspace {workspace}, found none. Make it first.")
        with self._lock:
            found = self._open.get(path)
            if found is None or found.door != door:
                content = json.dumps({"project": project, "person": person}).encode()
                write_atomically(folder / "workspace.json", content, mode=0o600)
                self._listen(door, path, 0o666)
        return path

    def open_tcp(self, listener: TcpListener) -> None:
        """Listen on the TCP port until ``close``. Raises DoorError."""
        door = Door(
            None,
            None,
            kind=DoorKind.TCP,
            asks_certificate=listener.tls.client_ca is not None,
            locations=listener.locations,
        )
        _check_free(listener)
        try:
            self._tcp = GatewayFlightServer(door, self._service, self._partitions, listener)
        except Exception as error:  # pyarrow raises several kinds for a port it cannot bind
            raise DoorError(f"Expected to listen on {listener.address}, found {type(error).__name__}.") from error
        _log.info("tcp-opened", address=listener.address, asks_certificate=door.asks_certificate)

    def close_workspace(self, workspace: WorkspaceId) -> None:
        """Stop listening; harmless when nothing listens."""
        if not WORKSPACE_ID.fullmatch(workspace):
            return
        folder = self._run_dir / "ws" / workspace
        (folder / "workspace.json").unlink(missing_ok=True)
        with self._lock:
            self._close(folder / "in" / SOCKET_NAME)

    def reopen_workspaces(self) -> None:
        """After a restart: listen again for every workspace that was registered; a replica has none."""
        for file in sorted((self._run_dir / "ws").glob("*/workspace.json")):
            try:
                content = json.loads(file.read_bytes())
                person, project = PersonId(content["person"]), ProjectId(content["project"])
                self.open_workspace(WorkspaceId(file.parent.name), project, person)
            except (OSError, ValueError, KeyError, TypeError, DoorError) as error:
                _log.warning("workspace-not-reopened", workspace=file.parent.name, kind=type(error).__name__)

    def follow_projects(self) -> None:
        """Listen for every active project and no other; call about once a second."""
        wanted = set(self._active_projects())
        with self._lock:
            if self._is_closed:
                return
            projects = {found.door.project: path for path, found in self._open.items() if found.door.workspace is None}
            for project in projects.keys() - wanted:
                self._close(projects[project])
                shutil.rmtree(projects[project].parent, ignore_errors=True)
            for project in sorted(wanted - projects.keys()):
                folder = self._run_dir / project
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                try:
                    self._listen(Door(project, folder / SOCKET_NAME), folder / SOCKET_NAME, 0o600)
                except DoorError as error:
                    _log.error("project-socket-not-opened", project=project, reason=str(error))

    def close(self) -> None:
        """Stop listening everywhere and remove the sockets; for good, whatever is under way."""
        with self._lock:
            self._is_closed = True
            servers = [found.server for found in self._open.values()] + ([self._tcp] if self._tcp else [])
            threads = [_shut_down(server) for server in servers]
            for thread in threads:
                thread.join(_CLOSE_SECONDS)
            for path in self._open:
                path.unlink(missing_ok=True)
            self._open.clear()

    def count(self) -> int:
        """Sockets that listen now."""
        return len(self._open)

    def _active_projects(self) -> list[ProjectId]:
        found = []
        for project in self._access.projects():
            try:
                record = self._access.project(project)
            except (OSError, ValueError, KeyError) as error:
                _log.error("project-record-unreadable", project=project, kind=type(error).__name__)
                continue
            if record is not None and record.state is ProjectState.ACTIVE:
                found.append(project)
        return found

    def _workspace_path(self, workspace: WorkspaceId, project: ProjectId, person: PersonId) -> Path:
        for shape, value in ((WORKSPACE_ID, workspace), (PROJECT_ID, project), (PERSON_ID, person)):
            if not shape.fullmatch(value):
                raise DoorError(f"Expected an identifier like {shape.pattern}, found another shape.")
        return self._run_dir / "ws" / workspace / "in" / SOCKET_NAME

    def _listen(self, door: Door, path: Path, mode: int) -> None:
        if self._is_closed:
            raise DoorError("The gateway is stopping. Ask again once it has started anew.")
        self._close(path)
        if len(str(path).encode()) > _LONGEST_PATH:
            raise DoorError(f"Expected a socket path of at most {_LONGEST_PATH} bytes. Use a shorter ENCLAVE_HOME.")
        path.unlink(missing_ok=True)
        try:
            server = GatewayFlightServer(door, self._service, self._partitions)
        except Exception as error:  # pyarrow raises several kinds for a socket it cannot bind
            raise DoorError(f"Expected to listen on {path.name}, found {type(error).__name__}.") from error
        path.chmod(mode)
        self._open[path] = _OpenDoor(door, server)
        _log.info("socket-opened", project=door.project, workspace=door.workspace)

    def _close(self, path: Path) -> None:
        found = self._open.pop(path, None)
        if found is None:
            return
        path.unlink(missing_ok=True)
        _shut_down(found.server).join(_CLOSE_SECONDS)
        _log.info("socket-closed", project=found.door.project, workspace=found.door.workspace)


def _shut_down(server: GatewayFlightServer) -> threading.Thread:
    """``shutdown`` waits for running calls, so it happens on a thread of its own."""
    thread = threading.Thread(target=server.shutdown, daemon=True)
    thread.start()
    return thread


def _check_free(listener: TcpListener) -> None:
    """gRPC would share the port with another gateway that listens there (SO_REUSEPORT). Raises DoorError."""
    host = listener.host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, listener.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise DoorError(
            f"Expected {listener.address} free to listen on, found: {error.strerror}. Choose another gateway_tcp."
        ) from error
