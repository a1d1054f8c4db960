"""Network: every way to reach an address, and the socket families beside IP.

The listeners are started outside before the probes run (``targets``); each answers, so that an open door is seen open.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import struct
from pathlib import Path

from .calls import LIBC
from .model import Attempt, Closed, NotApplicable, Probe, Targets, target

_SECONDS = 1.5
_UNKNOWN = (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT)
"""What a kernel without a family says; our filter says the same, which is why only the control takes its word."""
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


def _raw_ip(family: int, protocol: int) -> Attempt:
    return family_opens(family, socket.SOCK_RAW, protocol)


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


def family_opens(family: int, kind: int, protocol: int = 0) -> Attempt:
    """Does the kernel hand out a socket of this family?"""

    def attempt(targets: Targets) -> str:
        descriptor = LIBC.socket(family, kind, protocol)
        if descriptor < 0:
            number = ctypes.get_errno()
            if number in _UNKNOWN and targets.get("unconfined"):
                raise NotApplicable("this kernel was built without it")
            raise OSError(number, os.strerror(number))
        os.close(descriptor)
        return "a socket was handed out"

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


_RAW, _SEQ = socket.SOCK_RAW, socket.SOCK_SEQPACKET
# id, family, kind, protocol, what (English), what (French)
FAMILIES = (
    ("raw-ip4", 2, _RAW, 255, "raw IPv4 packets", "paquets IPv4 bruts"),
    ("raw-ip6", 10, _RAW, 255, "raw IPv6 packets", "paquets IPv6 bruts"),
    ("raw-icmp4", 2, _RAW, 1, "raw ICMP", "ICMP brut"),
    ("raw-icmp6", 10, _RAW, 58, "raw ICMPv6", "ICMPv6 brut"),
    ("sctp", 2, _SEQ, 132, "SCTP", "SCTP"),
    ("sctp-stream", 2, _STREAM, 132, "SCTP as a stream", "SCTP en flux"),
    ("dccp", 2, 6, 33, "DCCP", "DCCP"),
    ("udplite", 2, _DATAGRAM, 136, "UDP-Lite", "UDP-Lite"),
    ("mptcp", 2, _STREAM, 262, "multipath TCP", "TCP multichemin"),
    ("smc-over-ip", 2, _STREAM, 256, "SMC over IP", "SMC sur IP"),
    ("l2tp", 2, _DATAGRAM, 115, "L2TP tunnels", "tunnels L2TP"),
    ("packet-raw", 17, _RAW, 0x0300, "whole frames of the wire", "trames brutes du réseau"),
    ("packet-dgram", 17, _DATAGRAM, 0x0300, "frames without their head", "trames sans en-tête"),
    ("netlink-sock-diag", 16, _RAW, 4, "the list of all sockets", "la liste de toutes les sockets"),
    ("netlink-xfrm", 16, _RAW, 6, "IPsec policy", "politique IPsec"),
    ("netlink-audit", 16, _RAW, 9, "the kernel's audit", "l'audit du noyau"),
    ("netlink-connector", 16, _RAW, 11, "process events", "événements des processus"),
    ("netlink-netfilter", 16, _RAW, 12, "firewall rules", "règles du pare-feu"),
    ("netlink-uevent", 16, _RAW, 15, "device events", "événements des périphériques"),
    ("netlink-generic", 16, _RAW, 16, "generic kernel families", "familles génériques du noyau"),
    ("netlink-crypto", 16, _RAW, 21, "the kernel's cryptography", "la cryptographie du noyau"),
    ("vsock", 40, _STREAM, 0, "the hypervisor", "l'hyperviseur"),
    ("alg", 38, _SEQ, 0, "the kernel's ciphers (AF_ALG)", "les chiffrements du noyau (AF_ALG)"),
    ("bluetooth", 31, _RAW, 1, "Bluetooth", "Bluetooth"),
    ("can", 29, _RAW, 1, "the CAN bus", "le bus CAN"),
    ("xdp", 44, _RAW, 0, "AF_XDP", "AF_XDP"),
    ("key", 15, _RAW, 2, "IPsec keys (AF_KEY)", "clés IPsec (AF_KEY)"),
    ("tipc", 30, _SEQ, 0, "TIPC clusters", "grappes TIPC"),
    ("rds", 21, _SEQ, 0, "RDS", "RDS"),
    ("smc", 43, _STREAM, 0, "SMC", "SMC"),
    ("qipcrtr", 42, _DATAGRAM, 0, "a modem's messages", "les messages d'un modem"),
    ("kcm", 41, _SEQ, 0, "the kernel's multiplexer", "le multiplexeur du noyau"),
    ("nfc", 39, _SEQ, 0, "NFC", "NFC"),
    ("pppox", 24, _STREAM, 0, "PPP over Ethernet", "PPP sur Ethernet"),
    ("phonet", 35, _DATAGRAM, 0, "Phonet", "Phonet"),
    ("ieee802154", 36, _DATAGRAM, 0, "low-power radio", "radio basse consommation"),
    ("ax25", 3, _SEQ, 0, "amateur radio (AX.25)", "radio amateur (AX.25)"),
    ("x25", 9, _SEQ, 0, "X.25", "X.25"),
    ("mctp", 45, _DATAGRAM, 0, "the machine's management bus", "le bus de gestion de la machine"),
)


def _family_probe(row: tuple[str, int, int, int, str, str]) -> Probe:
    name, family, kind, protocol, english, french = row
    attempt = family_opens(family, kind, protocol)
    return Probe(
        f"family-{name}",
        "socket-families",
        f"Open a socket for {english}.",
        f"Ouvrir une socket : {french}.",
        attempt,
    )


def _n(name: str, english: str, french: str, attempt: Attempt) -> Probe:
    return Probe(name, "network", english, french, attempt)


PROBES = (
    _n("tcp4-loopback", "Connect to the host's IPv4 loopback.", "Joindre la boucle locale IPv4 de l'hôte.", tcp(4, "tcp4")),
    _n("tcp6-loopback", "Connect to the host's IPv6 loopback.", "Joindre la boucle locale IPv6 de l'hôte.", tcp(6, "tcp6")),
    _n("udp4-loopback", "Datagram to the host's IPv4 loopback.", "Datagramme vers la boucle IPv4 de l'hôte.", udp(4, "udp4")),
    _n("udp6-loopback", "Datagram to the host's IPv6 loopback.", "Datagramme vers la boucle IPv6 de l'hôte.", udp(6, "udp6")),
    _n("tcp4-host", "Connect to an address of the host.", "Joindre une adresse de l'hôte.", tcp(4, "host_tcp")),
    _n("udp4-host", "Datagram to an address of the host.", "Datagramme vers une adresse de l'hôte.", udp(4, "host_udp")),
    _n("tcp4-internet", "Connect to a distant address.", "Joindre une adresse lointaine.", tcp(4, "internet")),
    _n("metadata", "Ask the cloud's metadata service.", "Interroger le service de métadonnées du nuage.", tcp(4, "metadata")),
    _n("metadata6", "The metadata service over IPv6.", "Le service de métadonnées en IPv6.", tcp(6, "metadata6")),
    _n("edge", "Connect to the enclave's own web address.", "Joindre l'adresse web de l'enclave.", tcp(4, "edge")),
    _n("dns-udp", "Ask a name server over UDP.", "Interroger un serveur de noms en UDP.", _dns_udp),
    _n("dns-tcp", "Ask a name server over TCP.", "Interroger un serveur de noms en TCP.", _dns_tcp),
    _n("dns-configured", "Find a configured name server.", "Trouver un serveur de noms configuré.", _configured_resolver),
    _n("broadcast", "Send a broadcast.", "Émettre une diffusion générale.", _broadcast),
    _n("multicast", "Send a multicast datagram.", "Émettre un datagramme multidestinataire.", _multicast),
    _n("interfaces", "Find a network interface.", "Trouver une interface réseau.", _interfaces),
    _n("netlink-links", "Have the kernel list its links.", "Faire lister les liens par le noyau.", _netlink_diagnosis),
    _n("routes", "Find a route.", "Trouver une route.", _routes),
    _n("ping4", "Ping over IPv4.", "Ping en IPv4.", _ping(4)),
    _n("ping6", "Ping over IPv6.", "Ping en IPv6.", _ping(6)),
    _n("abstract-stream", "An abstract socket of the host.", "Une socket abstraite de l'hôte.", _abstract(_STREAM, "abstract")),
    _n("abstract-datagram", "An abstract datagram socket.", "Une socket abstraite à datagrammes.", _abstract(_DATAGRAM, "abstract_dgram")),
    *map(_family_probe, FAMILIES),
)
