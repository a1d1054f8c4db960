"""TLS at the edge: certificate and key from the settings, or a sentence why not.

TLS 1.2 and newer with Python's default ciphers; plain HTTP only on loopback, or on the site's word (ADR 37).
Non-goals: fetching or renewing certificates (restart the edge after renewing: its routes survive), client certificates.
SATRE 2.8.02.
"""

from __future__ import annotations

import ssl
import stat
from ipaddress import ip_address
from pathlib import Path

from enclave.settings import Settings


class TlsError(Exception):
    """The edge must not start like this; the sentence says why."""


def is_plain_beyond_this_machine(settings: Settings) -> bool:
    """Browsers elsewhere would send passwords and sessions in clear. A name but ``localhost`` may be any machine's."""
    return settings.scheme == "http" and not _is_loopback(settings.host)


def check_listener(settings: Settings) -> None:
    """Raise TlsError when the edge would listen for plain HTTP beyond this machine and nobody asked for that."""
    if is_plain_beyond_this_machine(settings) and not settings.passwords_in_clear_over_the_network:
        raise TlsError(
            f"Expected https for browsers of other machines, found scheme http and host {settings.host!r}: passwords "
            "and sessions would go over the network in clear. Set ENCLAVE_SCHEME=https with a certificate "
            "(ENCLAVE_EDGE_TLS_CERTIFICATE, ENCLAVE_EDGE_TLS_KEY) or a TLS terminator of yours before the edge, or "
            "ENCLAVE_HOST=127.0.0.1."
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def find_tls_context(settings: Settings) -> ssl.SSLContext | None:
    """What the public listener speaks; None without a certificate in the settings. Raises TlsError."""
    check_listener(settings)
    certificate, key = settings.edge_tls_certificate, settings.edge_tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise TlsError(
            "Expected both ENCLAVE_EDGE_TLS_CERTIFICATE and ENCLAVE_EDGE_TLS_KEY, found one of them. "
            "Name both files, or neither when a TLS terminator stands before the edge."
        )
    if settings.scheme != "https":
        raise TlsError(
            "Expected ENCLAVE_SCHEME=https with a certificate, found http: addresses and cookies would be made for "
            "plain HTTP. Set it."
        )
    _check_key_is_private(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise TlsError(
            f"Expected a PEM certificate chain in {certificate.name} and its unencrypted key in {key.name}, found "
            f"files that do not load or do not belong together ({type(error).__name__}). Check both files."
        ) from error
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _check_key_is_private(key: Path) -> None:
    try:
        mode = key.stat().st_mode
    except OSError as error:
        raise TlsError(f"Expected the TLS key {key.name}, found that it cannot be read. Check the path.") from error
    if stat.S_IMODE(mode) & 0o077:
        raise TlsError(
            f"Expected a TLS key that only its owner can read, found {key.name} with mode {stat.S_IMODE(mode):o}. "
            f"Run: chmod 600 on it, and get a new certificate if others may have read it."
        )
