"""Which files of a wheel go where, and which wheels are refused. Pure; names are the wheel's, so they are hostile.

A wheel (PEP 427) is a zip. Left out, and said so: programs and data (``*.data/scripts``, ``headers``, ``data``) and
compiled ``.pyc``. Refused: names that climb, links, files that Python runs at its start (``*.pth``, ``sitecustomize``),
top-level names that would stand before Python's own, the image's or ours (``PYTHONPATH`` is searched first), and
metadata of another package than the wheel's own (what is installed would be told wrongly).
"""

from __future__ import annotations

import stat
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from zipfile import ZipInfo

from packaging.utils import canonicalize_name

_LEFT_OUT_SCHEMES = frozenset({"scripts", "headers", "data"})
_MODULE_SCHEMES = frozenset({"purelib", "platlib"})
_START_FILES = frozenset({"sitecustomize", "usercustomize"})
_OWN_MODULES = frozenset({"enclave_client", "enclave_jupyter", "enclave", "audit", "egress_review"})
_DEEPEST, _LONGEST = 40, 1000
_MODULE_ENDS = (".py", ".so", ".pyd", ".pyi")


class WheelRefusedError(Exception):
    """This wheel does not come in; the sentence says why."""


@dataclass(frozen=True)
class Surroundings:
    """What the set must not stand before. ``packages``: top-level names of the image that are whole packages or
    modules; ``namespaces``: those that are folders without ``__init__.py``, which several packages may share."""

    packages: Collection[str] = field(default_factory=frozenset)
    namespaces: Collection[str] = field(default_factory=frozenset)


def place_of(wheel: str, info: ZipInfo, around: Surroundings) -> PurePosixPath | None:
    """Where below ``site-packages`` a member goes; None: nowhere. Raises WheelRefusedError."""
    parts = _parts(wheel, info)
    if parts[0].endswith(".data") and len(parts) > 1:
        if parts[1] in _LEFT_OUT_SCHEMES:
            return None
        if parts[1] not in _MODULE_SCHEMES or len(parts) < 3:
            raise WheelRefusedError(f"Expected files of known kinds in {wheel}, found another. Ask its authors.")
        parts = parts[2:]
    if parts[-1].endswith((".pyc", ".pyo")):
        return None
    _check_top(wheel, parts, around)
    return PurePosixPath(*parts)


def _parts(wheel: str, info: ZipInfo) -> tuple[str, ...]:
    # ZipInfo cuts a name at a NUL; the name as it stands in the file is what others would read.
    name = info.orig_filename
    parts = tuple(name.split("/"))
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise WheelRefusedError(f"Expected plain files in {wheel}, found a link or a device. It does not come in.")
    if len(parts) > _DEEPEST or len(name) > _LONGEST:
        raise WheelRefusedError(f"Expected paths of ordinary length in {wheel}, found a longer one.")
    if "\\" in name or not name.isprintable() or any(part in ("", ".", "..") for part in parts):
        raise WheelRefusedError(f"Expected files below the package's folder in {wheel}, found a path that leaves it.")
    return parts


def _check_top(wheel: str, parts: tuple[str, ...], around: Surroundings) -> None:
    top = parts[0]
    if top.endswith((".dist-info", ".egg-info")) and not _is_own(top, wheel):
        raise WheelRefusedError(
            f"Expected metadata of its own in {wheel}, found another package's. It does not come in."
        )
    if len(parts) == 1 and top.lower().endswith(".pth"):
        raise WheelRefusedError(f"Expected no .pth file in {wheel}, found one: Python would run it at every start.")
    module = module_name(top) if len(parts) == 1 else top
    if module is None:
        return
    if module in _START_FILES:
        raise WheelRefusedError(f"Expected no {module} in {wheel}, found one: Python would run it at every start.")
    shares = module in around.namespaces and len(parts) > 1 and module_name(parts[1]) != "__init__"
    if module in sys.stdlib_module_names or module in _OWN_MODULES or (module in around.packages and not shares):
        raise WheelRefusedError(
            f"Expected modules of its own in {wheel}, found `{module[:60]}`, which the image has already. "
            "Ask for a package that does not replace a part of the image."
        )


def _is_own(folder: str, wheel: str) -> bool:
    """Does a metadata folder belong to this wheel? Its name stands before the first hyphen of both (PEP 427).

    ``importlib.metadata`` goes by that too: it would take ``numpy-x-1.dist-info`` for numpy's.
    """
    return canonicalize_name(folder.rpartition(".")[0].split("-")[0]) == canonicalize_name(wheel.split("-")[0])


def module_name(file: str) -> str | None:
    """What a file of this name is imported as; None when it is no module."""
    return file.split(".")[0] if file.endswith(_MODULE_ENDS) else None
