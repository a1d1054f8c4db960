"""Certificates and keys named in the settings, read and checked once at start: nothing listens unless all is right.

Contract: a key that somebody else can read, a certificate that does not belong to the key or does not hold now, and
files others can write are refused with a sentence (TlsError) that names the setting; others are all but root and the
account that reads them. Non-goal: renewal while a process
runs; one that is started again reads the files anew.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z.-]+):([1-9][0-9]{0,4})", re.ASCII)
_HIGHEST_PORT = 65_535


class TlsError(Exception):
    """Nothing can listen as it is set; the sentence says what was expected."""


@dataclass(frozen=True)
class KeyPair:
    """A certificate with its chain and its key, as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)
    expires_at: datetime


def find_address(text: str) -> tuple[str, int] | None:
    """Host (an IPv6 address in its brackets) and port of ``host:port``; None for another shape."""
    found = _ADDRESS.fullmatch(text)
    return None if found is None or int(found[2]) > _HIGHEST_PORT else (found[1], int(found[2]))


def read_pair(certificate_file: Path, key_file: Path, prefix: str, now: datetime) -> KeyPair:
    """What the settings ``<prefix>_certificate`` and ``<prefix>_key`` name. Raises TlsError."""
    certificate = read_file(certificate_file, f"{prefix}_certificate")
    key = read_file(key_file, f"{prefix}_key", is_secret=True)
    leaf = _certificates(certificate, f"{prefix}_certificate")[0]
    if not _belong_together(leaf, key):
        raise TlsError(
            f"Expected in {prefix}_key the private key of {prefix}_certificate (PEM, without a password), found "
            "another. Name the two files that belong together."
        )
    if not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
        raise TlsError(
            f"Expected a TLS certificate that holds now, found one for {leaf.not_valid_before_utc:%Y-%m-%d} to "
            f"{leaf.not_valid_after_utc:%Y-%m-%d}. Renew it and start this process again."
        )
    return KeyPair(certificate, key, leaf.not_valid_after_utc)


def names_in(certificate: bytes) -> frozenset[str]:
    """The DNS names of a PEM certificate; of a chain, those of its first one."""
    try:
        found = x509.load_pem_x509_certificate(certificate).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(name.lower() for name in found.value.get_values_for_type(x509.DNSName))


def read_authority(path: Path, setting: str) -> bytes:
    """PEM certificates of an authority, without what else is in the file (openssl writes names there in any script).

    Raises TlsError.
    """
    found = _certificates(read_file(path, setting), setting)
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in found)


def read_file(path: Path, setting: str, *, is_secret: bool = False) -> bytes:
    """The content of a file that nobody else can write, or with ``is_secret`` use. Raises TlsError."""
    forbidden = stat.S_IRWXG | stat.S_IRWXO if is_secret else stat.S_IWGRP | stat.S_IWOTH
    expected = "only its owner can use" if is_secret else "only its owner can write"
    remedy = "chmod 600" if is_secret else "chmod go-w"
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read()
    except OSError as error:
        raise TlsError(f"Expected to read the file of {setting}, found {os.strerror(error.errno or 0)}.") from error
    if status.st_mode & forbidden:
        found = f"mode {stat.S_IMODE(status.st_mode):04o}. Mend it with {remedy}"
        raise TlsError(f"Expected a file of {setting} that {expected}, found {found}.")
    if status.st_uid not in (0, os.geteuid()):
        raise TlsError(
            f"Expected a file of {setting} that belongs to root or the account of this process, found one of account "
            f"{status.st_uid}, which can change it. Mend it with chown."
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
