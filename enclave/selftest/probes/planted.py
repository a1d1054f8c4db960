"""Links and sockets planted for others to follow, files of others' accounts, and tokens that were not given."""

from __future__ import annotations

import os
import socket
import stat
import struct
from pathlib import Path

from .model import Attempt, Closed, NotApplicable, Probe, Targets, target


def _scratch(targets: Targets) -> Path:
    return Path(target(targets, "scratch"))


def _through_link(targets: Targets) -> str:
    link = _scratch(targets) / "link-out"
    link.unlink(missing_ok=True)
    link.symlink_to(target(targets, "service_secret"))
    try:
        return f"{len(link.read_bytes())} bytes through a link"
    finally:
        link.unlink()


def _hard_link(targets: Targets) -> str:
    """A hard link to a file that is not one's own would keep it, and change it."""
    link = _scratch(targets) / "hard-link"
    os.link(target(targets, "file_beside"), link)
    link.unlink()
    return "a hard link to a file outside of the home"


def _rename_in(targets: Targets) -> str:
    """Move a file from outside in, and back."""
    source, here = target(targets, "file_beside"), _scratch(targets) / "moved"
    os.rename(source, here)  # noqa: PTH104
    os.rename(here, source)  # noqa: PTH104
    return "a file from outside could be moved into the home"


def _up_and_out(targets: Targets) -> str:
    """From the home upwards: nothing but the sandbox's own folders."""
    above = Path(target(targets, "scratch")) / ("../" * 12) / target(targets, "home_folder").lstrip("/")
    return f"{len(list(above.iterdir()))} entries above the home"


def _planted_socket(targets: Targets) -> str:
    """Replace the socket that our own processes open by a link of ours (confused deputy)."""
    path = Path(target(targets, "own_gateway"))
    aside = path.with_name("aside")
    path.rename(aside)
    try:
        path.symlink_to("/run/docker.sock")
        path.unlink()
    finally:
        aside.rename(path)
    return "the gateway's socket could be replaced by a link"


def _new_beside_socket(targets: Targets) -> str:
    path = Path(target(targets, "own_gateway")).with_name("planted.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
    path.unlink()
    return "a socket could be planted beside the gateway's"


def _kernels_folder(targets: Targets) -> str:
    """Put something of its own where the host will look for a kernel's folder."""
    folder = Path(target(targets, "kernels_folder")) / "planted"
    folder.symlink_to("/")
    folder.unlink()
    return "a link could be planted among the kernels' folders"


def _replace_token(targets: Targets) -> str:
    os.close(os.open(target(targets, "token_file"), os.O_WRONLY))
    return "its own token can be overwritten"


def _other_owner(targets: Targets) -> str:
    """Give a file to root: the first half of a set-uid trick."""
    file = _scratch(targets) / "given-away"
    file.write_text("x")
    try:
        os.chown(file, 0, 0)
        if file.stat().st_uid != 0 or os.getuid() == 0 != file.stat().st_uid:
            raise Closed("not given")
    finally:
        file.unlink()
    return "a file could be given to root"


def _set_uid_file(targets: Targets) -> str:
    """A set-uid file of root in the home would make root of anybody who runs it outside."""
    file = _scratch(targets) / "set-uid"
    file.write_text("x")
    try:
        os.chown(file, 0, 0)
        file.chmod(0o4755)
        if not file.stat().st_mode & stat.S_ISUID:
            raise Closed("the bit was not set")
    finally:
        file.unlink()
    return "a set-uid file of root could be made in the home"


def _stolen_token(name: str) -> Attempt:
    """Show a token to this workspace's own gateway socket, as a Flight client would (HTTP/2, GetFlightInfo).

    Open when a message comes back; a refusal has trailers and no message.
    """

    def attempt(targets: Targets) -> str:
        token = target(targets, name)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            try:
                connection.connect(target(targets, "own_gateway"))
            except OSError as error:
                raise NotApplicable("the gateway's socket is not there") from error
            connection.sendall(_call_with(token))
            if _answers_with_message(connection):
                return "the gateway accepted the token and answered"
        raise Closed("the gateway refused")

    return attempt


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _call_with(token: str) -> bytes:
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/arrow.flight.protocol.FlightService/GetFlightInfo",
        ":authority": "gateway",
        "content-type": "application/grpc",
        "te": "trailers",
        "authorization": f"Bearer {token}",
    }
    head = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
    url = b"type.googleapis.com/arrow.flight.protocol.sql.CommandGetCatalogs"
    command = b"\x0a" + bytes([len(url)]) + url  # google.protobuf.Any
    described = b"\x08\x02\x12" + bytes([len(command)]) + command  # FlightDescriptor: CMD
    message = b"\0" + struct.pack(">I", len(described)) + described
    hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"")
    return hello + _frame(1, 4, 1, head) + _frame(0, 1, 1, message)


def _text(value: str) -> bytes:
    """A literal of HPACK without Huffman coding (RFC 7541 5.2)."""
    data, rest = value.encode(), len(value) - 127
    if rest < 0:
        return bytes([len(data)]) + data
    size = [127]
    while rest >= 128:
        size.append(rest % 128 + 128)
        rest //= 128
    return bytes([*size, rest]) + data


def _answers_with_message(connection: socket.socket) -> bool:
    received = b""
    while True:
        while len(received) >= 9 and len(received) >= 9 + int.from_bytes(received[:3], "big"):
            length, kind, flags = int.from_bytes(received[:3], "big"), received[3], received[4]
            if kind == 0 and length >= 5:
                return True
            if kind in (3, 7) or (kind == 1 and flags & 1):
                return False
            received = received[9 + length :]
        chunk = connection.recv(1 << 16)
        if not chunk:
            return False
        received += chunk


def _hub_token(targets: Targets) -> str:
    found = [name for name in os.environ if "JUPYTERHUB" in name or name.endswith(("_TOKEN", "_SECRET", "_PASSWORD"))]
    if not found:
        raise Closed("none")
    return f"{len(found)} secrets in the environment: {', '.join(sorted(found))}"


def _links(name: str, english: str, french: str, attempt: Attempt, group: str = "links") -> Probe:
    return Probe(name, group, english, french, attempt)


PROBES = (
    _links(
        "link-symbolic",
        "Read a secret through a link in the home.",
        "Lire un secret par un lien du dossier personnel.",
        _through_link,
    ),
    _links(
        "link-hard",
        "Hard link to a file outside of the home.",
        "Lien dur vers un fichier hors du dossier personnel.",
        _hard_link,
    ),
    _links(
        "link-rename",
        "Move a file from outside into the home.",
        "Déplacer un fichier extérieur dans le dossier personnel.",
        _rename_in,
    ),
    _links("link-upwards", "Walk upwards out of the home.", "Remonter hors du dossier personnel.", _up_and_out),
    _links(
        "socket-replaced",
        "Replace the gateway's socket by a link.",
        "Remplacer la socket de la passerelle par un lien.",
        _planted_socket,
    ),
    _links(
        "socket-planted",
        "Plant a socket beside the gateway's.",
        "Placer une socket à côté de celle de la passerelle.",
        _new_beside_socket,
    ),
    _links(
        "link-kernels-folder",
        "Plant a link among the kernels' folders.",
        "Placer un lien parmi les dossiers des noyaux.",
        _kernels_folder,
    ),
    _links("owner-root", "Give a file to root.", "Donner un fichier à root.", _other_owner),
    _links("set-uid-file", "Make a set-uid file of root.", "Créer un fichier set-uid de root.", _set_uid_file),
    _links("token-overwritten", "Overwrite its own token.", "Écraser son propre jeton.", _replace_token, "tokens"),
    _links(
        "token-stolen",
        "Another workspace's token at its own socket.",
        "Le jeton d'un autre espace à sa propre socket.",
        _stolen_token("stolen_token"),
        "tokens",
    ),
    _links(
        "token-forged",
        "A token it signed itself.",
        "Un jeton qu'il a signé lui-même.",
        _stolen_token("forged_token"),
        "tokens",
    ),
    _links(
        "token-tcp",
        "A token for the TCP port at its own socket.",
        "Un jeton du port TCP à sa propre socket.",
        _stolen_token("tcp_token"),
        "tokens",
    ),
    _links(
        "token-environment",
        "Find a secret in the environment.",
        "Trouver un secret dans l'environnement.",
        _hub_token,
        "tokens",
    ),
)
