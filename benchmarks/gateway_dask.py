"""A group-by on lineitem with two Dask worker processes: through tickets, in parts at the gateway, and on Parquet.

``python benchmarks/gateway_dask.py [--scale N] [--repeat N] [--parts N]``: 6 million rows at scale 1, 60 million at 10.
The baseline is ``dask.dataframe.read_parquet`` on the same data and the same two workers, as a researcher would do
without us; one query by ADBC stands beside them. All answers are compared. Writes
benchmarks/results/gateway_dask_sfN.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rounds import NO_CAP, ROOT, generate_tpch, interleaved, load_stack, machine, thin_client, write

KEYS = ["l_returnflag", "l_linestatus"]
SUMS = ["l_quantity", "l_extendedprice", "l_discount"]
SQL = (
    f"SELECT {', '.join(KEYS)}, {', '.join(f'sum({name}) AS {name}' for name in SUMS)}, count(*) AS n "
    f"FROM lineitem GROUP BY ALL ORDER BY ALL"
)
_DECIMALS = "SELECT * REPLACE ({}) FROM".format(", ".join(f"{name}::DOUBLE AS {name}" for name in (*SUMS, "l_tax")))
"""Doubles, as pandas computes with: decimals would make both ways through pandas slow."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--parts", type=int, help="partitions; about a million rows each by default")
    arguments = parser.parse_args()
    module = load_stack()
    with tempfile.TemporaryDirectory(prefix="tpch", dir="/var/tmp") as folder, module.running_stack() as stack:
        (loaded,) = [sql for sql in generate_tpch(Path(folder), arguments.scale) if " lineitem " in sql]
        loaded = loaded.replace("AS FROM", f"AS {_DECIMALS}")
        stack.add_project(statements=(loaded,), **NO_CAP)
        parquet = Path(folder) / "doubles.parquet"
        _write_parquet(stack, parquet)
        found = measure(stack, parquet, arguments.repeat, arguments.parts)
    write(f"gateway_dask_sf{arguments.scale:g}", {"scale": arguments.scale, "repeat": arguments.repeat, **found})


def _write_parquet(stack: Any, file: Path) -> None:
    """The same rows as the extract's, in row groups of about a million, as Dask likes them."""
    import duckdb

    native = stack.settings.projects_dir / "heart-study" / "extracts" / "v1" / "extract.duckdb"
    with duckdb.connect(str(native), read_only=True) as connection:
        connection.execute(f"COPY lineitem TO '{file}' (ROW_GROUP_SIZE 983040)")


def measure(stack: Any, parquet: Path, repeat: int, parts: int | None) -> dict[str, Any]:
    """Medians per way and their ratios to the baseline; every way's answer is checked once."""
    os.environ["PYTHONPATH"] = str(ROOT / "workspace_images" / "client")  # for the worker processes
    thin_client(stack)
    import dask.dataframe
    from enclave_client import dask as enclave_dask

    started = machine()
    with enclave_dask.client(2), stack.connect() as connection, connection.cursor() as cursor:
        lineitem = enclave_dask.table("lineitem", parts=parts)

        def one_query() -> dict[Any, Any]:
            cursor.execute(SQL)
            return _answer(cursor.fetch_arrow_table().to_pandas())

        ways: dict[str, Callable[[], dict[Any, Any]]] = {
            "read_parquet": lambda: _grouped(dask.dataframe.read_parquet(parquet, split_row_groups=True)),
            "tickets": lambda: _grouped(lineitem),
            "partial_aggregates": lambda: _answer(
                enclave_dask.aggregate(
                    "lineitem",
                    by=KEYS,
                    values={**{name: ("sum", name) for name in SUMS}, "n": ("count", "*")},
                    parts=parts,
                )
            ),
            "one_query_adbc": one_query,
        }
        expected = one_query()
        for name, run in ways.items():
            _check_same(expected, run(), name)
        times = interleaved(ways, repeat)
        cut = lineitem.npartitions
    return {
        "machine": started,
        "load_at_end": machine()["load_1_5_15"],
        "workers": 2,
        "parts": cut,
        "rows": len(lineitem),
        "ways": _compared(times),
    }


def _compared(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    return {
        name: {
            "seconds": round(medians[name], 3),
            "fastest": round(min(taken), 3),
            "slowest": round(max(taken), 3),
            "ratio_to_read_parquet": round(medians[name] / medians["read_parquet"], 2),
        }
        for name, taken in times.items()
    }


def _grouped(frame: Any) -> dict[Any, Any]:
    wanted = {name: ["sum"] for name in SUMS} | {SUMS[0]: ["sum", "count"]}
    found = frame.groupby(KEYS).agg(wanted).compute()
    found = found.reset_index()
    found.columns = ["_".join(filter(None, column)) for column in found.columns]
    return _answer(found[[*KEYS, *(f"{name}_sum" for name in SUMS), f"{SUMS[0]}_count"]])


def _answer(frame: Any) -> dict[Any, Any]:
    return {tuple(row[: len(KEYS)]): tuple(map(float, row[len(KEYS) :])) for row in frame.to_numpy().tolist()}


def _check_same(expected: dict[Any, Any], found: dict[Any, Any], name: str) -> None:
    close = expected.keys() == found.keys() and all(
        abs(a - b) <= 1e-9 * abs(a) for key in expected for a, b in zip(expected[key], found[key], strict=True)
    )
    if not close:
        raise SystemExit(f"{name}: expected the answer of one query, found another")


if __name__ == "__main__":
    main()
