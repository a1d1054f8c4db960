"""Records in an in-memory DuckDB table of the index's schema, made from plain rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import duckdb

NOW = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)  # a Wednesday, 13:00 in Paris
SCHEMA = """
CREATE TABLE records ("index" BIGINT, "at" TIMESTAMP, type VARCHAR, actor VARCHAR, subject VARCHAR, project VARCHAR,
    workspace VARCHAR, request_id VARCHAR, decision VARCHAR, writer VARCHAR, boot VARCHAR, seq BIGINT,
    policies VARCHAR[], tables VARCHAR[], template VARCHAR, verb VARCHAR, dataset VARCHAR, status VARCHAR, rule VARCHAR,
    "rows" BIGINT, bytes BIGINT, duration_ms BIGINT, "columns" BIGINT, persons BIGINT, min_cell BIGINT,
    has_payload BOOLEAN, leaf VARCHAR, leaf_hash VARCHAR)
"""
COLUMNS = [line.split()[0].strip('"') for line in SCHEMA.split("(", 1)[1].rsplit(")", 1)[0].split(",")]


def record(at: datetime, type: str, actor: str = "u-1", *, counts=None, data=None, **columns) -> dict:
    """One row; what is not given is NULL. ``counts`` and ``data`` stand in the leaf."""
    leaf = {"type": type, "actor": actor, "counts": counts or {}, "data": data or {}}
    return {"at": at, "type": type, "actor": actor, "leaf": json.dumps(leaf), **columns}


def outcome(at: datetime, actor: str = "u-1", **columns) -> dict:
    return record(at, "query:outcome", actor, **{"project": "p-1", "dataset": "d@v1", "template": "t-1", **columns})


def table(rows: list[dict]) -> duckdb.DuckDBPyConnection:
    """A connection with ``records``: the rows in the order of time, indexes counted from 0."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(SCHEMA)
    ordered = sorted(rows, key=lambda row: row["at"])
    filled = [
        [{"index": index, **row, "at": row["at"].astimezone(UTC).replace(tzinfo=None)}.get(name) for name in COLUMNS]
        for index, row in enumerate(ordered)
    ]
    if filled:
        connection.executemany(f"INSERT INTO records VALUES ({', '.join('?' * len(COLUMNS))})", filled)
    return connection


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def found(rows: list[dict], rule: str, thresholds, now: datetime = NOW) -> list:
    """The alerts of one rule over these rows; a rule that fails raises."""
    from audit.alerts.clock import span_of
    from audit.alerts.engine import apply_rule
    from audit.alerts.rules import RULES_BY_ID

    with table(rows) as connection:
        return apply_rule(connection, RULES_BY_ID[rule], thresholds, span_of(thresholds, now))
