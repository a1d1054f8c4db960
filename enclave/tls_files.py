"""Certificates and keys named in the settings, read and checked once at start: nothing listens unless all is right.

Contract: a key that somebody else can read, a certificate that does not belong to the key or does not hold now, and
files others can write are refused with a sentence (TlsError) that names the setting. Non-goal: renewal while a process
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


def read_authority(path: Path, setting: str) -> bytes:
    """PEM certificates of an authority. Raises TlsError."""
    content = read_file(path, setting)
    _certificates(content, setting)
    return content


def read_file(path: Path, setting: str, *, is_secret: bool = False) -> bytes:
    """The content of a file that nobody else can write, or with ``is_secret`` use. Raises TlsError."""
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
