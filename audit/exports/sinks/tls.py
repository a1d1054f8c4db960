"""TLS for receivers: server certificate always verified, TLS 1.2 at least, client certificate where asked for."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TlsFiles:
    """PEM files. ``ca``: the only authority trusted; without it, those of the system."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """The context of every outgoing connection; raise OSError or ssl.SSLError when a file cannot be used."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=files.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if files.certificate is not None:
        context.load_cert_chain(files.certificate, files.key)
    return context


def why(error: Exception) -> str:
    """A connection's failure in a few words, without what the other side wrote."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate was not accepted ({error.verify_message})"
        case ssl.SSLError():
            return f"TLS failed ({error.reason or 'no reason given'})"
        case TimeoutError():
            return "it did not answer in time"
        case OSError() if error.strerror:
            return error.strerror
        case _:
            return type(error).__name__
