"""The few rules of the protobuf wire format that Flight SQL messages need (varints and length-delimited fields).

Contract: ``parse_fields`` accepts any bytes and either returns all fields or raises WireError, at once when they are
more than a message of Flight SQL has: it is asked before anybody is admitted. ``field_bytes`` and ``field_int`` write
one field. Why not the ``protobuf`` package: docs/adr/0003-flight-sql-codec.md.
Source: protobuf.dev, "Encoding". Non-goals: groups, packed fields, signed (zigzag) integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAXIMUM_VARINT_BYTES = 10
LARGEST = 64 << 20
"""Bytes of a message: more than the longest statement that a permit may allow."""
MOST_FIELDS = 1000
"""Each takes some forty times its bytes in memory (measured)."""


class WireError(ValueError):
    """The bytes are not a protobuf message of the kind we accept."""


Field = tuple[int, int | bytes]
"""Field number and its value: an unsigned integer or bytes."""


def encode_varint(value: int) -> bytes:
    """Base-128, least significant group first. ``value`` must be 0 … 2**64-1."""
    if not 0 <= value < 1 << 64:
        raise WireError(f"expected an integer from 0 to 2**64-1, found {value}")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes, offset: int) -> tuple[int, int]:
    """The integer at ``offset`` and the offset behind it."""
    value = 0
    for position in range(_MAXIMUM_VARINT_BYTES):
        if offset + position >= len(data):
            raise WireError("expected a varint, found the end of the message")
        byte = data[offset + position]
        value |= (byte & 0x7F) << (7 * position)
        if not byte & 0x80:
            if value >= 1 << 64:
                break
            return value, offset + position + 1
    raise WireError("expected a varint of at most 64 bits, found a longer one")


def parse_fields(data: bytes) -> list[Field]:
    """Every field of a message in order. Fixed-width fields are read as bytes."""
    check_size(len(data))
    found = list(islice(_fields(bytes(data)), MOST_FIELDS + 1))
    if len(found) > MOST_FIELDS:
        raise WireError(f"expected at most {MOST_FIELDS} fields, found more")
    return found


def check_size(size: int) -> None:
    """Raise WireError when a message is longer than any of ours."""
    if size > LARGEST:
        raise WireError(f"expected a message of at most {LARGEST} bytes, found {size}")


def _fields(data: bytes) -> Iterator[Field]:
    offset = 0
    while offset < len(data):
        key, offset = decode_varint(data, offset)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError("expected field numbers from 1, found 0")
        if kind == _VARINT:
            value, offset = decode_varint(data, offset)
            yield number, value
            continue
        if kind == _BYTES:
            length, offset = decode_varint(data, offset)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise WireError(f"expected wire type 0, 1, 2 or 5, found {kind}")
        if offset + length > len(data):
            raise WireError("expected a whole field, found the end of the message")
        yield number, data[offset : offset + length]
        offset += length


def field_bytes(number: int, value: bytes | str) -> bytes:
    """A length-delimited field."""
    raw = value.encode() if isinstance(value, str) else value
    return encode_varint(number << 3 | _BYTES) + encode_varint(len(raw)) + raw


def field_int(number: int, value: int) -> bytes:
    """A varint field."""
    return encode_varint(number << 3 | _VARINT) + encode_varint(value)


def last_bytes(fields: list[Field], number: int) -> bytes | None:
    """The last value of a bytes field (protobuf: the last one wins), or None when absent."""
    found = [value for key, value in fields if key == number]
    if not found:
        return None
    if not isinstance(found[-1], bytes):
        raise WireError(f"expected bytes in field {number}, found an integer")
    return found[-1]


def last_text(fields: list[Field], number: int) -> str | None:
    """A text field; must be UTF-8."""
    raw = last_bytes(fields, number)
    return None if raw is None else _text(raw, number)


def texts(fields: list[Field], number: int) -> tuple[str, ...]:
    """A repeated text field; must be UTF-8."""
    return tuple(_text(raw, number) for found, raw in fields if found == number and isinstance(raw, bytes))


def _text(raw: bytes, number: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise WireError(f"expected UTF-8 text in field {number}") from error
