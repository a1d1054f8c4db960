"""Read ``access_policies/``: every ``*.cedar`` file and the schema, validated before anything is decided."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cedarpy

from enclave.settings import REPOSITORY

POLICY_FOLDER = REPOSITORY / "access_policies"
_ID = re.compile(r'^@id\("([^"]+)"\)', re.M)
SCHEMA_FILE = "schema.cedarschema"


class PolicyError(Exception):
    """The policies cannot be used; the process must not start. The message says which file and what to do."""


@dataclass(frozen=True)
class LoadedPolicies:
    """Parsed once, used for every decision."""

    policies: Any
    schema: Any
    texts: Mapping[str, str]
    """Each policy as it is written, by its ``@id``."""

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(self.texts)


def load_policies(folder: Path = POLICY_FOLDER) -> LoadedPolicies:
    """All policies of ``folder``, validated against its schema. Raises PolicyError."""
    schema = _read_schema(folder / SCHEMA_FILE)
    files = sorted(folder.glob("*.cedar"))
    if not files:
        raise PolicyError(
            f"Expected at least one *.cedar file in {folder.name}/, found none. Nothing is allowed without a policy: "
            "restore the folder from the release."
        )
    texts = {file: _read(file) for file in files}
    for file, text in texts.items():
        _check_file(file, text, schema)
    whole = "\n".join(texts.values())
    parsed = cedarpy.PolicySet.from_str(whole)
    return LoadedPolicies(policies=parsed, schema=schema, texts=_texts(whole, _identifiers(whole)))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(
            f"Expected to read {file.name}, found {type(error).__name__}. "
            "Restore the file, and make it readable for the account of the enclave."
        ) from error


def _read_schema(file: Path) -> Any:
    text = _read(file)
    try:
        return cedarpy.Schema.from_str(text)
    except ValueError as error:
        raise PolicyError(f"Expected a Cedar schema in {file.name}, found an error: {error}. Mend the file.") from error


def _check_file(file: Path, text: str, schema: Any) -> None:
    try:
        cedarpy.PolicySet.from_str(text)
    except ValueError as error:
        raise PolicyError(f"Expected Cedar policies in {file.name}, found an error: {error}. Mend the file.") from error
    result = cedarpy.validate_policies(text, schema)
    if not result.validation_passed:
        problems = "; ".join(str(problem.error) for problem in result.errors)
        raise PolicyError(f"Expected {file.name} to agree with {SCHEMA_FILE}, found: {problems}. Mend one of the two.")


def _identifiers(text: str) -> frozenset[str]:
    """Every policy must carry an ``@id`` of its own, or a record could not cite it."""
    policies = cedarpy.policies_to_json_str(text)
    found: list[str] = []
    for name, policy in _static_policies(policies).items():
        identifier = policy.get("annotations", {}).get("id")
        if not identifier:
            raise PolicyError(f'Expected an @id("…") on every policy, found {name} without one. Give it a name.')
        found.append(identifier)
    if not found:
        raise PolicyError("Expected at least one policy, found only comments. Restore access_policies/.")
    doubled = sorted({name for name in found if found.count(name) > 1})
    if doubled:
        raise PolicyError(f"Expected each @id once, found twice: {', '.join(doubled)}. Rename one.")
    return frozenset(found)


def _texts(text: str, ids: frozenset[str]) -> dict[str, str]:
    """From each ``@id`` to the semicolon before the next one; a policy whose text is not found is its id alone."""
    starts = [(found.start(), found[1]) for found in _ID.finditer(text)]
    ends = [start for start, _ in starts[1:]] + [len(text)]
    written = {name: text[start:end] for (start, name), end in zip(starts, ends, strict=True)}
    return {name: written.get(name, "").rpartition(";")[0] + ";" for name in ids}


def _static_policies(document: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document)["staticPolicies"]
    return found
