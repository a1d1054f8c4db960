"""Network: every way to reach an address.

The listeners are started outside before the probes run (``targets``); each answers, so that an open door is seen open.
"""

from __future__ import annotations

import select
import socket
import struct
from pathlib import Path

from .model import Attempt, Closed, Probe, Targets, target

_SECONDS = 10
_STREAM, _DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


def tcp(version: int, name: str) -> Attempt:
    """Connect to the target's ``[address, port]``."""

    def attempt(targets: Targets) -> str:
        address, port = target(targets, name)
        with socket.socket(_FAMILY[version], _STREAM) as connection:
            connection.settimeout(_SECONDS)
            connection.connect((address, port))
        return "a TCP connection was made"

    return attempt


def udp(version: int, name: str) -> Attempt:
    """Send a datagram and get the answer."""

    def attempt(targets: Targets) -> str:
        address, port = target(targets, name)
        with socket.socket(_FAMILY[version], _DATAGRAM) as connection:
            connection.settimeout(_SECONDS)
            connection.connect((address, port))
            connection.send(b"enclave-selftest")
            connection.recv(64)
        return "a datagram was answered"

    return attempt


def _question(name: str) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)


def _dns_udp(targets: Targets) -> str:
    with socket.socket(socket.AF_INET, _DATAGRAM) as connection:
        connection.settimeout(_SECONDS)
        connection.sendto(_question("enclave-selftest.invalid"), tuple(target(targets, "dns")))
        connection.recv(512)
    return "a name server answered over UDP"


def _dns_tcp(targets: Targets) -> str:
    question = _question("enclave-selftest.invalid")
    with socket.socket(socket.AF_INET, _STREAM) as connection:
        connection.settimeout(_SECONDS)
        connection.connect(tuple(target(targets, "dns")))
        connection.sendall(struct.pack(">H", len(question)) + question)
        if not connection.recv(512):
            raise Closed("no answer")
    return "a name server answered over TCP"


def _configured_resolver(targets: Targets) -> str:
    """What the C library's resolver would ask."""
    try:
        lines = Path("/etc/resolv.conf").read_text().splitlines()
    except OSError as error:
        raise Closed("no resolver is configured") from error
    servers = [line.split()[1] for line in lines if line.startswith("nameserver") and len(line.split()) > 1]
    if not servers:
        raise Closed("no resolver is configured")
    return f"{len(servers)} name servers are configured"


def _broadcast(targets: Targets) -> str:
    with socket.socket(socket.AF_INET, _DATAGRAM) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        connection.sendto(b"enclave-selftest", ("255.255.255.255", 9))
    return "a broadcast was sent"


def _multicast(targets: Targets) -> str:
    with socket.socket(socket.AF_INET, _DATAGRAM) as connection:
        connection.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        connection.sendto(b"enclave-selftest", ("239.255.77.77", 9))
    return "a multicast datagram was sent"


def _interfaces(targets: Targets) -> str:
    others = [name for _, name in socket.if_nameindex() if name != "lo"]
    if not others:
        raise Closed("only lo")
    return f"{len(others)} interfaces beside lo"


def _routes(targets: Targets) -> str:
    lines = Path("/proc/net/route").read_text().splitlines()[1:]
    if not lines:
        raise Closed("no route")
    return f"{len(lines)} routes"


def _ping(version: int) -> Attempt:
    """An echo request from an unprivileged ICMP socket, answered by the loopback."""

    def attempt(targets: Targets) -> str:
        protocol, kind = ((socket.IPPROTO_ICMP, 8), (socket.IPPROTO_ICMPV6, 128))[version == 6]
        with socket.socket(_FAMILY[version], _DATAGRAM, protocol) as connection:
            connection.settimeout(_SECONDS)
            connection.sendto(struct.pack(">BBHHH", kind, 0, 0, 1, 1), ("::1" if version == 6 else "127.0.0.1", 0))
            connection.recv(64)
        return "an echo request was answered"

    return attempt


def _abstract(kind: int, name: str) -> Attempt:
    def attempt(targets: Targets) -> str:
        with socket.socket(socket.AF_UNIX, kind) as connection:
            connection.settimeout(_SECONDS)
            connection.connect("\0" + target(targets, name))
        return "a socket of the host without a path was reached"

    return attempt


def _netlink_diagnosis(targets: Targets) -> str:
    """Ask the kernel, through the netlink family that is allowed, for links: only lo may be there."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as connection:
        connection.bind((0, 0))
        connection.send(struct.pack("IHHIIB3xI8x", 32, 18, 0x301, 1, 0, 0, 0))
        found = 0
        while select.select([connection], [], [], 0.3)[0]:
            data = connection.recv(1 << 16)
            while len(data) >= 16:
                length, kind = struct.unpack_from("IH", data)
                found += kind == 16
                data = data[(length + 3) & ~3 :]
    if found <= 1:
        raise Closed("only lo")
    return f"{found} network interfaces are listed"


def _n(name: str, english: str, french: str, attempt: Attempt) -> Probe:
    return Probe(name, "network", english, french, attempt)


PROBES = (
    _n(
        "tcp4-loopback",
        "Connect to the host's IPv4 loopback.",
        "Joindre la boucle locale IPv4 de l'hôte.",
        tcp(4, "tcp4"),
    ),
    _n(
        "tcp6-loopback",
        "Connect to the host's IPv6 loopback.",
        "Joindre la boucle locale IPv6 de l'hôte.",
        tcp(6, "tcp6"),
    ),
    _n(
        "udp4-loopback",
        "Datagram to the host's IPv4 loopback.",
        "Datagramme vers la boucle IPv4 de l'hôte.",
        udp(4, "udp4"),
    ),
    _n(
        "udp6-loopback",
        "Datagram to the host's IPv6 loopback.",
        "Datagramme vers la boucle IPv6 de l'hôte.",
        udp(6, "udp6"),
    ),
    _n("tcp4-host", "Connect to an address of the host.", "Joindre une adresse de l'hôte.", tcp(4, "host_tcp")),
    _n(
        "udp4-host", "Datagram to an address of the host.", "Datagramme vers une adresse de l'hôte.", udp(4, "host_udp")
    ),
    _n("tcp4-internet", "Connect to a distant address.", "Joindre une adresse lointaine.", tcp(4, "internet")),
    _n(
        "metadata",
        "Ask the cloud's metadata service.",
        "Interroger le service de métadonnées du nuage.",
        tcp(4, "metadata"),
    ),
    _n("metadata6", "The metadata service over IPv6.", "Le service de métadonnées en IPv6.", tcp(6, "metadata6")),
    _n("edge", "Connect to the enclave's own web address.", "Joindre l'adresse web de l'enclave.", tcp(4, "edge")),
    _n("dns-udp", "Ask a name server over UDP.", "Interroger un serveur de noms en UDP.", _dns_udp),
    _n("dns-tcp", "Ask a name server over TCP.", "Interroger un serveur de noms en TCP.", _dns_tcp),
    _n(
        "dns-configured",
        "Find a configured name server.",
        "Trouver un serveur de noms configuré.",
        _configured_resolver,
    ),
    _n("broadcast", "Send a broadcast.", "Émettre une diffusion générale.", _broadcast),
    _n("multicast", "Send a multicast datagram.", "Émettre un datagramme multidestinataire.", _multicast),
    _n("interfaces", "Find a network interface.", "Trouver une interface réseau.", _interfaces),
    _n("netlink-links", "Have the kernel list its links.", "Faire lister les liens par le noyau.", _netlink_diagnosis),
    _n("routes", "Find a route.", "Trouver une route.", _routes),
    _n("ping4", "Ping over IPv4.", "Ping en IPv4.", _ping(4)),
    _n("ping6", "Ping over IPv6.", "Ping en IPv6.", _ping(6)),
    _n(
        "abstract-stream",
        "An abstract socket of the host.",
        "Une socket abstraite de l'hôte.",
        _abstract(_STREAM, "abstract"),
    ),
    _n(
        "abstract-datagram",
        "An abstract datagram socket.",
        "Une socket abstraite à datagrammes.",
        _abstract(_DATAGRAM, "abstract_dgram"),
    ),
)
