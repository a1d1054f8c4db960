"""Socket families and protocols: what the kernel hands out beside TCP, UDP and unix sockets."""

from __future__ import annotations

import ctypes
import errno
import os
import socket

from .calls import LIBC
from .model import Attempt, NotApplicable, Probe, Targets

_STREAM, _DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
_UNKNOWN = (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT)
"""What a kernel without a family says; our filter says the same, which is why only the control takes its word."""


def family_opens(family: int, kind: int, protocol: int = 0) -> Attempt:
    """Does the kernel hand out a socket of this family?"""

    def attempt(targets: Targets) -> str:
        descriptor = LIBC.socket(family, kind, protocol)
        if descriptor < 0:
            number = ctypes.get_errno()
            if number in _UNKNOWN and targets.get("unconfined"):
                raise NotApplicable("this kernel was built without it")
            raise OSError(number, os.strerror(number))
        if descriptor > 2:
            os.close(descriptor)
        return "a socket was handed out"

    return attempt


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


PROBES = tuple(map(_family_probe, FAMILIES))
