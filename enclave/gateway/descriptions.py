"""Front side: what is known of a statement before it runs, and a cache of it, so that a statement is bound for its
columns once per person and extract, not at every prepare.

Non-goal: statements whose answer can change with an extract that stays the same (those over a person's scratch tables):
``is_lasting`` says which may be kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from enclave.domain.ids import ExtractVersion, PersonId, ProjectId
from enclave.gateway.admission import Caller
from enclave.gateway.describe import PARAMETERS_KEY
from enclave.gateway.gate import ExaminedStatement
from enclave.gateway.recent import Recent

_REMEMBERED = 1024
_REMEMBERED_CHARACTERS = 10_000
_SCRATCH = "scratch."


@dataclass(frozen=True)
class Description:
    """Columns of the result; parameters in their order, with their Arrow types."""

    columns: pa.Schema
    parameters: pa.Schema


EXPLAINED = Description(
    pa.schema([pa.field("explain_key", pa.string()), pa.field("explain_value", pa.string())]), pa.schema([])
)
"""EXPLAIN answers so whatever it explains: nothing has to be bound."""

DescriptionKey = tuple[ProjectId, ExtractVersion | None, PersonId, str, str]


def description_key(caller: Caller, sql: str) -> DescriptionKey:
    """What an answer depends on; the last part is the statement."""
    return caller.record.id, caller.record.extract_version, caller.person.id, caller.rules.digest, sql


def split_description(schema: pa.Schema) -> Description:
    """What the worker's ``describe`` sent."""
    taken = (schema.metadata or {}).get(PARAMETERS_KEY)
    parameters = pa.ipc.read_schema(pa.py_buffer(taken)) if taken else pa.schema([])
    return Description(schema.remove_metadata(), parameters)


def is_lasting(examined: ExaminedStatement) -> bool:
    """True when the same extract always gives the same columns."""
    return not any(table.startswith(_SCRATCH) for table in examined.tables)


class DescriptionCache:
    """One per front; thread-safe. Holds the most recently used statements."""

    def __init__(self) -> None:
        self._recent: Recent[DescriptionKey, Description] = Recent(_REMEMBERED)

    def find(self, key: DescriptionKey) -> Description | None:
        return self._recent.find(key)

    def keep(self, key: DescriptionKey, description: Description) -> None:
        if len(key[-1]) <= _REMEMBERED_CHARACTERS:
            self._recent.keep(key, description)
