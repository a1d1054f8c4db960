"""Data permits as files: YAML text → ``Permit``, with every problem named by its line.

EHDS Regulation (EU) 2025/327 art. 68: a data permit states purpose, data, people and duration. The reference of all
keys is ``examples/permits/README.md``. Non-goal: comparing it with a source (``plan``) or with today (``build``).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml.nodes import Node, ScalarNode

from enclave.domain.ids import PROJECT_ID, USERNAME, ProjectId, Username
from enclave.domain.permits import OutputRules, Permit, PermittedTable, QueryCaps, TableRule, WorkspaceRules
from enclave.extracts.permit_nodes import NodeReader, PermitError, Problem, compose
from enclave.extracts.permit_rules import read_rules
from enclave.extracts.permit_tables import read_tables

__all__ = ["PermitError", "Problem", "parse_permit", "read_permit"]

_Rules = TypeVar("_Rules", OutputRules, QueryCaps, WorkspaceRules)

FORMAT = 1
LONGEST_SHIFT = 3650
DATASET_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,40}")
DATASET_NAME_WORDS = "2 to 41 lower-case letters, digits and hyphens"
DATASET_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}")
DATASET_VERSION_WORDS = "letters, digits, dots and hyphens"
_FILE_TYPE = re.compile(r"\.[a-z0-9]{1,10}")
_REQUIRED = ("permit", "project", "title", "purpose", "legal_basis", "dataset", "people", "expires_on", "pseudonyms",
             "dates", "tables")  # fmt: skip
_OPTIONAL = ("outputs", "caps", "workspace", "rules")
_BOUNDS: dict[str, tuple[int, int]] = {
    "minimum_count": (1, 1_000_000),
    "maximum_bytes": (1, 10_000_000_000),
    "maximum_files": (1, 1000),
    "rows": (1, 1_000_000_000_000),
    "bytes": (1, 1_000_000_000_000_000),
    "rows_per_day": (1, 1_000_000_000_000),
    "bytes_per_day": (1, 1_000_000_000_000_000),
    "streams": (1, 64),
    "seconds": (1, 86_400),
    "statement_characters": (100, 10_000_000),
    "memory_mb": (256, 1_000_000),
    "processes": (16, 100_000),
    "idle_minutes": (1, 10_080),
    "shown_bytes_per_day": (10_000, 1_000_000_000_000),
    "shown_rows_per_day": (10, 1_000_000_000),
    "hours": (1, 720),
    "disk_mb": (64, 100_000_000),
    "shared_mb": (0, 16_000_000),
    "archive_days": (1, 36_500),
}
"""Least and most of every number in the optional parts."""
_YES_OR_NO = ("archive_shown", "terminals")


def read_permit(path: Path) -> Permit:
    """The data permit in a file; ``sha256`` is of its bytes. Raises ``PermitError``."""
    try:
        content = path.read_bytes()
    except OSError as error:
        found = os.strerror(error.errno or 0)
        message = f"expected the data permit {path.name}, found that it cannot be read ({found}); check the path."
        raise PermitError([Problem(1, 1, message)]) from error
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        message = "expected UTF-8 text, found other bytes; save the file as UTF-8."
        raise PermitError([Problem(line, 1, message)]) from error
    return parse_permit(text)


def parse_permit(text: str) -> Permit:
    """The data permit in ``text``; ``sha256`` is of its UTF-8 bytes. Raises ``PermitError`` with all problems."""
    reader = NodeReader()
    root = compose(text)
    parts = _read_parts(reader, reader.mapping(root, "the data permit", _REQUIRED, _OPTIONAL))
    permit = _assemble(parts, text)
    if permit is not None:
        return permit
    if not reader.problems:
        # Only a defect of this reader could lead here; a permit half understood must not pass for a permit.
        reader.report(root, "expected a complete data permit, found one that could not be assembled; report this file.")
    raise PermitError(reader.problems)


@dataclass
class _Parts:
    """What was read so far; None where there was a problem."""

    problems: list[Problem]
    project: str | None = None
    title: str | None = None
    purpose: str | None = None
    legal_basis: str | None = None
    dataset: str | None = None
    dataset_version: str | None = None
    researchers: tuple[Username, ...] = ()
    expires_on: date | None = None
    pseudonym_domain: str | None = None
    shift_days: int | None = None
    tables: tuple[PermittedTable, ...] = ()
    outputs: OutputRules | None = None
    caps: QueryCaps | None = None
    workspace: WorkspaceRules | None = None
    rules: tuple[TableRule, ...] = ()


def _read_parts(reader: NodeReader, nodes: dict[str, Node]) -> _Parts:
    parts = _Parts(reader.problems)
    read: dict[str, Callable[[Node], None]] = {
        "permit": lambda node: _read_format(reader, node),
        "project": lambda node: setattr(parts, "project", _project(reader, node)),
        "title": lambda node: setattr(parts, "title", reader.text(node, "title", longest=200)),
        "purpose": lambda node: setattr(parts, "purpose", reader.text(node, "purpose", longest=10_000)),
        "legal_basis": lambda node: setattr(parts, "legal_basis", reader.text(node, "legal_basis")),
        "dataset": lambda node: _read_dataset(reader, node, parts),
        "people": lambda node: _read_people(reader, node, parts),
        "expires_on": lambda node: setattr(parts, "expires_on", reader.day(node, "expires_on")),
        "pseudonyms": lambda node: _read_pseudonyms(reader, node, parts),
        "dates": lambda node: _read_dates(reader, node, parts),
        "outputs": lambda node: setattr(parts, "outputs", _rules(reader, node, "outputs", OutputRules)),
        "caps": lambda node: setattr(parts, "caps", _rules(reader, node, "caps", QueryCaps)),
        "workspace": lambda node: setattr(parts, "workspace", _rules(reader, node, "workspace", WorkspaceRules)),
    }
    for key, node in nodes.items():
        if key in read:
            read[key](node)
    if "tables" in nodes:
        parts.tables = read_tables(reader, nodes["tables"], shifting=parts.shift_days != 0)
    if "rules" in nodes:
        parts.rules = read_rules(reader, nodes["rules"], parts.researchers, parts.tables)
    return parts


def _assemble(parts: _Parts, text: str) -> Permit | None:
    project, title, purpose, basis = parts.project, parts.title, parts.purpose, parts.legal_basis
    dataset, version, domain = parts.dataset, parts.dataset_version, parts.pseudonym_domain
    if parts.problems or not (project and title and purpose and basis and dataset and version and domain):
        return None
    if parts.expires_on is None or parts.shift_days is None or not parts.tables or not parts.researchers:
        return None
    return Permit(
        project=ProjectId(project),
        title=title,
        purpose=purpose,
        legal_basis=basis,
        researchers=parts.researchers,
        dataset=dataset,
        dataset_version=version,
        tables=parts.tables,
        pseudonym_domain=domain,
        date_shift_days=parts.shift_days,
        expires_on=parts.expires_on,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        outputs=parts.outputs or OutputRules(),
        caps=parts.caps or QueryCaps(),
        workspace=parts.workspace or WorkspaceRules(),
        rules=parts.rules,
    )


def _read_format(reader: NodeReader, node: Node) -> None:
    number = reader.integer(node, "permit (the format's number)", least=0, most=1_000_000)
    if number is not None and number != FORMAT:
        reader.report(node, f"expected permit: {FORMAT}, found {number}; this version reads format {FORMAT} only.")


def _project(reader: NodeReader, node: Node) -> str | None:
    words = "3 to 30 lower-case letters, digits and hyphens, a letter first"
    return reader.shaped(node, "project", PROJECT_ID, words)


def _read_dataset(reader: NodeReader, node: Node, parts: _Parts) -> None:
    found = reader.mapping(node, "dataset", ("name", "version"))
    if "name" in found:
        parts.dataset = reader.shaped(found["name"], "dataset.name", DATASET_NAME, DATASET_NAME_WORDS)
    if "version" in found:
        version = reader.shaped(found["version"], "dataset.version", DATASET_VERSION, DATASET_VERSION_WORDS)
        parts.dataset_version = version


def _read_people(reader: NodeReader, node: Node, parts: _Parts) -> None:
    found = reader.mapping(node, "people", ("researchers",))
    names: list[Username] = []
    for item in reader.items(found["researchers"], "people.researchers") if "researchers" in found else []:
        words = "2 to 30 lower-case letters, digits and hyphens, a letter first"
        name = reader.shaped(item, "a user name", USERNAME, words)
        if name in names:
            reader.report(item, f'expected every researcher once, found "{name}" again; remove one of the two.')
        elif name is not None:
            names.append(Username(name))
    parts.researchers = tuple(names)


def _read_pseudonyms(reader: NodeReader, node: Node, parts: _Parts) -> None:
    found = reader.mapping(node, "pseudonyms", ("domain",))
    if "domain" in found:
        parts.pseudonym_domain = reader.shaped(found["domain"], "pseudonyms.domain", DATASET_NAME, DATASET_NAME_WORDS)


def _read_dates(reader: NodeReader, node: Node, parts: _Parts) -> None:
    found = reader.mapping(node, "dates", ("shift_days",))
    if "shift_days" in found:
        parts.shift_days = reader.integer(found["shift_days"], "dates.shift_days", least=0, most=LONGEST_SHIFT)


def _rules(reader: NodeReader, node: Node, what: str, kind: type[_Rules]) -> _Rules:
    """An optional part: every key is a number within ``_BOUNDS``, but ``file_types`` and what is yes or no."""
    values: dict[str, Any] = {}
    for name, value in reader.mapping(node, what, (), [f.name for f in fields(kind)]).items():
        if name == "file_types":
            values[name] = _file_types(reader, value)
        elif name in _YES_OR_NO:
            values[name] = reader.yes_or_no(value, f"{what}.{name}") is True
        else:
            least, most = _BOUNDS[name]
            number = reader.integer(value, f"{what}.{name}", least=least, most=most)
            values |= {} if number is None else {name: number}
    return kind(**values)


def _file_types(reader: NodeReader, node: Node) -> tuple[str, ...]:
    found: list[str] = []
    for item in reader.items(node, "outputs.file_types"):
        ending = reader.shaped(item, "a file type", _FILE_TYPE, 'a dot and lower-case letters, such as ".csv"')
        if isinstance(item, ScalarNode) and ending in found:
            reader.report(item, f'expected every file type once, found "{ending}" again; remove one of the two.')
        elif ending is not None:
            found.append(ending)
    return tuple(found)
