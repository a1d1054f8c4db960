"""The site's package mirror: a PEP 503 index on the hospital's own network (devpi, Nexus, Artifactory, bandersnatch …).

Names are resolved here, once per fetch, and judged: the fetching sandbox has no network and looks nothing up; the way
out (``enclave.packages.way_out``) connects to the addresses found here and to no other. A name that resolves to this
machine (loopback, or an address of its own), to the link or to a cloud's metadata service is refused: only an address
written into the settings may be one of the first two.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from enclave.settings import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = frozenset(
    map(ipaddress.ip_address, ("169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16"))
)
"""Services that tell a cloud machine's secrets; not all of them have a link-local address."""
_ALSO = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)


class MirrorError(Exception):
    """There is no mirror that can be asked; the sentence says what the admin has to do."""


@dataclass(frozen=True)
class Place:
    """A server that may be asked: as addresses (URLs) spell it, and where it was found."""

    host: str
    port: int
    addresses: tuple[str, ...]
    is_plain: bool = False
    """http; on loopback alone."""


@dataclass(frozen=True)
class Mirror:
    """``places``: the index itself, then what ``package_mirror_also`` names."""

    url: str
    places: tuple[Place, ...]

    def find(self, host: str, port: int) -> Place | None:
        """The place that is asked for, if it may be."""
        return next((place for place in self.places if (place.host, place.port) == (host, port)), None)


def find_mirror(settings: Settings) -> Mirror:
    """Resolve and judge. Raises MirrorError."""
    url = settings.package_mirror
    if not url:
        raise MirrorError(
            "Expected the site's package mirror, found none set. Ask the admin to name it in `package_mirror`; "
            "then try again."
        )
    parts = urlsplit(url)
    host = normal_host(parts.hostname or "")
    if parts.username or parts.password:
        raise MirrorError("Expected a mirror's address without a password: settings hold no secrets. Change it.")
    is_plain = parts.scheme == "http"
    if parts.scheme != "https" and not (is_plain and _is_loopback(host)):
        raise MirrorError("Expected a mirror's address with https (or http on loopback), found another. Change it.")
    try:
        port = parts.port or (80 if is_plain else 443)
    except ValueError as error:
        raise MirrorError("Expected the mirror's name to be known, found no address for it. Ask the admin.") from error
    index = Place(host, port, _addresses(host, port), is_plain)
    return Mirror(url, (index, *map(_also, settings.package_mirror_also)))


def _also(named: str) -> Place:
    found = _ALSO.fullmatch(named)
    if found is None:
        raise MirrorError(
            "Expected names in `package_mirror_also` such as files.example.org, found another. Change it."
        )
    host, port = normal_host(found["host"].strip("[]")), int(found["port"] or 443)
    return Place(host, port, _addresses(host, port))


def normal_host(host: str) -> str:
    """As it is compared: lower case, without the root's dot, names in their ASCII form."""
    host = host.rstrip(".").lower()
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return ""


def _addresses(host: str, port: int) -> tuple[str, ...]:
    """Where the host is. Written as an address it stands for itself, on loopback and on the link as well."""
    literal = _literal(host)
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, ValueError) as error:
        raise MirrorError("Expected the mirror's name to be known, found no address for it. Ask the admin.") from error
    is_written = literal is not None
    bad = [
        one for one in found if find_objection(one, is_written=is_written) or (not is_written and _is_own(one, port))
    ]
    if bad or not found:
        raise MirrorError(
            "Expected the mirror's name to lead to another machine, found an address of this one, of the link or of "
            "a metadata service. Ask the admin to look at `package_mirror` and at the name service."
        )
    return tuple(sorted(found))


def find_objection(address: str, *, is_written: bool = False) -> str:
    """Why nobody may be sent to this address; empty: one may. ``is_written``: the settings name it themselves. Pure."""
    found = _literal(address.partition("%")[0])  # a zone (fe80::1%eth0) says which link
    if found is None:
        return "no address"
    found = _unwrapped(found)
    if found in _METADATA:
        return "a metadata service"
    if found.is_unspecified or found.is_multicast or found == ipaddress.ip_address("255.255.255.255"):
        return "no single machine"
    if not is_written and found.is_loopback:
        return "this machine"
    return "the link" if not is_written and found.is_link_local else ""


def _is_own(address: str, port: int) -> bool:
    """Is it this machine's, on whichever of its links? Asked of its own routing; nothing is sent."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect((address, port))
            return str(asked.getsockname()[0]) == address
        except OSError:  # no way there, so it is not here
            return False


def _unwrapped(found: Address) -> Address:
    """IPv4 addresses that are written as IPv6 ones (RFC 4291 2.5.5, RFC 6052, RFC 3056) lead to the same place."""
    if isinstance(found, ipaddress.IPv4Address):
        return found
    if found in ipaddress.ip_network("64:ff9b::/96") or (int(found) >> 32 == 0 and int(found) > 1):
        return ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    return found.ipv4_mapped or found.sixtofour or found


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    found = _literal(host)
    return found is not None and found.is_loopback
