"""A Parquet index over the published log, queried by DuckDB. Derived: it may be deleted and is rebuilt from the log.

Never the record itself: nothing here checks signatures or hashes (``audit.verify`` does), and an answer found here is
proven only by the log (``audit.proof``). ``duckdb`` and ``pyarrow`` are loaded when :class:`LogIndex` is first named:
the mapping and the filters work without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from audit.index.rows import Row
from audit.index.wanted import GROUPINGS, Wanted

if TYPE_CHECKING:
    from audit.index.builder import IndexUnwritable
    from audit.index.log_index import Histogram, LogIndex

__all__ = ["GROUPINGS", "Histogram", "IndexUnwritable", "LogIndex", "Row", "Wanted"]


def __getattr__(name: str) -> Any:
    if name == "IndexUnwritable":
        from audit.index.builder import IndexUnwritable

        return IndexUnwritable
    if name in ("Histogram", "LogIndex"):
        from audit.index import log_index

        return getattr(log_index, name)
    raise AttributeError(name)
