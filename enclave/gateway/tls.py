"""The settings of the gateway's TCP door, read and checked once at start: nothing listens unless all of it is right.

Contract: TCP without TLS does not exist, on loopback neither; what is wrong with the files is refused with a sentence
(``enclave.tls_files``). Non-goal: renewal while the front runs; a restarted front reads the files anew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from enclave.settings import Settings
from enclave.tls_files import TlsError, find_address, read_authority, read_pair

__all__ = ["TcpListener", "TlsError", "TlsIdentity", "read_listener"]
_LOCATION = re.compile(r"grpc\+tls://[0-9A-Za-z.:\[\]-]+:[0-9]{1,5}", re.ASCII)


@dataclass(frozen=True)
class TlsIdentity:
    """PEM texts. ``client_ca`` not None: every client has to show a certificate of that authority (mutual TLS)."""

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    expires_at: datetime


@dataclass(frozen=True)
class TcpListener:
    """Where to listen, as whom, and the addresses under which clients may find all replicas."""

    host: str
    port: int
    tls: TlsIdentity
    locations: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


def read_listener(settings: Settings, address: str = "", *, now: datetime | None = None) -> TcpListener | None:
    """The listener of the settings, at ``address`` when given; None when no TCP is wanted. Raises TlsError."""
    wanted = address or settings.gateway_tcp
    if not wanted:
        return None
    found = find_address(wanted)
    if found is None:
        raise TlsError("Expected gateway_tcp as host:port, found another shape. Write for instance 10.0.0.5:31337.")
    tls = _read_identity(settings, now or datetime.now(UTC))
    return TcpListener(*found, tls, _locations(settings))


def _read_identity(settings: Settings, now: datetime) -> TlsIdentity:
    certificate_file, key_file = settings.gateway_tls_certificate, settings.gateway_tls_key
    if certificate_file is None or key_file is None:
        raise TlsError(
            "Expected gateway_tls_certificate and gateway_tls_key beside gateway_tcp, found none: the gateway speaks "
            "TCP with TLS only, on loopback as well. Name both files, or remove gateway_tcp."
        )
    pair = read_pair(certificate_file, key_file, "gateway_tls", now)
    client_ca = None
    if settings.gateway_tls_client_ca is not None:
        client_ca = read_authority(settings.gateway_tls_client_ca, "gateway_tls_client_ca")
    return TlsIdentity(pair.certificate, pair.key, client_ca, pair.expires_at)


def _locations(settings: Settings) -> tuple[str, ...]:
    if not all(_LOCATION.fullmatch(location) for location in settings.gateway_locations):
        raise TlsError("Expected each of gateway_locations as grpc+tls://host:port, found another shape.")
    return settings.gateway_locations
