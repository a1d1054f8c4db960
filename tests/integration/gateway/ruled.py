"""A project whose permit narrows bob's tables and not alice's, for the tests of rules and for attacks on them.

The extract: visit (5 000 rows; every third is bob's, the others carry MARKER in each text), death and person.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

MARKER = "MARKER-HIDDEN-4d7e"
"""Stands in every row and column that a rule hides from bob."""
PROJECT = "heart-study"
ALICE, BOB = "u-000000000001", "u-000000000002"

STATEMENTS = (
    "CREATE TABLE person AS SELECT i::BIGINT AS person_id, 1950 + i % 60 AS year_of_birth FROM range(1000) r(i)",
    f"""CREATE TABLE visit AS SELECT i::BIGINT AS visit_id, (i % 1000)::BIGINT AS person_id,
        CASE WHEN i % 3 = 0 THEN 'cardiology' ELSE '{MARKER}-ward' END AS ward,
        CASE WHEN i % 3 = 0 THEN (i % 97)::VARCHAR ELSE '{MARKER}-' || i END AS label,
        CASE WHEN i % 3 = 0 THEN 1 + i % 7 ELSE 0 END AS divisor
        FROM range(5000) r(i)""",
    f"""CREATE TABLE death AS SELECT i::BIGINT AS person_id, DATE '1871-01-01' + (i % 70)::INTEGER AS died_on,
        '{MARKER}-' || i AS cause, i % 2 = 0 AS in_hospital FROM range(100) r(i)""",
)
RULES = """rules:
  - people: [bob]
    table: visit
    columns: [visit_id, person_id, label, divisor]
    rows: "ward = 'cardiology'"
  - people: [bob]
    table: death
    columns: [person_id, in_hospital]
"""
PERMIT = """permit: 1
project: heart-study
title: A study
purpose: Test the rules.
legal_basis: Regulation (EU) 2025/327 (EHDS), article 53(1)(e)
dataset: {name: sample, version: "1"}
people: {researchers: [alice, bob]}
expires_on: 2099-12-31
pseudonyms: {domain: heart-study}
dates: {shift_days: 0}
tables:
  person: {columns: {person_id: keep, year_of_birth: keep}}
  visit: {columns: {visit_id: keep, person_id: keep, ward: keep, label: keep, divisor: keep}}
  death: {columns: {person_id: keep, died_on: keep, cause: keep, in_hospital: keep}}
"""


def add_ruled_project(stack: Any, rules: str = RULES) -> None:
    """The project with alice and bob as members, under these rules."""
    stack.add_project(statements=STATEMENTS, members=frozenset({ALICE, BOB}))
    set_rules(stack, rules)


def set_rules(stack: Any, rules: str) -> None:
    """Approve the permit anew with other rules, as a decision of the data access body would."""
    text = PERMIT + rules
    record = stack.access.project(PROJECT)
    (stack.settings.projects_dir / PROJECT / "permit.yaml").write_text(text)
    stack.access.write_project(replace(record, permit_sha256=hashlib.sha256(text.encode()).hexdigest()))
