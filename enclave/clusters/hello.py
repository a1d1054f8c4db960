"""Which cluster a TLS client asks for: the server name of its ClientHello, read by OpenSSL. Pure.

TLS goes on to the scheduler unread; only the first record is looked at. Contract: None for what is no ClientHello, asks
for no name, or names no cluster. Non-goal: who may connect – the scheduler asks for the cluster's certificate.
"""

from __future__ import annotations

import contextlib
import ssl

HANDSHAKE = 0x16
HEADER = 5
_PREFIX = "daskgateway-"


def record_length(header: bytes) -> int:
    """Bytes of a TLS record with its header (RFC 8446 5.1); ``header``: its first five bytes."""
    return HEADER + int.from_bytes(header[3:HEADER], "big")


def find_cluster(record: bytes) -> str | None:
    """The cluster that the ClientHello in ``record`` names."""
    named: list[str] = []

    def take(_: object, name: str | None, __: object) -> int:
        named.append(name or "")
        return ssl.ALERT_DESCRIPTION_CLOSE_NOTIFY  # heard enough: end the handshake that never begins

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = take
    given = ssl.MemoryBIO()
    given.write(record)
    with contextlib.suppress(ssl.SSLError):
        context.wrap_bio(given, ssl.MemoryBIO(), server_side=True).do_handshake()
    asked = named[0] if len(named) == 1 else ""
    return asked.removeprefix(_PREFIX) if asked.startswith(_PREFIX) else None
