"""Workspace passes: how the edge knows whose browser it talks to before a byte reaches a workspace (ADR 4, ADR 15).

The hub, where a person is logged in, vouches for them: with a one-time code in a redirect to the workspace's own
origin, where the edge turns it into the cookie ``enclave-pass``; or, with ``workspace_origins`` off, with the cookie
itself for ``/user/<name>/``. The edge checks the cookie and never forwards it. So a workspace sees requests of its own
researcher only and needs no way to the hub. Both are HMAC-SHA256 under keys derived from the secret that hub and edge
share.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

COOKIE = "enclave-pass"
SAFE_COOKIE = "__Host-enclave-pass"
"""Over TLS: a sibling origin cannot set this one (RFC 6265bis 4.1.3.2)."""
LIFETIME_SECONDS = 12 * 3600
CODE_PAGE = "/enclave-pass"
CODE_SECONDS = 60
_RENEW_SECONDS = LIFETIME_SECONDS // 2


def _signature(secret: str, use: bytes, text: str) -> str:
    key = hmac.digest(secret.encode(), use, hashlib.sha256)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _pass_signature(secret: str, username: str, ends: int) -> str:
    return _signature(secret, b"enclave workspace pass v1", f"{username}\n{ends}")


def issue_pass(secret: str, username: str, now: float) -> str:
    """A pass for ``username`` that holds from ``now`` (Unix seconds) for ``LIFETIME_SECONDS``."""
    ends = int(now) + LIFETIME_SECONDS
    return f"{username}.{ends}.{_pass_signature(secret, username, ends)}"


def find_holder(secret: str, value: str, now: float) -> str | None:
    """Whose valid pass this is, or None when it is not one or has ended."""
    username, _, rest = value.partition(".")
    end_text, _, signature = rest.partition(".")
    if not _is_number(end_text):
        return None
    ends = int(end_text)
    expected = _pass_signature(secret, username, ends)
    if not hmac.compare_digest(signature.encode(), expected.encode()) or now >= ends:
        return None
    return username


def wants_renewal(value: str, now: float) -> bool:
    """Less than half of a valid pass's time is left: fetch a new one at the next page load."""
    return int(value.split(".")[1]) - now < _RENEW_SECONDS


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16


def issue_code(secret: str, username: str, project: str, now: float) -> str:
    """A code that opens the workspace's own origin once, within ``CODE_SECONDS`` of ``now`` (Unix seconds)."""
    text = f"{username}.{project}.{int(now * 1000)}.{secrets.token_hex(16)}"
    return f"{text}.{_signature(secret, b'enclave workspace code v1', text)}"


@dataclass
class CodeDesk:
    """Takes each code once. Codes from before ``since`` (Unix seconds) are refused: nobody knows whether they were."""

    secret: str
    since: float
    _used: dict[str, int] = field(default_factory=dict)

    def redeem(self, code: str, now: float) -> tuple[str, str] | None:
        """Person and project of a valid code; None when it is forged, late, early or used."""
        text, _, signature = code.rpartition(".")
        expected = _signature(self.secret, b"enclave workspace code v1", text)
        parts = text.split(".")
        if not hmac.compare_digest(signature.encode(), expected.encode()) or len(parts) != 4:
            return None
        username, project, issued_text, nonce = parts
        if not _is_number(issued_text):
            return None
        issued = int(issued_text)
        self._used = {known: at for known, at in self._used.items() if now * 1000 - at < CODE_SECONDS * 1000}
        age = now - issued / 1000
        if issued < self.since * 1000 - 1 or not -1 <= age < CODE_SECONDS or nonce in self._used:
            return None
        self._used[nonce] = issued
        return username, project
