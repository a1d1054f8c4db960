"""Making one version of a project's package set: ``projects/<id>/packages/<version>/``, outside of every workspace.

``site-packages/`` is what kernels see as ``/opt/project``; ``bom.json`` and ``files.sha256`` beside it say what it is.
A version appears whole, by renaming, or not at all. The way out to the mirror is there while wheels are fetched and
gone when they are opened. Called by the runner; recording and states are the caller's. SATRE 2.1.12 and 3.1.04.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name

from enclave.domain.ids import ProjectId
from enclave.domain.packages import SET_VERSION, Requirement
from enclave.files import remove_tree, sync_folder, write_atomically
from enclave.packages.bom import Made, bill_of, file_list
from enclave.packages.fetch import (
    BUILDER_UID,
    SITE_PACKAGES,
    Fetching,
    IngressError,
    Pinned,
    Refused,
    image_versions,
)
from enclave.packages.mirror import MirrorError, find_mirror
from enclave.sandbox import Bind, SandboxError, SandboxProfile, popen, python_binds
from enclave.settings import Settings
from enclave.workspaces.launch import ImageMissingError

BOM, FILES = "bom.json", "files.sha256"
_UNPACK_SECONDS = 900
_MAKING = ".making"


@dataclass(frozen=True)
class PackageSet:
    """What was made. ``version`` empty: the image has all of it already, so there is nothing to add."""

    version: str
    bom_sha256: str
    versions: dict[str, str]
    """Version by normal name: of the set and of the image."""
    added: tuple[Pinned, ...]


def packages_folder(settings: Settings, project: ProjectId) -> Path:
    """Where a project's versions are."""
    return settings.projects_dir / project / "packages"


def make_set(settings: Settings, project: ProjectId, wanted: Sequence[Requirement], refused: Refused) -> PackageSet:
    """Fetch, check and unpack ``wanted`` and what it needs. Raises IngressError."""
    folder = packages_folder(settings, project)
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    making = folder / _MAKING
    try:
        remove_tree(making)
        mirror = find_mirror(settings)
        for name in ("in", "out", "out/tmp", "set"):
            _hand_over(making / name)
        (making / "way").mkdir(mode=0o755)
        fetching = Fetching(settings, mirror, making, refused)
        pinned = fetching.resolve(wanted)
        held = image_versions(settings.image)
        versions = held | {one.name: one.version for one in pinned}
        if not pinned:
            return PackageSet("", "", versions, ())
        wheels = fetching.download(pinned)
        _check_wheels(wheels, pinned)
        left_out = _unpack(settings, wheels, making / "set")
        made = Made(project, _next_version(folder), _image_sha256(settings), _host(mirror.url), datetime.now(UTC))
        digest = _finish(making / "set", made, pinned, left_out)
        (making / "set").rename(folder / made.version)
        sync_folder(folder)
        return PackageSet(made.version, digest, versions, tuple(pinned))
    except (MirrorError, SandboxError, ImageMissingError) as error:
        raise IngressError(str(error)) from error
    except OSError as error:
        raise IngressError(f"The packages could not be stored: {error.strerror or 'unknown reason'}.") from error
    finally:
        with suppress(OSError):  # the next one begins with it
            remove_tree(making)


def discard_set(settings: Settings, project: ProjectId, version: str) -> None:
    """Remove a version that was made but never given out."""
    if SET_VERSION.fullmatch(version):
        with suppress(OSError):
            remove_tree(packages_folder(settings, project) / version)


def _hand_over(path: Path) -> None:
    path.mkdir(parents=True, mode=0o755)
    if os.geteuid() == 0:
        os.chown(path, BUILDER_UID, BUILDER_UID)


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _image_sha256(settings: Settings) -> str:
    return str(json.loads((settings.image / "enclave-image.json").read_bytes()).get("made_from_sha256", ""))


def _next_version(folder: Path) -> str:
    taken = [int(path.name[1:]) for path in folder.iterdir() if SET_VERSION.fullmatch(path.name)]
    return f"p{max(taken, default=0) + 1}"


def _check_wheels(wheels: Path, pinned: Sequence[Pinned]) -> None:
    """Exactly the files that were resolved, by name and bytes: what pip checked is checked outside its sandbox."""
    found = []
    for path in () if wheels.is_symlink() else wheels.iterdir():
        if path.is_symlink() or not path.is_file() or path.suffix != ".whl":
            raise IngressError("Expected wheels from the mirror, found something else. Nothing was added.")
        name = canonicalize_name(path.name.split("-")[0])
        with path.open("rb") as file:  # may be as large as the whole set
            found.append((name, hashlib.file_digest(file, "sha256").hexdigest()))
    if sorted(found) != sorted((one.name, one.sha256) for one in pinned):
        raise IngressError("Expected the wheels with the hashes of the index, found others. Nothing was added.")


def _unpack(settings: Settings, wheels: Path, target: Path) -> dict[str, list[str]]:
    image = settings.image / SITE_PACKAGES
    binds = (*python_binds(), Bind(wheels, Path("/in")), Bind(image, Path("/image")), Bind(target, Path("/out"), True))
    env = {"HOME": "/tmp"}  # noqa: S108
    profile = SandboxProfile(binds, env, uid=BUILDER_UID, data_mb=4096, user_name="package-unpacker")
    command = [sys.executable, "-m", "enclave.packages.unpack", "/in", "/image", "/out", str(settings.package_set_mb)]
    with tempfile.TemporaryFile() as output:
        process = popen(profile, command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL)
        try:
            code: int | None = process.wait(_UNPACK_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
            process.kill()
            process.wait()
        output.seek(0)
        return _answer(code, output.read(1 << 24))


def _answer(code: int | None, output: bytes) -> dict[str, list[str]]:
    """What the unpacker said. It read hostile archives, so its words are checked as well."""
    try:
        said = json.loads(output)
        if code == 2:
            raise IngressError(*(_printable(str(reason))[:500] for reason in said["reasons"]))
        if code == 0:
            return {str(wheel): [str(name) for name in names] for wheel, names in said["left_out"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise IngressError(f"Expected the packages to be unpacked, found that it ended early (status {code}).")


def _printable(text: str) -> str:
    """Half a letter in a wheel's name, for instance, is nothing that a record or a page can hold."""
    return "".join(letter for letter in text if letter.isprintable())


def _finish(folder: Path, made: Made, pinned: Sequence[Pinned], left_out: dict[str, list[str]]) -> str:
    """The bill of materials and the list of files; returns the bill's SHA-256, which the record cites."""
    if os.geteuid() == 0:
        os.chown(folder, 0, 0)
    listed = file_list(folder / "site-packages")
    write_atomically(folder / FILES, listed.encode(), mode=0o444)
    bill = bill_of(made, pinned, left_out)
    bill["metadata"]["properties"].append(
        {"name": "enclave:files-sha256", "value": hashlib.sha256(listed.encode()).hexdigest()}
    )
    content = json.dumps(bill, indent=1).encode()
    write_atomically(folder / BOM, content, mode=0o444)
    return hashlib.sha256(content).hexdigest()
