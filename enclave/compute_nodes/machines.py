"""Which machines a site's clusters run on and how they know each other: the settings, read and checked once at start.

Home and every node have a certificate of the site's authority with their own name in it (a DNS name among the subject
alternative names, RFC 5280 4.2.1.6). TLS 1.3, certificates asked for on both sides, and only on such connections
anything is said. Contract: nothing listens unless all settings are right (TlsError has the sentence). Non-goals:
revocation of a certificate (remove the node from the settings), renewal while a process runs.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from enclave.settings import Settings
from enclave.tls_files import TlsError, find_address, names_in, read_authority, read_pair
from enclave.workspaces.islands import MOST_PARTS

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", re.ASCII)
_ANY = ("0.0.0.0", "[::]")  # noqa: S104  (refused)
_MOST_ADDRESSES = 1024
_PREFIX = "cluster_tls"
HOME_NAME = "home"
"""In records, where nodes stand with their names."""


@dataclass(frozen=True)
class Machine:
    """Where it listens, and the name that its certificate has to have."""

    name: str
    host: str
    port: int

    @classmethod
    def at(cls, name: str, address: str) -> Machine | None:
        """None when one of the two has not its shape."""
        found = find_address(address)
        if found is None or not _NAME.fullmatch(name):
            return None
        return cls(name, found[0].strip("[]"), found[1])


@dataclass(frozen=True)
class Identity:
    """How this machine speaks to others, as a server and as a client."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    expires_at: datetime
    names: frozenset[str] = frozenset()
    """In its certificate."""


@dataclass(frozen=True)
class Home:
    """The enclave that has nodes."""

    address: Machine
    nodes: tuple[Machine, ...]
    identity: Identity


@dataclass(frozen=True)
class Node:
    """One node, from its own settings; ``address.name`` is not known to itself."""

    address: Machine
    home: str
    workers: int
    memory_mb: int
    folder: Path
    identity: Identity


def read_home(settings: Settings, *, now: datetime | None = None) -> Home | None:
    """None: workers run on this machine only. Raises TlsError."""
    if not settings.cluster_nodes:
        return None
    if not settings.cluster_workers:
        raise TlsError("Expected cluster_workers above 0 beside cluster_nodes, found 0: no clusters. Set both or none.")
    nodes = tuple(_node(given) for given in settings.cluster_nodes)
    for one in (lambda node: node.name, lambda node: (node.host, node.port)):
        if len({one(node) for node in nodes}) < len(nodes):
            raise TlsError("Expected each of cluster_nodes once, found a name or an address twice. Remove one.")
    if len(nodes) >= MOST_PARTS or len(nodes) * settings.cluster_workers > _MOST_ADDRESSES:
        raise TlsError(
            f"Expected at most {MOST_PARTS - 1} cluster_nodes, and {_MOST_ADDRESSES} for their number times "
            "cluster_workers; found more. Lower one of the two."
        )
    address = _listening(settings.cluster_address, "cluster_address", HOME_NAME)
    identity = _identity(settings, now or datetime.now(UTC))
    _check_own(identity, {node.name for node in nodes}, "a name of cluster_nodes")
    return Home(address, nodes, identity)


def read_node(settings: Settings, *, now: datetime | None = None) -> Node:
    """Raises TlsError."""
    address = _listening(settings.node_address, "node_address", "node")
    if not _NAME.fullmatch(settings.node_home):
        raise TlsError(
            "Expected in node_home the name in home's certificate (small letters, digits, - and .), found another "
            "shape. Write for instance home.enclave.internal."
        )
    if not settings.node_workers:
        raise TlsError("Expected in node_workers how many workers this node may run, found 0. Set it to its cores.")
    identity, folder = _identity(settings, now or datetime.now(UTC)), settings.node_folder.absolute()
    _check_own(identity, {settings.node_home}, "the name in node_home")
    return Node(address, settings.node_home, settings.node_workers, settings.node_memory_mb, folder, identity)


def _check_own(identity: Identity, others: set[str], found: str) -> None:
    """One certificate for all machines would let each of them speak as home."""
    if identity.names & others:
        raise TlsError(
            f"Expected another machine's name in no certificate but its own, found {found} in "
            f"{_PREFIX}_certificate of this one. Issue each machine a certificate of its own."
        )


def _node(given: str) -> Machine:
    name, _, address = given.partition("=")
    found = Machine.at(name, address)
    if found is None or name == HOME_NAME:
        raise TlsError(
            "Expected each of cluster_nodes as name=host:port, the name in small letters as in its certificate and not "
            "home; found another shape. Write for instance node-1.enclave.internal=10.0.0.6:8443."
        )
    return found


def _listening(address: str, setting: str, name: str) -> Machine:
    found = Machine.at(name, address)
    if found is None or address.startswith(_ANY):
        raise TlsError(
            f"Expected {setting} as host:port, one address of this machine that the others reach, found another "
            "shape. Write for instance 10.0.0.5:8443."
        )
    return found


def _identity(settings: Settings, now: datetime) -> Identity:
    certificate, key, authority = settings.cluster_tls_certificate, settings.cluster_tls_key, settings.cluster_tls_ca
    if certificate is None or key is None or authority is None:
        raise TlsError(
            f"Expected {_PREFIX}_certificate, {_PREFIX}_key and {_PREFIX}_ca, found not all of them: machines speak "
            "to each other with mutual TLS only. Name the three files."
        )
    pair = read_pair(certificate, key, _PREFIX, now)
    trusted = read_authority(authority, f"{_PREFIX}_ca").decode("ascii")
    contexts = []
    for purpose in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
        context = ssl.SSLContext(purpose)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.hostname_checks_common_name = False
        try:
            context.load_verify_locations(cadata=trusted)
            context.load_cert_chain(certificate, key)
        except (ssl.SSLError, OSError) as error:
            raise TlsError(
                f"Expected certificates that OpenSSL takes in {_PREFIX}_certificate and {_PREFIX}_ca, found others. "
                "Issue them anew."
            ) from error
        contexts.append(context)
    contexts[0].num_tickets = 0  # each connection shows its certificate
    return Identity(contexts[0], contexts[1], pair.expires_at, names_in(pair.certificate))
