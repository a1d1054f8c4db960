"""The table of ``docs/clients.md`` and its examples, as the tests compare them with what the clients did."""

from __future__ import annotations

import re

from suite import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "clients.md"
DOORS = ("all of this over TLS", "connect and query over mutual TLS")
"""Rows about a run of the suite: does it go at that door as the rows above say?"""
_RESULTS = {"yes": "yes", "no": "no", "–": "not-offered"}
_NAMES = {
    "ADBC": "adbc",
    "pandas": "pandas",
    "polars": "polars",
    "flightsql-dbapi": "flightsql_dbapi",
    "SQLAlchemy": "sqlalchemy",
    "ibis": "ibis",
    "JDBC": "jdbc",
    "Go": "go",
}


def table() -> dict[str, dict[str, str]]:
    """For each client: each check and its documented result. A check of some clients only is ``–`` for the others."""
    rows = [_cells(line) for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    begin = next(position for position, row in enumerate(rows) if row[:2] == ["what", "ADBC"])
    clients = [_NAMES[name] for name in rows[begin][1:]]
    found: dict[str, dict[str, str]] = {client: {} for client in clients}
    for row in rows[begin + 2 :]:
        if len(row) != len(clients) + 1:
            break
        for client, cell in zip(clients, row[1:], strict=True):
            found[client][row[0]] = _RESULTS[cell.rstrip("¹²³⁴⁵⁶⁷⁸⁹")]
    return found


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def examples(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
