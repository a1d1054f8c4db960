"""The host's files and sockets, other people's, and writing where nothing may be written."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from .model import Attempt, Closed, Probe, Targets, target

Row = tuple[str, str, str]

# Read: id = name of the target (a path); what (English), what (French)
READ: tuple[Row, ...] = (
    ("shadow", "the host's password hashes", "les empreintes de mots de passe de l'hôte"),
    ("machine_id", "the host's identity", "l'identité de l'hôte"),
    ("ssh_key", "a secret SSH key", "une clé SSH secrète"),
    ("service_secret", "the secret between the enclave's processes", "le secret entre les processus de l'enclave"),
    ("token_key", "the key that signs tokens", "la clé qui signe les jetons"),
    ("audit_key", "the audit log's signing key", "la clé de signature du journal d'audit"),
    ("database", "the portal's database", "la base du portail"),
    ("other_token", "another workspace's token", "le jeton d'un autre espace"),
    ("other_home_file", "a file in another person's home", "un fichier du dossier d'une autre personne"),
    ("other_project_file", "a file of another project", "un fichier d'un autre projet"),
    ("server_log", "the log of its own server", "le journal de son propre serveur"),
    ("host_state", "its host process's state file", "le fichier d'état de son processus hôte"),
    ("config", "the enclave's settings", "les réglages de l'enclave"),
)
LIST: tuple[Row, ...] = (
    ("home_folder", "the enclave's state (ENCLAVE_HOME)", "l'état de l'enclave (ENCLAVE_HOME)"),
    ("keys_folder", "the folder of keys", "le dossier des clés"),
    ("vault_folder", "the vault of output requests", "le coffre des demandes de sortie"),
    ("projects_folder", "all projects' extracts", "les extraits de tous les projets"),
    ("workspaces_folder", "all people's homes", "les dossiers de toutes les personnes"),
    ("run_folder", "the enclave's sockets", "les sockets de l'enclave"),
    ("log_folder", "the audit log", "le journal d'audit"),
    ("producer_folder", "the producer's side", "le côté du producteur"),
    ("root_home", "root's home", "le dossier de root"),
    ("var_log", "the host's logs", "les journaux de l'hôte"),
    ("boot", "the host's kernel and boot files", "le noyau et l'amorçage de l'hôte"),
    ("modules", "the host's kernel modules", "les modules du noyau de l'hôte"),
    ("docker_folder", "the Docker daemon's files", "les fichiers du démon Docker"),
)
CONNECT: tuple[Row, ...] = (
    ("docker_socket", "the Docker daemon", "le démon Docker"),
    ("containerd_socket", "containerd", "containerd"),
    ("systemd_socket", "systemd", "systemd"),
    ("dbus_socket", "the system's D-Bus", "le D-Bus du système"),
    ("journal_socket", "the system's journal", "le journal du système"),
    ("hub_socket", "the hub's API, with its own token", "l'API du hub, avec son propre jeton"),
    ("portal_socket", "the portal, with its own token", "le portail, avec son propre jeton"),
    ("edge_socket", "the edge's route table", "la table de routes de la bordure"),
    ("control_socket", "the gateway's control API", "l'API de contrôle de la passerelle"),
    ("audit_socket", "the audit daemon", "le démon d'audit"),
    ("other_gateway", "another workspace's gateway socket", "la socket de passerelle d'un autre espace"),
    ("project_gateway", "a project's socket for tools", "la socket d'un projet pour les outils"),
    ("listening_socket", "its own server's door from outside", "la porte de son propre serveur, par l'extérieur"),
    ("other_server", "another person's server", "le serveur d'une autre personne"),
)
# id, path inside, what
WRITE: tuple[tuple[str, str, str, str], ...] = (
    ("usr", "/usr", "the programs", "les programmes"),
    ("etc", "/etc", "the configuration", "la configuration"),
    ("root", "/", "the root folder", "la racine"),
    ("image", "/opt/image", "the workspace image", "l'image de l'espace"),
    ("client", "/opt/enclave_client", "the client library", "la bibliothèque cliente"),
    ("project", "/opt/project", "the added packages", "les paquets ajoutés"),
    ("run", "/run", "the folder of sockets", "le dossier des sockets"),
    ("var", "/var", "the variable state", "l'état variable"),
)


def _check_hosts(targets: Targets, name: str, found: os.stat_result) -> None:
    """An image has an ``/etc`` and a ``/var`` of its own: is this the host's? Raises Closed when it is another one."""
    wanted = targets.get("identities", {}).get(name)
    own = identity(found)
    if wanted is not None and wanted[:2] != own[:2] and wanted[2:] != own[2:]:
        raise Closed("one of the sandbox's own, not the host's")


def identity(found: os.stat_result) -> list[int]:
    """Device, number, size and time of change: either pair tells that it is the same one."""
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns]


def _read(name: str) -> Attempt:
    def attempt(targets: Targets) -> str:
        with open(target(targets, name), "rb") as file:  # noqa: PTH123
            _check_hosts(targets, name, os.fstat(file.fileno()))
            return f"{len(file.read(16))} bytes could be read"

    return attempt


def _list(name: str) -> Attempt:
    def attempt(targets: Targets) -> str:
        path = target(targets, name)
        _check_hosts(targets, name, os.stat(path))  # noqa: PTH116
        return f"{len(os.listdir(path))} entries could be listed"  # noqa: PTH208

    return attempt


def _connect(name: str) -> Attempt:
    def attempt(targets: Targets) -> str:
        path, failures = target(targets, name), []
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_UNIX, kind) as connection:
                connection.settimeout(10)
                try:
                    connection.connect(path)
                except OSError as error:
                    failures.append(error)
                    continue
                return "connected; " + _speak(connection, targets) if kind == socket.SOCK_STREAM else "connected"
        raise failures[0]

    return attempt


def _speak(connection: socket.socket, targets: Targets) -> str:
    """Ask with the workspace's own token; the status line is evidence enough."""
    try:
        token = Path(str(targets.get("token_file", ""))).read_text()
    except (OSError, ValueError):
        token = ""
    request = f"GET /hub/api/users HTTP/1.1\r\nHost: hub\r\nAuthorization: token {token}\r\nConnection: close\r\n\r\n"
    try:
        connection.sendall(request.encode())
        first = connection.recv(64).split(b"\r\n")[0]
    except OSError:
        return "no answer to HTTP"
    return "answered HTTP " + first.split()[1].decode() if first.startswith(b"HTTP/1.1 ") else "answered"


def _write(path: str) -> Attempt:
    def attempt(targets: Targets) -> str:
        file = Path(path) / f".selftest-{os.getpid()}"
        file.write_text("x")
        file.unlink()
        return "a file could be written"

    return attempt


def _append(path: str) -> Attempt:
    """Opens for writing and writes nothing."""

    def attempt(targets: Targets) -> str:
        os.close(os.open(path, os.O_WRONLY))
        return "it can be opened for writing"

    return attempt


def _rows(rows: tuple[Row, ...], group: str, verb: str, fr: str, make: Callable[[str], Attempt]) -> tuple[Probe, ...]:
    prefix = verb.lower().split()[0]
    return tuple(
        Probe(f"{prefix}-{name.replace('_', '-')}", group, f"{verb} {en}.", f"{fr} {french}.", make(name))
        for name, en, french in rows
    )


PROBES = (
    *_rows(READ, "host-files", "Read", "Lire", _read),
    *_rows(LIST, "host-files", "List", "Lister", _list),
    *_rows(CONNECT, "host-sockets", "Connect to", "Joindre", _connect),
    *(
        Probe(f"write-{name}", "writing", f"Write into {path} ({en}).", f"Écrire dans {path} ({fr}).", _write(path))
        for name, path, en, fr in WRITE
    ),
    Probe("write-passwd", "writing", "Change /etc/passwd.", "Modifier /etc/passwd.", _append("/etc/passwd")),
    Probe(
        "write-loader", "writing", "Change the C library.", "Modifier la bibliothèque C.", _append("/etc/ld.so.cache")
    ),
)
