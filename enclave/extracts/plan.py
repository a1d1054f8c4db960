"""From data permit and source schema to an extract plan: SQL pieces per table, and what is left behind (pure).

Order of the rules: every permitted table exists; its person column exists and is an identifier, of one kind in all
tables; every permitted column exists and its type allows the treatment; the row filter names existing columns; no table
with people passes for a vocabulary. All refusals are collected. Nothing the permit does not name is in the plan:
SATRE 3.1.13 and 3.2.03.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from enclave.domain.decisions import RefusedError
from enclave.domain.permits import Permit, PermittedTable, Treatment
from enclave.extracts.column_sql import ColumnContext, ColumnProblem, column_sql, identifier_text, space_of, type_class
from enclave.extracts.row_filter import RowFilterProblem, parse_row_filter
from enclave.extracts.source_schema import SourceColumn, SourceKind, SourceSchema, SourceTable

_NAMES_TOLD = 8


class PlanError(RefusedError):
    """Permit and source do not fit; ``reasons`` holds every sentence."""


class PersonKind(StrEnum):
    """How person identifiers are written in the source."""

    INTEGER = "integer"
    TEXT = "text"
    UUID = "uuid"


@dataclass(frozen=True)
class PlannedColumn:
    """One column of the extract: SQL over ``s`` (source row) and ``p`` (person)."""

    name: str
    sql: str
    treatment: Treatment


@dataclass(frozen=True)
class TablePlan:
    """One table of the extract."""

    name: str
    relation: str
    """What stands after FROM in the builder's DuckDB."""
    person: str | None
    person_key: str | None
    """SQL over ``s`` for the canonical text of the person id; None: no personal data."""
    other_people: tuple[str, ...]
    """SQL over ``s`` for the canonical text of further person ids in a row."""
    rows: str | None
    columns: tuple[PlannedColumn, ...]
    dropped_columns: tuple[str, ...]
    empty_columns: tuple[str, ...]
    """Source columns without any value: untyped NULLs for the row filter, because their text type means nothing."""


@dataclass(frozen=True)
class ExtractPlan:
    """The whole extract."""

    kind: SourceKind
    tables: tuple[TablePlan, ...]
    dropped_tables: tuple[str, ...]
    spaces: tuple[str, ...]
    """Identifier spaces; space n has its key pads in the DuckDB variables ``inner_n`` and ``outer_n``."""
    person_kind: PersonKind


def plan_extract(permit: Permit, schema: SourceSchema) -> ExtractPlan:
    """Fit the permit to the source. Raises PlanError with every refusal."""
    planner = _Planner(permit, schema)
    tables = [plan for table in permit.tables if (plan := planner.table(table)) is not None]
    if planner.problems:
        raise PlanError(*planner.problems)
    permitted = {t.name.lower() for t in permit.tables}
    return ExtractPlan(
        kind=schema.kind,
        tables=tuple(tables),
        dropped_tables=tuple(n for n in schema.table_names if n.lower() not in permitted),
        spaces=planner.spaces,
        person_kind=next(iter(planner.kinds), PersonKind.TEXT),
    )


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence: the nearest names there are, or the first few when none is near."""
    lowered = {k.lower(): k for k in known}
    near = difflib.get_close_matches(word.lower(), list(lowered), n=3, cutoff=0.5)
    if near:
        return f"; nearest: {', '.join(lowered[n] for n in near)}"
    first = sorted(lowered.values())[:_NAMES_TOLD]
    rest = " …" if len(lowered) > _NAMES_TOLD else ""
    return f"; there are: {', '.join(first)}{rest}" if first else ""


class _Planner:
    """Collects problems while it plans one table after the other."""

    def __init__(self, permit: Permit, schema: SourceSchema) -> None:
        self._permit = permit
        self._schema = schema
        self._person_names = {t.person.lower() for t in permit.tables if t.person}
        self.problems: list[str] = []
        self.kinds: set[PersonKind] = set()
        used = {space_of(c) for t in permit.tables for c in t.columns if c.treatment is Treatment.PSEUDONYM}
        self.spaces = tuple(sorted(used))

    def table(self, wanted: PermittedTable) -> TablePlan | None:
        source = self._schema.find(wanted.name)
        if source is None:
            near = nearest(wanted.name, self._schema.table_names)
            self._refuse(f"Expected the table {wanted.name} of the permit in the source, found none{near}.")
            return None
        person_key = self._person(wanted, source)
        self._check_vocabulary(wanted, source)
        self._check_filter(wanted, source)
        named = {c.name.lower() for c in wanted.columns}
        return TablePlan(
            name=wanted.name,
            relation=source.relation,
            person=wanted.person,
            person_key=person_key,
            other_people=self._other_people(wanted, source),
            rows=wanted.rows,
            columns=self._columns(wanted, source),
            dropped_columns=tuple(c.name for c in source.columns if c.name.lower() not in named),
            empty_columns=tuple(c.name for c in source.columns if c.is_empty),
        )

    def _person(self, wanted: PermittedTable, source: SourceTable) -> str | None:
        if wanted.person is None:
            return None
        column = self._find(wanted, source, wanted.person)
        if column is None:
            return None
        self._check_identifier(f"{wanted.name}.{column.name}", column)
        return identifier_text(column)

    def _other_people(self, wanted: PermittedTable, source: SourceTable) -> tuple[str, ...]:
        named = [c.name for c in wanted.columns if c.treatment is Treatment.PERSON_PSEUDONYM]
        found = [source.find(name) for name in named if name.lower() != (wanted.person or "").lower()]
        return tuple(identifier_text(column) for column in found if column is not None)

    def _check_identifier(self, label: str, column: SourceColumn) -> None:
        """One kind of person identifiers everywhere, or an opt-out written 12 could miss a person written 012."""
        found = type_class(column)
        if found == "empty":
            return
        kind = {"integer": PersonKind.INTEGER, "text": PersonKind.TEXT}.get(found)
        kind = PersonKind.UUID if column.type == "UUID" else kind
        if kind is None:
            self._refuse(f"Expected whole numbers, text or UUIDs as person ids in {label}, found {column.type[:40]}.")
        elif self.kinds - {kind}:
            other = next(iter(self.kinds - {kind}))
            self._refuse(
                f"Expected person identifiers of one kind, found {other} elsewhere and {kind} in {label}; "
                "give the columns one type in the source."
            )
        else:
            self.kinds.add(kind)

    def _check_vocabulary(self, wanted: PermittedTable, source: SourceTable) -> None:
        found = [c.name for c in source.columns if c.name.lower() in self._person_names]
        if wanted.person is None and found:
            self._refuse(
                f"Expected no person column in {wanted.name}, a vocabulary for the permit, found {found[0]}; "
                f'add "person: {found[0]}" to the table in the data permit.'
            )

    def _check_filter(self, wanted: PermittedTable, source: SourceTable) -> None:
        if wanted.rows is None:
            return
        parsed = parse_row_filter(wanted.rows)
        if isinstance(parsed, RowFilterProblem):
            self._refuse(f"Row filter of {wanted.name}: {parsed.message}")
            return
        for name in sorted(parsed.columns):
            self._find(wanted, source, name, "row filter")

    def _columns(self, wanted: PermittedTable, source: SourceTable) -> tuple[PlannedColumn, ...]:
        context = ColumnContext(wanted.person is not None, self._permit.date_shift_days > 0, self.spaces)
        planned: list[PlannedColumn] = []
        for column in wanted.columns:
            found = self._find(wanted, source, column.name)
            if found is None:
                continue
            label = f"{wanted.name}.{column.name}"
            if column.treatment is Treatment.PERSON_PSEUDONYM:
                self._check_identifier(label, found)
            if column.treatment is Treatment.PERSON_PSEUDONYM and column.name.lower() == (wanted.person or "").lower():
                planned.append(PlannedColumn(column.name, "p.pseudonym", column.treatment))
                continue
            sql = column_sql(column, found, context)
            if isinstance(sql, ColumnProblem):
                self._refuse(f"{label}: {sql.message}")
            else:
                planned.append(PlannedColumn(column.name, sql, column.treatment))
        return tuple(planned)

    def _find(
        self, wanted: PermittedTable, source: SourceTable, name: str, where: str = "data permit"
    ) -> SourceColumn | None:
        found = source.find(name)
        if found is None:
            near = nearest(name, (c.name for c in source.columns))
            self._refuse(f"Expected the column {name} of the {where} in the table {wanted.name}, found none{near}.")
        return found

    def _refuse(self, sentence: str) -> None:
        if sentence not in self.problems:
            self.problems.append(sentence)
