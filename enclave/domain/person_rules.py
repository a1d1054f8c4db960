"""What the permit's rules leave of the extract for one person. Pure; the gateway's worker makes views from it.

A rule's ``digest`` stands for its content: records cite it, and what somebody kept under another rule is recognised by
it. Names of tables and columns are compared without regard to case, as DuckDB does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from enclave.domain.ids import Username
from enclave.domain.manifest import Manifest, ManifestTable
from enclave.domain.permits import Permit, TableRule


@dataclass(frozen=True)
class PersonRules:
    """All rules of one person, at most one per table; none for most people. ``people`` is empty in each of them."""

    rules: tuple[TableRule, ...] = ()

    @cached_property
    def _by_table(self) -> dict[str, TableRule]:
        return {rule.table.lower(): rule for rule in self.rules}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all of them; empty text when there are none."""
        return _sha256([_content(rule) for rule in self.rules]) if self.rules else ""

    def find(self, table: str) -> TableRule | None:
        """The rule that narrows this table."""
        return self._by_table.get(table.lower())

    def digest_of(self, table: str) -> str:
        """SHA-256 of the rule for one table; empty text when none narrows it."""
        rule = self.find(table)
        return _sha256(_content(rule)) if rule is not None else ""

    def digests_of(self, tables: Iterable[str]) -> dict[str, str]:
        """Table → digest for those of ``tables`` that are narrowed."""
        return {table: self.digest_of(table) for table in tables if self.find(table) is not None}

    def hides_rows(self, table: str) -> bool:
        rule = self.find(table)
        return rule is not None and rule.rows is not None

    def narrow(self, manifest: Manifest) -> Manifest:
        """The manifest with visible columns only. Row counts stay those of the whole table: see ``hides_rows``."""
        if not self.rules:
            return manifest
        return manifest.model_copy(update={"tables": tuple(self._narrowed(table) for table in manifest.tables)})

    def _narrowed(self, table: ManifestTable) -> ManifestTable:
        rule = self.find(table.name)
        if rule is None or not rule.columns:
            return table
        visible = {name.lower() for name in rule.columns}
        columns = tuple(column for column in table.columns if column.name.lower() in visible)
        person = table.person if table.person is not None and table.person.lower() in visible else None
        return table.model_copy(update={"columns": columns, "person": person})

    def as_json(self) -> list[dict[str, Any]]:
        """For the worker."""
        return [_content(rule) for rule in self.rules]

    @classmethod
    def from_json(cls, content: list[dict[str, Any]]) -> PersonRules:
        """The other direction."""
        return cls(tuple(TableRule((), c["table"], tuple(c["columns"]), c["rows"]) for c in content))


NO_RULES = PersonRules()


def rules_for(permit: Permit, person: Username) -> PersonRules:
    """The permit's rules that name this person, by table."""
    found = [replace(rule, people=()) for rule in permit.rules if person in rule.people]
    return PersonRules(tuple(sorted(found, key=lambda rule: rule.table.lower()))) if found else NO_RULES


def _content(rule: TableRule) -> dict[str, Any]:
    return {"table": rule.table, "columns": list(rule.columns), "rows": rule.rows}


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
