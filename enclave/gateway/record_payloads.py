"""What of a query goes into a record's encrypted payload: text that a researcher chose, so of any length.

The log takes payloads up to ``MAX_PAYLOAD_BYTES`` and refuses longer ones; a query whose record is refused would leave
no trace of its end. So what is too long is cut, and a hash stands for the whole. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

MOST_CHARACTERS = 200_000
"""Of a statement, as long as they also fit as JSON."""
_MOST_BYTES = 480_000
_LONGEST_ESCAPE = 6
"""Bytes of JSON for one character, at most."""
_MOST_IN_LISTS = 50_000
"""Characters of all texts in a list together, each counted with what JSON puts around it."""
_AROUND = 4


def statement_payload(sql: str, parameters: Sequence[str] | None) -> dict[str, Any]:
    """The statement as sent; one that exceeds what the log takes is kept as a hash and its beginning."""
    kept = sql[:MOST_CHARACTERS]
    fits_always = _MOST_BYTES // _LONGEST_ESCAPE
    if len(kept) > fits_always and _json_bytes(kept) > _MOST_BYTES:
        kept = kept[:fits_always]
    payload: dict[str, Any] = {"sql": kept}
    if len(kept) < len(sql):
        payload["sql_sha256"] = _sha256([sql])
    return payload if parameters is None else {**payload, **_list_payload("parameters", parameters)}


def columns_payload(columns: Sequence[str]) -> dict[str, Any]:
    """The columns of a result; one without a name is called like its expression, and a query may repeat it at will."""
    return _list_payload("columns", columns)


def tables_payload(tables: Sequence[str]) -> dict[str, Any]:
    """The tables of a statement that reads more than the leaf lists."""
    return _list_payload("tables", tables)


def _list_payload(name: str, texts: Sequence[str]) -> dict[str, Any]:
    kept, left = [], _MOST_IN_LISTS
    for text in texts:
        left -= _AROUND
        if left <= 0:
            break
        kept.append(text[:left])
        left -= len(kept[-1])
    if kept == list(texts):
        return {name: kept}
    return {name: kept, f"{name}_sha256": _sha256(texts)}


def _json_bytes(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _sha256(texts: Iterable[str]) -> str:
    """Over the texts in UTF-8, a zero byte between two."""
    return hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest()
