"""One byte string for one value: compact JSON with sorted keys, the form in which a leaf is hashed.

For the values allowed here (ASCII keys, no floats, integers within 53 bits) the bytes are those of RFC 8785 (JCS), so
that any other implementation rebuilds the same leaf hash.
"""

from __future__ import annotations

from typing import Any

import orjson

MAX_LEAF_BYTES = 60_000
"""tlog-tiles allows 65,535 bytes per entry (a uint16 length); we stop earlier so that a leaf never meets that edge."""

MAX_INTEGER = 2**53 - 1
"""RFC 8785 numbers are IEEE doubles: a greater integer would not survive another reader."""


class CanonicalError(ValueError):
    """The value has no canonical form, or it is too long; the sentence names the place, never the value."""


def canonical_json(value: Any, *, limit: int = MAX_LEAF_BYTES) -> bytes:
    """Return the canonical UTF-8 bytes of ``value``; raise :class:`CanonicalError` beyond ``limit`` bytes."""
    check_value(value, "value")
    return encode_checked(value, limit=limit)


def encode_checked(value: Any, *, limit: int = MAX_LEAF_BYTES) -> bytes:
    """Like :func:`canonical_json`, for a value that was checked before."""
    try:
        # for ASCII keys and no floats, sorted keys make orjson's bytes those of RFC 8785
        encoded = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise CanonicalError("Expected Unicode text, found a lone surrogate; decode the text first.") from error
    if len(encoded) > limit:
        raise CanonicalError(
            f"An audit record may take {limit} bytes, found {len(encoded)}; move long text into the record's payload."
        )
    return encoded


def check_value(value: Any, place: str) -> None:
    """Raise :class:`CanonicalError` unless ``value`` holds only objects, lists, text, whole numbers, booleans, null."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return
    if kind is int:
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise CanonicalError(f"{place}: expected a whole number within 53 bits; write greater ones as text.")
    elif kind is dict:
        for key, member in value.items():
            if type(key) is not str or not key.isascii():
                raise CanonicalError(f"{place}: expected keys of ASCII text; rename the key.")
            # text and small numbers are most of a record: no call, no place to build
            inner = type(member)
            if not (inner is str or (inner is int and -MAX_INTEGER <= member <= MAX_INTEGER)):
                check_value(member, key)
    elif kind is list or kind is tuple:
        for member in value:
            if type(member) is not str:
                check_value(member, place)
    elif isinstance(value, str):
        # an enum whose values are text is written as that text
        return
    else:
        raise CanonicalError(
            f"{place}: expected text, a whole number, true, false, a list or an object, found"
            f" {kind.__name__}; write it as text or as a whole number."
        )
