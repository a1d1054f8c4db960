"""What a closed project still has on the disk: found, set aside, measured, removed. No record, no database.

Whatever is to be destroyed is first *set aside*: renamed, beside itself, to a name with a token of its own. So it is
out of everybody's reach, can be measured without changing meanwhile, and is found again by the same token after a
crash: its destruction is recorded once, however often the removal has to begin anew (ADR 0028).

Contract: ``find_remains`` finds everything, also what a crash left half-way. Non-goals: overwriting (an encrypted disk
is what helps against whoever takes the disk); the vault and the archive of displayed output, which have terms of their
own.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from enclave.domain.ids import ProjectId
from enclave.files import remove_tree
from enclave.settings import Settings
from enclave.workspaces.quota import count_files, used_bytes
from enclave.workspaces.shared_folder import image_fill, is_image

_ASIDE = re.compile(r"\.(?P<name>.+)\.(?P<token>d-[0-9a-f]{16})", re.DOTALL)
_MAKING = re.compile(r"\.(?P<name>.+)\.making", re.DOTALL)
_LOCKS = frozenset({".lock"})


class RemainKind(StrEnum):
    """Stored strings."""

    EXTRACT = "extract"
    SHARED_FOLDER = "shared-folder"
    HOME = "home"
    SCRATCH = "scratch"


@dataclass(frozen=True)
class Remain:
    """One folder. ``name``: a home's username, a scratch space's person id, an extract's version."""

    kind: RemainKind
    name: str
    path: Path
    token: str = ""
    """Empty: not set aside yet."""


@dataclass(frozen=True)
class Extent:
    """How much is in it."""

    files: int
    bytes: int


def find_remains(settings: Settings, project: ProjectId) -> list[Remain]:
    """Everything of this project that has to go, extracts first: they are what matters most."""
    space = settings.projects_dir / project
    shared = _in(RemainKind.SHARED_FOLDER, settings.shared_dir)
    return [
        *_in(RemainKind.EXTRACT, space / "extracts"),
        *(remain for remain in shared if remain.name == project),
        *_in(RemainKind.HOME, settings.workspaces_dir / project),
        *_in(RemainKind.SCRATCH, space / "scratch"),
    ]


def _in(kind: RemainKind, folder: Path) -> Iterator[Remain]:
    """Each entry of ``folder``, whatever it is; one that was being made belongs to whom it was made for."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name in _LOCKS:
            continue
        aside, making = _ASIDE.fullmatch(path.name), _MAKING.fullmatch(path.name)
        if aside:
            yield Remain(kind, aside["name"], path, aside["token"])
        else:
            yield Remain(kind, making["name"] if making else path.name, path)


def set_aside(remain: Remain) -> Remain:
    """Under a name nobody asks for, with a token; as it is when that has been done. Raises OSError."""
    if remain.token:
        return remain
    token = f"d-{secrets.token_hex(8)}"
    target = remain.path.with_name(f".{remain.name}.{token}")
    remain.path.rename(target)
    return replace(remain, path=target, token=token)


def measure(path: Path) -> Extent:
    """What is in a folder; in a shared folder that is an image, what its file system says. Raises OSError."""
    if is_image(path):
        return Extent(*image_fill(path))
    return Extent(count_files(path), used_bytes(path))


def remove_empty_above(settings: Settings, project: ProjectId) -> None:
    """The folders that held homes, scratch spaces and extracts, when nothing is in them but a lock."""
    space = settings.projects_dir / project
    for folder in (settings.workspaces_dir / project, space / "scratch", space / "extracts"):
        if folder.is_dir() and all(path.name in _LOCKS for path in folder.iterdir()):
            remove_tree(folder)
