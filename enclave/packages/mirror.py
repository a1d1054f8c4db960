"""The site's package mirror: a PEP 503 index on the hospital's own network (devpi, Nexus, Artifactory, bandersnatch …).

Only its name resolves in the sandbox that fetches, so an index that points elsewhere by name leads nowhere.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from enclave.settings import Settings


class MirrorError(Exception):
    """There is no mirror that can be asked; the sentence says what the admin has to do."""


@dataclass(frozen=True)
class Mirror:
    """``hosts``: lines for ``/etc/hosts`` of the sandbox, name and address."""

    url: str
    hosts: tuple[tuple[str, str], ...]


def find_mirror(settings: Settings) -> Mirror:
    """Raises MirrorError."""
    url = settings.package_mirror
    if not url:
        raise MirrorError(
            "Expected the site's package mirror, found none set. Ask the admin to name it in `package_mirror`; "
            "then try again."
        )
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.username or parts.password:
        raise MirrorError("Expected a mirror's address without a password: settings hold no secrets. Change it.")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise MirrorError("Expected a mirror's address with https (or http on loopback), found another. Change it.")
    if _is_address(host):
        return Mirror(url, ())
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, parts.port or 443, type=socket.SOCK_STREAM)}
    except (OSError, ValueError) as error:
        raise MirrorError("Expected the mirror's name to be known, found no address for it. Ask the admin.") from error
    return Mirror(url, tuple((host, address) for address in sorted(found)))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_loopback
