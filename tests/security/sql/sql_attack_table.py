"""The table of attacks on the query gateway; each row is a test (``test_sql_attacks.py``) and a line of the manual.

``attacks_markdown`` makes the page ``docs/reference/sql-attacks.md`` from the same rows.
"""

from __future__ import annotations

from itertools import groupby

from sql_attack_row import Ending, Expected, SqlAttack
from sql_bombs import BOMBS
from sql_rows_changing import CHANGING
from sql_rows_parser import EVASIONS
from sql_rows_reading import READING

ATTACKS: tuple[SqlAttack, ...] = (*READING, *CHANGING, *EVASIONS)
_SHOWN = 110


def attacks_markdown() -> str:
    """The page, without the line that says it is generated."""
    lines = ["# Attacks by SQL, and what becomes of them\n"]
    lines += [
        "Each row is a test in `tests/security/sql/`, sent by a stock ADBC client to a whole gateway. No answer may"
    ]
    lines += [
        "hold a marker that stands in a file of the host, another project's extract, the environment, a column the"
    ]
    lines += [
        "permit leaves out, or what a colleague keeps. `{home}` is the enclave's folder, `{other}` another project's"
    ]
    lines += ["extract.\n"]
    lines += [f"{len(ATTACKS)} attacks and {len(BOMBS)} resource bombs."]
    for group, members in groupby(ATTACKS, key=lambda row: row.group):
        lines += [f"\n## {group[0].upper()}{group[1:]}\n", "| id | statement | expected |", "| --- | --- | --- |"]
        lines += [f"| {row.id} | {_code(row.sql)} | {_said(row.expected)} |" for row in members]
    lines += ["\n## Resource bombs\n"]
    lines += ["Each ends within 30 seconds while a colleague's queries in the same project are answered.\n"]
    lines += ["| id | statement | what it fills |", "| --- | --- | --- |"]
    lines += [f"| {bomb.id} | {_code(bomb.sql)} | {bomb.fills} |" for bomb in BOMBS]
    return "\n".join(lines) + "\n"


def _said(expected: Expected) -> str:
    match expected.ending:
        case Ending.GATE:
            return f"{expected.ending}: `{expected.detail}`"
        case Ending.ENGINE:
            return str(expected.ending)
        case Ending.HARMLESS:
            return f"{expected.ending}: {expected.detail}"


def _code(sql: str) -> str:
    """The statement as one cell: signs that cannot be seen as their code point, long ones cut."""
    seen = "".join(
        sign if sign.isprintable() and sign not in "\u200b\u037e" else f"<U+{ord(sign):04X}>" for sign in sql
    )
    shown = seen if len(seen) <= _SHOWN else seen[:_SHOWN] + "…"
    fence = "``" if "`" in shown else "`"
    return f"{fence}{shown.replace('|', chr(92) + '|')}{fence}" if shown else "(nothing)"
