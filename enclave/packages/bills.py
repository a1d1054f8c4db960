"""Reading what a version of a package set holds, for showing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from enclave.domain.ids import ProjectId
from enclave.packages.ingress import BOM, packages_folder
from enclave.settings import Settings


@dataclass(frozen=True)
class SetContent:
    """A version and its packages (name, version, SHA-256 of the wheel); ``bom_sha256`` is what the record cites."""

    version: str
    made_at: str
    packages: tuple[tuple[str, str, str], ...]
    bom_sha256: str


def find_content(settings: Settings, project: ProjectId, version: str) -> SetContent | None:
    """None: the bill of materials is not there or cannot be read."""
    try:
        content = (packages_folder(settings, project) / version / BOM).read_bytes()
        bill = json.loads(content)
        packages = tuple((c["name"], c["version"], c["hashes"][0]["content"]) for c in bill["components"])
        made_at = str(bill["metadata"]["timestamp"])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return SetContent(version, made_at, packages, hashlib.sha256(content).hexdigest())


def read_bill(settings: Settings, project: ProjectId, version: str) -> bytes:
    """The file's exact bytes. Raises OSError."""
    return (packages_folder(settings, project) / version / BOM).read_bytes()
