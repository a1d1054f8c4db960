"""Finding text in leaves without reading them: which pieces of text a part holds, and in which records.

A folded leaf is cut at its quotation marks. Text without one lies within a piece, so it occurs in a leaf if and only if
it occurs in one of the leaf's pieces. Pieces that look like identifiers, times and numbers are nearly all different:
they stay together as one column, ``rare``, which is scanned only for text that such pieces could hold. All other
pieces are words; each is listed once per part with the places (index less the part's start) of its records.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

QUOTE = '"'
_RARE = re.compile(r'(?<=")[0-9a-f:.,tz{}\[\]-]{6,}(?=")')
_COULD_BE_RARE = re.compile(r"[0-9a-f:.,tz{}\[\]-]*")
SCHEMA = pa.schema([("word", pa.string()), ("places", pa.list_(pa.uint16())), ("bits", pa.binary())])
"""A word stands in few records (``places``) or in many (``bits``, one per record, the least significant first)."""


def fold(text: str) -> str:
    """Text as it is compared: case does not matter."""
    return text.lower()


def could_be_rare(folded: str) -> bool:
    """Could an identifier, a time or a number contain this text?"""
    return _COULD_BE_RARE.fullmatch(folded) is not None


def word_table(leaves: Sequence[str]) -> tuple[list[str], pa.Table]:
    """The ``rare`` column of a part's leaves, and its words."""
    rare: list[str] = []
    found: dict[str, array[int]] = {}
    for place, leaf in enumerate(leaves):
        folded = fold(leaf)
        rare.append(QUOTE.join(_RARE.findall(folded)))
        for word in set(_RARE.sub("", folded).split(QUOTE)):
            try:
                found[word].append(place)
            except KeyError:
                found[word] = array("H", (place,))
    dense = {word: _bits(places, len(leaves)) for word, places in found.items() if len(places) * 16 > len(leaves)}
    columns = [
        pa.array(list(found), pa.string()),
        pa.array([() if word in dense else places for word, places in found.items()], SCHEMA.field("places").type),
        pa.array([dense.get(word) for word in found], pa.binary()),
    ]
    return rare, pa.Table.from_arrays(columns, schema=SCHEMA)


def write_words(path: Path, table: pa.Table) -> None:
    """Write the words so that they can be mapped into memory instead of being read."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        writer.write_table(table.combine_chunks())


def map_words(path: Path) -> pa.Table:
    """The words of a file; raise :class:`OSError` or :class:`pyarrow.ArrowInvalid`."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def places_with(table: pa.Table, folded: str, count: int) -> pa.Array:
    """The places (of ``count``) whose words contain the folded text; a place may come twice."""
    found = table.filter(pc.match_substring(table.column("word"), folded))
    if not len(found):
        return pa.array([], pa.int64())
    everywhere = (1 << count) - 1
    bits = 0
    for mask in found.column("bits").drop_null():
        bits |= int.from_bytes(mask.as_buffer(), "little")
        if bits == everywhere:
            break
    dense = pa.Array.from_buffers(pa.bool_(), count, [None, pa.py_buffer(bits.to_bytes(-(-count // 8), "little"))])
    sparse = pc.list_flatten(found.column("places")).combine_chunks()
    return pa.concat_arrays([pc.indices_nonzero(dense).cast(pa.int64()), sparse.cast(pa.int64())])


def _bits(places: array[int], count: int) -> bytes:
    if len(places) == count:
        return ((1 << count) - 1).to_bytes(-(-count // 8), "little")
    bits = bytearray(-(-count // 8))
    for place in places:
        bits[place >> 3] |= 1 << (place & 7)
    return bytes(bits)
