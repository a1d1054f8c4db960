"""An auditor's test query: a statement that nobody else sends, so that its record can be looked for.

It reads no table. Its name is in an alias, not in a literal, so that its template is its own: the auditor's record of
the order names the template, and the verifier finds out offline whether the query's record is there.
"""

from __future__ import annotations

import re
import secrets

import duckdb

from enclave.gateway.gate import StatementRefusedError, template_sha256
from enclave.tokens import CANARY_WORKSPACE, TokenClaims

_CANARY = re.compile(r"SELECT 1 AS canary_[0-9a-f]{24}", re.ASCII)


def new_canary() -> str:
    """A fresh statement."""
    return f"SELECT 1 AS canary_{secrets.token_hex(12)}"


def canary_template(sql: str) -> str:
    """Its template as the gateway will record it. Only for statements of :func:`new_canary`: they are parsed here."""
    if not _CANARY.fullmatch(sql):
        raise ValueError("Expected a canary statement.")
    with duckdb.connect() as connection:
        row = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    assert row is not None  # noqa: S101 - a SELECT of one value has one row
    return template_sha256(str(row[0]))


def check_canary(claims: TokenClaims, sql: str) -> None:
    """A canary's token runs a canary and nothing else; raises StatementRefusedError."""
    if claims.workspace == CANARY_WORKSPACE and not _CANARY.fullmatch(sql):
        raise StatementRefusedError(
            "canary", "This token carries an auditor's test query and nothing else. Use a workspace for queries."
        )
