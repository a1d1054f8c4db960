"""The Python packages of an image: what was installed, from which wheel, under which licence.

Which wheel a locked package came in follows from the lock and the tags of the Python it was installed for, as the
installer chooses (PEP 425). A wheel whose hash the lock does not hold is an error, never a guess.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

from packaging.tags import Tag, sys_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from enclave.images.sbom import Part

_UNTOLD = "not told by its metadata"
_LONGEST_NAME = 100


class WheelError(Exception):
    """Installed and locked packages do not fit together; says which."""


@dataclass(frozen=True)
class Archive:
    """What a package came in: a wheel, or its source."""

    name: str
    version: str
    file: str
    sha256: str


def choose_archives(pylock: str, requirements_lock: str, from_source: frozenset[str]) -> dict[str, Archive]:
    """The best wheel for this Python per package of a ``pylock.toml`` (PEP 751); of ``from_source``, its source.

    Raises WheelError.
    """
    allowed = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", requirements_lock))
    ranks = {tag: rank for rank, tag in enumerate(sys_tags())}
    chosen: dict[str, Archive] = {}
    for package in tomllib.loads(pylock)["packages"]:
        name = canonicalize_name(package["name"])
        best = _best_wheel(package, ranks)
        if best is None and name in from_source and "sdist" in package:
            best = package["sdist"]
        if best is None:
            raise WheelError(f"Expected a wheel of {name} for this Python, found none in the lock.")
        sha256 = best["hashes"]["sha256"]
        if sha256 not in allowed:
            raise WheelError(f"Expected the archive of {name} among the lock's hashes, found another. Run: make lock")
        chosen[name] = Archive(name, package["version"], _file_name(best), sha256)
    return chosen


def _file_name(archive: dict[str, Any]) -> str:
    return str(archive.get("name") or archive["url"].rsplit("/", 1)[-1])


def _best_wheel(package: dict[str, Any], ranks: dict[Tag, int]) -> dict[str, Any] | None:
    ranked = []
    for wheel in package.get("wheels", ()):
        found = [ranks[tag] for tag in parse_wheel_filename(_file_name(wheel))[3] if tag in ranks]
        if found:
            ranked.append((min(found), wheel))
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


def installed_parts(site_packages: Path, archives: dict[str, Archive]) -> list[Part]:
    """All packages below ``site_packages``. Raises WheelError when one is not locked, or in another version."""
    parts = []
    for metadata in sorted(site_packages.glob("*.dist-info/METADATA")):
        told = Parser().parsestr(metadata.read_text(encoding="utf-8"), headersonly=True)
        name, version = canonicalize_name(told["Name"]), told["Version"]
        archive = archives.get(name)
        if archive is None or archive.version != version:
            raise WheelError(f"Expected only locked packages, found {name} {version}. Build the image anew.")
        parts.append(Part("pypi", name, version, licence_of(told), archive.file, archive.sha256))
    return parts


def licence_of(told: Message) -> str:
    """SPDX expression where there is one (PEP 639), else the classifiers, else a short ``License`` field."""
    if told["License-Expression"]:
        return str(told["License-Expression"])
    classifiers = [text for text in told.get_all("Classifier", []) if text.startswith("License ::")]
    names = sorted({text.rsplit("::", 1)[-1].strip() for text in classifiers} - {"OSI Approved"})
    if names:
        return ", ".join(names)
    first = (told["License"] or "").strip().split("\n", 1)[0].strip()
    return first if first and len(first) <= _LONGEST_NAME else _UNTOLD
