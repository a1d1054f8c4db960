"""The second engine: a container per sandbox, with nothing in it that a researcher could put in the host's way.

The program's descriptors (log, listening socket, channel) reach it through process 1, our keeper
(``workspace_images/keeper``), over a socket in a folder that is mounted read-only: the host accepts once, from exactly
that process, then closes and unlinks the listener. Everything in the container ends when that connection does, so it
ends with the host even when the host is killed (ADR 0018). After the start no call of ours goes to the daemon: signals
and the exit code travel over the connection, the end is seen on a descriptor of the process.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from enclave.listening import listen_in
from enclave.sandbox import Bind, SandboxError, SandboxProfile, account, check_binds, identity_files
from enclave.workspaces import cgroups, docker_daemon
from enclave.workspaces.docker_container import KEEPER, KEEPER_SOURCE, SOCKET_FOLDER, Place, describe, needed
from enclave.workspaces.host_plan import DockerPlan

_CONNECT_SECONDS = 20
_CLOSE_SECONDS = 2.0
_CODE_BYTES = 4096
_OWN_FILES = {"/etc/resolv.conf": "", "/etc/hostname": "workspace\n"}
"""Docker would copy the machine's."""


class DockerEngine:
    """See the module and Engine."""

    def __init__(self, plan: DockerPlan) -> None:
        self._plan = plan
        self._found: docker_daemon.Daemon | None = None
        self._parent = ""

    def start(self, profile: SandboxProfile, argv: Sequence[str], log: IO[bytes] | int) -> DockerSandbox:
        """See Engine. Takes as long as Docker takes to start a container."""
        with docker_daemon.connected(self._plan.host) as client:
            found = self._look(client)
            profile = replace(profile, binds=needed(profile, found.provides))
            check_binds(profile)
            with _meeting_place(self._plan.folder, profile) as (listener, binds):
                body = describe(profile, argv, self._place(profile, found, binds))
                container = client.create_container_from_config(body)["Id"]
                try:
                    client.start(container)
                    return _meet(listener, _process_of(client, container), profile, log)
                except BaseException:
                    with contextlib.suppress(Exception):
                        docker_daemon.remove(client, container)
                    raise

    def close(self) -> None:
        """See Engine. Short, because the hub waits for the host's end; the hub then sweeps without haste."""
        with contextlib.suppress(SandboxError):
            docker_daemon.sweep(self._plan.host, self._plan.home, self._plan.workspace, _CLOSE_SECONDS)
        cgroups.remove_above(self._plan.group, 0.5)

    def _look(self, client: Any) -> docker_daemon.Daemon:
        """Once per workspace: what runs later is the image that was there first."""
        if self._found is None:
            found = docker_daemon.look(client, self._plan.image)
            if found.makes_groups and cgroups.make_above(self._plan.group, self._plan.memory_mb, self._plan.processes):
                self._parent = f"/{self._plan.group}"
            self._found = found
        return self._found

    def _place(self, profile: SandboxProfile, found: docker_daemon.Daemon, binds: tuple[Bind, ...]) -> Place:
        labels = {
            docker_daemon.LABEL_HOME: str(self._plan.home),
            docker_daemon.LABEL_WORKSPACE: self._plan.workspace,
            docker_daemon.LABEL_HOST: str(os.getpid()),
        }
        return Place(
            image_id=found.image_id,
            labels=labels,
            uid=account(profile),
            memory_mb=self._plan.memory_mb,
            parent=self._parent,
            binds=binds,
        )


@contextlib.contextmanager
def _meeting_place(above: Path, profile: SandboxProfile) -> Iterator[tuple[socket.socket, tuple[Bind, ...]]]:
    """A listening socket for one container, and what to mount for it; the files go once the mounts are made."""
    folder = above / f"keeper-{secrets.token_hex(4)}"
    meeting, files = folder / "meeting", folder / "files"
    for one, mode in ((folder, 0o700), (meeting, 0o755), (files, 0o755)):
        one.mkdir(mode=mode)
        one.chmod(mode)
    binds = [Bind(KEEPER_SOURCE, KEEPER), Bind(meeting, SOCKET_FOLDER)]
    for target, text in {**identity_files(profile, account(profile)), **_OWN_FILES}.items():
        file = files / Path(target).name
        file.write_text(text)
        file.chmod(0o444)
        binds.append(Bind(file, Path(target)))
    try:
        with listen_in(meeting, "socket", mode=0o666, kind=socket.SOCK_SEQPACKET) as listener:
            yield listener, tuple(binds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _process_of(client: Any, container: str) -> int:
    """The keeper's process id on this machine."""
    pid = int(client.inspect_container(container)["State"]["Pid"])
    if pid <= 0:
        raise SandboxError("Expected a running container, found that it ended at once. Look at Docker's log.")
    return pid


def _meet(listener: socket.socket, pid: int, profile: SandboxProfile, log: IO[bytes] | int) -> DockerSandbox:
    """Accept the keeper of this container, once, and give it the program's descriptors."""
    try:
        process = os.pidfd_open(pid)
    except OSError as error:
        raise SandboxError(
            "Expected the container's process on this machine, found none. Docker has to run beside the enclave."
        ) from error
    try:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(process, select.POLLIN)
        ready = {number for number, _ in poll.poll(_CONNECT_SECONDS * 1000)}
        if listener.fileno() not in ready:
            raise SandboxError("Expected the container to ask for its descriptors, found that it did not.")
        connection = listener.accept()[0]
        try:
            if _peer(connection) != pid:
                raise SandboxError("Expected the container's first process to ask, found another one.")
            _hand_over(connection, profile.pass_fds, log)
        except BaseException:
            connection.close()
            raise
    except BaseException:
        os.close(process)
        raise
    return DockerSandbox(pid, process, connection)


def _peer(connection: socket.socket) -> int:
    size = struct.calcsize("3i")
    return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[0])


def _hand_over(connection: socket.socket, pass_fds: Sequence[int], log: IO[bytes] | int) -> None:
    numbers = [[number] for number in pass_fds]
    descriptors = list(pass_fds)
    if log != subprocess.DEVNULL:
        numbers.append([1, 2])
        descriptors.append(log if isinstance(log, int) else log.fileno())
    extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    connection.sendmsg([json.dumps({"numbers": numbers}).encode()], extra)
    connection.setblocking(False)


class DockerSandbox:
    """A running container: its first process, and the connection to it."""

    def __init__(self, pid: int, process: int, connection: socket.socket) -> None:
        self.pid = pid
        self._process = process
        self._connection = connection
        self._code: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """See Sandboxed. Process 1 ends last: the kernel has ended everything else by then."""
        with self._lock:
            if self._process >= 0 and _is_readable(self._process, 0.0):
                self._code = self._reported()
                self._connection.close()
                os.close(self._process)
                self._process = -1
            return self._code

    def _reported(self) -> int:
        try:
            return int(json.loads(self._connection.recv(_CODE_BYTES))["code"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # the keeper runs beside a researcher's code
            return -signal.SIGKILL

    def signal(self, number: int) -> None:
        """See Sandboxed."""
        if number == signal.SIGKILL:
            self.kill()
        else:
            self._say({"signal": number})

    def allow_writing(self, allowed: bool) -> None:
        """See Sandboxed. The keeper has the programs' account, so it may lower their limit; it cannot raise it."""
        if not allowed:
            self._say({"file-bytes": 0})

    def _say(self, request: dict[str, int]) -> None:
        if self.poll() is None:
            with contextlib.suppress(OSError):
                self._connection.send(json.dumps(request).encode())

    def terminate(self) -> None:
        """See Sandboxed."""
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Process 1 goes, and with it everything inside. Where we may not end it, hanging up does the same."""
        if self.poll() is not None:
            return
        with self._lock:  # another thread's look may close the descriptor, and its number may be somebody else's then
            if self._process < 0:
                return
            try:
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
            except ProcessLookupError:
                return
            except PermissionError:
                with contextlib.suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)

    def wait(self, timeout: float) -> int:
        """See Sandboxed."""
        with self._lock:  # a descriptor of our own: see kill
            process = os.dup(self._process) if self._process >= 0 else -1
        if process >= 0:
            try:
                if not _is_readable(process, timeout):
                    raise subprocess.TimeoutExpired("container", timeout)
            finally:
                os.close(process)
        return self.poll() or 0


def _is_readable(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
