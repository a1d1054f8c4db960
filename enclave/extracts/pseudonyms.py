"""Project pseudonyms and date shifts: keyed HMAC-SHA-256 (RFC 2104), one key per pseudonym domain (pure).

The key never enters the enclave (DESIGN.md, invariant 5). Each space (people, shifts, every identifier space) has a
subkey of its own, so the same number as a person and as a visit gives unrelated pseudonyms. Identifiers other than
people's are many, so their HMAC is computed by DuckDB with the key pads of ``Pads``; both ways give the same text.

A pseudonym is a letter and 20 signs of a 16-sign alphabet (80 bits of the HMAC). The alphabet has no 0, 1, 8, 9, so
that no spreadsheet takes a pseudonym for a number such as 1E5.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from functools import lru_cache

KEY_BYTES = 32
LENGTH = 20
"""Signs after the letter; 80 bits: among 10⁹ identifiers a collision has probability 4 · 10⁻⁷."""
PERSON_LETTER = "P"
IDENTIFIER_LETTER = "I"
PSEUDONYM_PATTERN = r"[PI][A-HKM2-7]{20}"
"""Regular expression that every pseudonym of an extract matches in full."""
_HEX_TO_SIGNS = ("0189", "GHKM")
_BLOCK = 64


@dataclass(frozen=True)
class Pads:
    """The inner and outer key block of HMAC-SHA-256 (RFC 2104: K xor ipad, K xor opad)."""

    inner: bytes
    outer: bytes


@lru_cache(maxsize=64)
def subkey(key: bytes, space: str) -> bytes:
    """The key of one space; ``key`` has ``KEY_BYTES`` bytes."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"expected a pseudonym key of {KEY_BYTES} bytes, found {len(key)}; create the key anew")
    return hmac.digest(key, f"enclave-pseudonym-v1:{space}".encode(), "sha256")


def person_pseudonym(key: bytes, person: str) -> str:
    """The project pseudonym of a person id in its canonical text."""
    return PERSON_LETTER + _signs(hmac.digest(subkey(key, "person"), person.encode(), "sha256"))


def identifier_pseudonym(key: bytes, space: str, identifier: str) -> str:
    """The project pseudonym of another identifier in ``space`` (for instance ``visits``)."""
    return IDENTIFIER_LETTER + _signs(hmac.digest(subkey(key, identifier_space(space)), identifier.encode(), "sha256"))


def identifier_space(space: str) -> str:
    """Label of the subkey of an identifier space."""
    return f"identifier:{space.lower()}"


def date_shift(key: bytes, person: str, days: int) -> int:
    """The person's own constant shift in days: −``days`` … +``days`` without 0; 0 only when ``days`` is 0.

    64 bits of HMAC modulo 2·days: the bias against an even draw is under 10⁻¹⁵.
    """
    if days == 0:
        return 0
    drawn = int.from_bytes(hmac.digest(subkey(key, "shift"), person.encode(), "sha256")[:8], "big") % (2 * days)
    return drawn - days if drawn < days else drawn - days + 1


def pads(key: bytes, space: str) -> Pads:
    """The key blocks with which DuckDB computes ``identifier_pseudonym``."""
    block = subkey(key, identifier_space(space)).ljust(_BLOCK, b"\0")
    return Pads(bytes(b ^ 0x36 for b in block), bytes(b ^ 0x5C for b in block))


def pseudonym_sql(text: str, inner: str, outer: str) -> str:
    """SQL for ``identifier_pseudonym`` of the VARCHAR expression ``text``, with SQL for the pads."""
    digest = f"sha256({outer} || unhex(sha256({inner} || encode({text}))))"
    signs = f"translate(upper(substr({digest}, 1, {LENGTH})), '{_HEX_TO_SIGNS[0]}', '{_HEX_TO_SIGNS[1]}')"
    return f"('{IDENTIFIER_LETTER}' || {signs})"


def _signs(digest: bytes) -> str:
    return digest.hex()[:LENGTH].upper().translate(str.maketrans(*_HEX_TO_SIGNS))
