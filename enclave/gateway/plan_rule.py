"""EXPLAIN is not for tables of which a rule hides rows: DuckDB's estimates come from the whole table.

A plan over a secure view says "~5 000 rows" where the person may see fewer (measured), so it would tell how many there
are. Everything else in a plan of a secure view is hidden by DuckDB itself. Columns hidden alone change no estimate.
"""

from __future__ import annotations

from enclave.domain.person_rules import PersonRules
from enclave.gateway.gate import ExaminedStatement, StatementRefusedError


def check_plan(rules: PersonRules, statement: ExaminedStatement) -> None:
    """Raises StatementRefusedError."""
    hidden = [table for table in statement.tables if rules.hides_rows(table)]
    if statement.verb == "explain" and hidden:
        raise StatementRefusedError(
            "explain-rules",
            f"EXPLAIN is not available for {', '.join(hidden)}: a rule of the data permit hides rows of it from you, "
            "and a plan tells how many there are. Run the query itself, or explain it over other tables.",
        )
