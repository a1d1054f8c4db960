"""The settings of the gateway's TCP door, read and checked once at start: nothing listens unless all of it is right.

Contract: TCP without TLS does not exist, on loopback neither; a key that somebody else can read, a certificate that
does not belong to the key or does not hold now, and files others can write are refused with a sentence (TlsError).
Non-goal: renewal while the front runs; a restarted front reads the files anew.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from enclave.settings import Settings

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z.-]+):([1-9][0-9]{0,4})", re.ASCII)
_LOCATION = re.compile(r"grpc\+tls://[0-9A-Za-z.:\[\]-]+:[0-9]{1,5}", re.ASCII)
_HIGHEST_PORT = 65_535


class TlsError(Exception):
    """The TCP door cannot be opened as it is set; the sentence says what was expected."""


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
    found = _ADDRESS.fullmatch(wanted)
    if found is None or int(found[2]) > _HIGHEST_PORT:
        raise TlsError("Expected gateway_tcp as host:port, found another shape. Write for instance 10.0.0.5:31337.")
    tls = _read_identity(settings, now or datetime.now(UTC))
    return TcpListener(found[1], int(found[2]), tls, _locations(settings))


def _read_identity(settings: Settings, now: datetime) -> TlsIdentity:
    certificate_file, key_file = settings.gateway_tls_certificate, settings.gateway_tls_key
    if certificate_file is None or key_file is None:
        raise TlsError(
            "Expected gateway_tls_certificate and gateway_tls_key beside gateway_tcp, found none: the gateway speaks "
            "TCP with TLS only, on loopback as well. Name both files, or remove gateway_tcp."
        )
    certificate = _read(certificate_file, "gateway_tls_certificate")
    key = _read(key_file, "gateway_tls_key", is_secret=True)
    leaf = _certificates(certificate, "gateway_tls_certificate")[0]
    if not _belong_together(leaf, key):
        raise TlsError(
            "Expected in gateway_tls_key the private key of gateway_tls_certificate (PEM, without a password), found "
            "another. Name the two files that belong together."
        )
    if not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
        raise TlsError(
            f"Expected a TLS certificate that holds now, found one for {leaf.not_valid_before_utc:%Y-%m-%d} to "
            f"{leaf.not_valid_after_utc:%Y-%m-%d}. Renew it and start the gateway again."
        )
    client_ca = None
    if settings.gateway_tls_client_ca is not None:
        client_ca = _read(settings.gateway_tls_client_ca, "gateway_tls_client_ca")
        _certificates(client_ca, "gateway_tls_client_ca")
    return TlsIdentity(certificate, key, client_ca, leaf.not_valid_after_utc)


def _read(path: Path, setting: str, *, is_secret: bool = False) -> bytes:
    forbidden = stat.S_IRWXG | stat.S_IRWXO if is_secret else stat.S_IWGRP | stat.S_IWOTH
    expected = "only its owner can use" if is_secret else "only its owner can write"
    remedy = "chmod 600" if is_secret else "chmod go-w"
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read()
    except OSError as error:
        raise TlsError(f"Expected to read the file of {setting}, found {os.strerror(error.errno or 0)}.") from error
    if mode & forbidden:
        raise TlsError(
            f"Expected a file of {setting} that {expected}, found mode {stat.S_IMODE(mode):04o}. Mend it with {remedy}."
        )
    return content


def _certificates(content: bytes, setting: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise TlsError(f"Expected PEM certificates in the file of {setting}, found something else.") from error


def _belong_together(leaf: x509.Certificate, key: bytes) -> bool:
    encoding, shape = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    try:
        public = serialization.load_pem_private_key(key, password=None).public_key()
    except (ValueError, TypeError):
        return False
    return public.public_bytes(encoding, shape) == leaf.public_key().public_bytes(encoding, shape)


def _locations(settings: Settings) -> tuple[str, ...]:
    if not all(_LOCATION.fullmatch(location) for location in settings.gateway_locations):
        raise TlsError("Expected each of gateway_locations as grpc+tls://host:port, found another shape.")
    return settings.gateway_locations
