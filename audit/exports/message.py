"""What every format shares: the facts about this site, and what a format is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from audit.reader import LogEntry

EXAMPLE_ENTERPRISE_NUMBER = 32473
"""Reserved by IANA for examples (RFC 5612); a site with its own private enterprise number configures that."""

PRODUCT = "Enclave"


class RecordUnreadable(ValueError):
    """A record lacks what every leaf has (type, time); the sentence names the field."""


@dataclass(frozen=True)
class SiteFacts:
    """Where the records come from, as a receiver shall read it. ``identifiers``: base URI of our pseudonymous ids."""

    name: str = "enclave"
    host: str = "enclave"
    identifiers: str = "urn:enclave"
    version: str = "1"
    enterprise_number: int = EXAMPLE_ENTERPRISE_NUMBER


@dataclass(frozen=True)
class Message:
    """One record in a format: ``body`` as it goes over the wire, ``line`` as it stands in a file (no newline)."""

    index: int
    leaf_hash: str
    body: bytes
    line: bytes


class Format(Protocol):
    """A wire format; every function is pure."""

    name: str
    content_type: str

    def encode(self, entry: LogEntry, origin: str, site: SiteFacts) -> Message:
        """One record as a message."""

    def join(self, messages: Sequence[Message]) -> bytes:
        """Several messages as one request body."""


def recorded_at(leaf: Mapping[str, Any]) -> datetime:
    """When the log took the record (aware UTC); raise :class:`RecordUnreadable`."""
    try:
        at = datetime.fromisoformat(leaf["at"])
    except (KeyError, TypeError, ValueError) as error:
        raise RecordUnreadable("A record has no time in 'at'; run 'enclave-audit verify' on the log.") from error
    if at.tzinfo is None:
        raise RecordUnreadable("A record's time has no zone; run 'enclave-audit verify' on the log.")
    return at


def milliseconds(leaf: Mapping[str, Any]) -> int:
    """:func:`recorded_at` in milliseconds since 1970."""
    at = recorded_at(leaf)
    return int(at.timestamp()) * 1000 + at.microsecond // 1000


def text_of(leaf: Mapping[str, Any], name: str) -> str | None:
    """A leaf field when it is text that says something."""
    value = leaf.get(name)
    return value if isinstance(value, str) and value else None


def mapping_of(leaf: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """``counts`` or ``data``; empty when the leaf has none."""
    value = leaf.get(name)
    return value if isinstance(value, Mapping) else {}


def policies_of(leaf: Mapping[str, Any]) -> list[str]:
    """The policy ids that decided."""
    return [item for item in leaf.get("policies") or [] if isinstance(item, str)]


def plain(value: object) -> str:
    """A count or a data value as text."""
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return ", ".join(plain(item) for item in value)
        case _:
            return str(value)


def facts_of(leaf: Mapping[str, Any]) -> dict[str, str]:
    """Counts and data under dotted names, as text: ``counts.rows``, ``data.status``."""
    return {
        f"{name}.{key}": plain(value) for name in ("counts", "data") for key, value in mapping_of(leaf, name).items()
    }
