"""The DuckDB views over the index's files."""

from __future__ import annotations

from pathlib import Path

import duckdb

from audit.index.arrow import SEARCHED
from audit.index.manifest import Manifest
from audit.index.mapping import COLUMNS

SELECTED = ", ".join(f'"{name}"' for name in COLUMNS)
_SQL_TYPES = {"int64": "BIGINT", "string": "VARCHAR", "timestamp[us]": "TIMESTAMP", "bool": "BOOLEAN"}


def open_database() -> duckdb.DuckDBPyConnection:
    """A DuckDB instance in memory that remembers the footers of the files it read."""
    return duckdb.connect(config={"parquet_metadata_cache": "true", "autoinstall_known_extensions": "false"})


def create_views(connection: duckdb.DuckDBPyConnection, index_dir: Path, manifest: Manifest | None) -> None:
    """Make view ``records`` over the files of the manifest, and ``searched`` with the columns that serve to find."""
    if manifest is None or not manifest.parts:
        source = f"(SELECT {_no_columns()} WHERE false)"
    else:
        # names of files cannot be bound in a view, so they are quoted here
        paths = (str(index_dir / part.records.name).replace("'", "''") for part in manifest.parts)
        source = "read_parquet([{}])".format(", ".join(f"'{path}'" for path in paths))
    connection.begin()  # other threads see both views of one state, or of the next
    connection.execute(f"CREATE OR REPLACE VIEW searched AS SELECT * FROM {source}")  # noqa: S608
    connection.execute(f"CREATE OR REPLACE VIEW records AS SELECT {SELECTED} FROM {source}")  # noqa: S608
    connection.commit()


def _no_columns() -> str:
    types = {field.name: _SQL_TYPES.get(str(field.type), "VARCHAR[]") for field in SEARCHED}
    return ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in types.items())
