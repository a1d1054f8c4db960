"""Which records contain a text, from the words of each part and the ``rare`` column; see :mod:`audit.index.words`."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from audit.index.manifest import Manifest, Part
from audit.index.words import QUOTE, could_be_rare, fold, map_words, places_with

REMEMBERED = 4
"""So many answers are kept: one page asks for the same text several times (records, count, timeline)."""


class TextFinder:
    """Finds text in the leaves of one index; safe to use from many threads."""

    def __init__(self, index_dir: Path) -> None:
        self._index_dir = index_dir
        self._lock = threading.Lock()
        self._words: dict[Part, pa.Table] = {}
        self._answers: OrderedDict[tuple[str, tuple[Part, ...]], pa.Table] = OrderedDict()

    def find(self, cursor: duckdb.DuckDBPyConnection, manifest: Manifest, text: str) -> pa.Table:
        """A table of one column ``found``: the indexes of all records whose folded leaf contains the folded text.

        For text with quotation marks, which reaches over several pieces, it also holds others: check those leaves.
        """
        # a piece holds no quotation mark, so the longest stretch without one finds every candidate
        folded = max(fold(text).split(QUOTE), key=len)
        key = (folded, manifest.parts)
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]
            words = self._mapped(manifest)
        found = [pc.add(places_with(table, folded, part.end - part.start), part.start) for part, table in words]
        if could_be_rare(folded):
            rare = cursor.sql('SELECT "index" FROM searched WHERE contains(rare, ?)', params=[folded])
            found += [batch.column(0).cast(pa.int64()) for batch in rare.to_arrow_reader()]
        answer = pa.table({"found": pa.chunked_array(found, pa.int64())})
        with self._lock:
            self._answers[key] = answer
            while len(self._answers) > REMEMBERED:
                self._answers.popitem(last=False)
        return answer

    def _mapped(self, manifest: Manifest) -> list[tuple[Part, pa.Table]]:
        """The words of every part, mapped into memory once."""
        self._words = {
            part: self._words[part] if part in self._words else map_words(self._index_dir / part.words.name)
            for part in manifest.parts
        }
        return list(self._words.items())
