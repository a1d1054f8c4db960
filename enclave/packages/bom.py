"""What a package set holds: a CycloneDX 1.6 bill of materials, and a list of files for ``sha256sum --check``."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from enclave.packages.fetch import IngressError, Pinned


@dataclass(frozen=True)
class Made:
    """From what and for whom a set was made."""

    project: str
    version: str
    image_sha256: str
    mirror: str
    at: datetime


def bill_of(made: Made, pinned: Sequence[Pinned], left_out: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """``left_out``: members that were not unpacked, by the wheel's file name."""
    properties = [_property("image-made-from-sha256", made.image_sha256), _property("mirror", made.mirror)]
    properties += [_property("left-out", f"{wheel}: {name}") for wheel, names in left_out.items() for name in names]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": made.at.isoformat(timespec="seconds"),
            "component": {"type": "library", "name": f"{made.project}-packages", "version": made.version},
            "properties": properties,
        },
        "components": [_component(one) for one in pinned],
    }


def _component(one: Pinned) -> dict[str, Any]:
    purl = f"pkg:pypi/{one.name}@{one.version}"
    hashes = [{"alg": "SHA-256", "content": one.sha256}]
    return {
        "type": "library",
        "bom-ref": purl,
        "name": one.name,
        "version": one.version,
        "purl": purl,
        "hashes": hashes,
    }


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"enclave:{name}", "value": value}


def file_list(folder: Path) -> str:
    """SHA-256 of every file below ``folder``, which is made readable for workspaces and writable for nobody on the way.

    Raises IngressError for anything but plain files and folders.
    """
    if folder.is_symlink():
        raise IngressError("Expected a folder of packages, found a link. Nothing was added.")
    lines = []
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode) or path.lstat().st_nlink != 1:
            raise IngressError("Expected plain files of the packages, found something else. Nothing was added.")
        with path.open("rb") as file:  # may be as large as the whole set
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        lines.append(f"{digest}  {path.relative_to(folder.parent)}")
    for path in (folder, *folder.rglob("*")):
        if os.geteuid() == 0:
            os.chown(path, 0, 0)
        path.chmod(0o755 if path.is_dir() else 0o444)
    return "".join(f"{line}\n" for line in lines)
