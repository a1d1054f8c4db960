"""``python -m enclave_client.for_r FILE``: what R's ``enclave_sql()`` and its companions call, one process per call.

A request as JSON on standard input, an answer as JSON on standard output; a table's columns go to FILE as plain bytes
in the machine's order, which R's ``readBin`` takes as they are. Exit code 1: the answer is a sentence to show.

Why not a library: Debian has neither ``arrow`` nor ``nanoarrow`` for R, and pyreadr needs 10 s for a million rows of
four columns (measured; this: 0.2 s).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import IO, Any

import pyarrow
import pyarrow.compute as compute

from enclave_client.errors import EnclaveError
from enclave_client.queries import sql
from enclave_client.releases import request_release
from enclave_client.space import project, tables

_NA_REAL = 0x7FF00000000007A2
"""R's missing number: a NaN with 1954 in its lower half (R Data Import/Export; arithmetic.c)."""
_NA_INTEGER = -(2**31)
_EXACT = 2**53
_DAY_SECONDS = 86_400


def write_table(table: pyarrow.Table, file: IO[bytes]) -> dict[str, Any]:
    """Write all columns one after the other; returns what R needs to read them. Raises EnclaveError."""
    columns = [
        {"name": name, **_write(name, column.combine_chunks(), file)}
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return {"rows": table.num_rows, "columns": columns}


def _write(name: str, column: Any, file: IO[bytes]) -> dict[str, Any]:
    """One column as doubles, integers, or integers with their distinct texts."""
    kind, types = column.type, pyarrow.types
    if types.is_boolean(kind):
        return _integers(compute.cast(column, "int32"), file) | {"class": "logical"}
    if types.is_null(kind):
        return _integers(column.cast("int32"), file) | {"class": "logical"}
    if kind in _SMALL and not compute.any(compute.equal(column.cast("int64"), _NA_INTEGER)).as_py():
        return _integers(column.cast("int32"), file) | {"class": "integer"}
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return _doubles(column.cast("float64", safe=False), file) | {"class": "numeric", "rounded": _is_rounded(column)}
    if types.is_date(kind):
        return _doubles(column.cast("date32").cast("int32").cast("float64"), file) | {"class": "Date"}
    if types.is_timestamp(kind):
        micros = column.cast(pyarrow.timestamp("us", kind.tz), safe=False).cast("int64").cast("float64", safe=False)
        return _doubles(compute.divide(micros, 1e6), file) | {"class": "POSIXct"}
    if types.is_time(kind):
        micros = column.cast("time64[us]", safe=False).cast("int64").cast("float64")
        return _doubles(compute.divide(micros, 1e6), file) | {"class": "difftime"}
    if types.is_string(kind) or types.is_large_string(kind) or types.is_dictionary(kind):
        return _texts(column, file) | {"class": "character"}
    raise EnclaveError(f"Expected columns that R has a type for, found “{name}” of type {kind}. Cast it in the query.")


_SMALL = {pyarrow.int8(), pyarrow.int16(), pyarrow.int32(), pyarrow.uint8(), pyarrow.uint16()}


def _is_rounded(column: Any) -> bool:
    """R's numbers are exact up to 2^53."""
    if not pyarrow.types.is_integer(column.type) or not len(column):
        return False
    bounds = compute.min_max(column).as_py()
    return any(bound is not None and abs(bound) > _EXACT for bound in bounds.values())


def _integers(column: Any, file: IO[bytes]) -> dict[str, Any]:
    file.write(compute.fill_null(column, _NA_INTEGER).to_numpy(zero_copy_only=False).astype("int32").tobytes())
    return {"stored": "integer"}


def _doubles(column: Any, file: IO[bytes]) -> dict[str, Any]:
    values = compute.fill_null(column, 0.0).to_numpy(zero_copy_only=False).astype("float64")
    if column.null_count:
        values = values.copy()
        values.view("uint64")[compute.is_null(column).to_numpy(zero_copy_only=False)] = _NA_REAL
    file.write(values.tobytes())
    return {"stored": "double"}


def _texts(column: Any, file: IO[bytes]) -> dict[str, Any]:
    """Numbers from 1 into the distinct texts, which stand in front, each ended by a NUL as C and R do."""
    encoded = column if pyarrow.types.is_dictionary(column.type) else compute.dictionary_encode(column)
    if isinstance(encoded, pyarrow.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    distinct = [text or "" for text in encoded.dictionary.cast("string").to_pylist()]
    if any("\0" in text for text in distinct):
        raise EnclaveError(
            "Expected texts without the character NUL, which R cannot hold, found some. Replace it in the query."
        )
    file.write(b"".join(text.encode() + b"\0" for text in distinct))
    _integers(compute.add(encoded.indices.cast("int32"), 1), file)
    return {"stored": "text", "distinct": len(distinct)}


def answer(request: dict[str, Any], file: IO[bytes]) -> dict[str, Any]:
    """Carry out one request. Raises EnclaveError."""
    match request["do"]:
        case "sql":
            return write_table(sql(request["statement"], request.get("parameters") or None).arrow(), file)
        case "tables":
            return write_table(pyarrow.Table.from_pandas(tables().reset_index(), preserve_index=False), file)
        case "project":
            return dict(project())
        case "request_release":
            made = request_release(
                request["files"],
                title=request["title"],
                context=request["context"],
                follows=request.get("follows") or None,
            )
            return {"id": made.id, "said": repr(made)}
        case other:
            raise EnclaveError(f"Expected sql, tables, project or request_release, found {other}.")


def main() -> int:
    """See the module."""
    told, sys.stdout = sys.stdout, sys.stderr  # what the client prints must not get into the answer
    try:
        with Path(sys.argv[1]).open("wb") as file:
            made = answer(json.load(sys.stdin), file)
    except EnclaveError as error:
        print(json.dumps({"problem": str(error)}), file=told)
        return 1
    except KeyboardInterrupt:
        print(json.dumps({"problem": "Interrupted; the query was stopped."}), file=told)
        return 1
    print(json.dumps(made, default=str), file=told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
