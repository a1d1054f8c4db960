"""Resolving and fetching wheels in a sandbox that has one way out, to the mirror, the image and nothing else of ours.

pip runs on the image's own Python, so that what the image holds counts as installed: it is neither fetched nor replaced
(its exact versions are constraints as well). ``--only-binary :all:``: a source distribution, which would run its own
code, is never taken. First ``--dry-run --report`` says which wheels; then exactly those are downloaded, by hash.
What pip says is hostile input like everything a mirror serves.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import pip
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from audit.client import AuditUnavailable
from enclave.domain.packages import Requirement
from enclave.packages import inside as inside_program
from enclave.packages.mirror import Mirror
from enclave.packages.way_out import SOCKET, WayOut
from enclave.sandbox import Bind, SandboxProfile, popen
from enclave.settings import Settings
from enclave.workspaces.launch import base_python
from enclave.workspaces.quota import used_bytes

BUILDER_UID = 299_002
SITE_PACKAGES = Path("lib/python3.11/site-packages")
_PIP = Path(pip.__file__).parent
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LOOK_SECONDS = 0.5
_SAID = 800
_IMAGE_STAYS = "One of them needs another version of a package that the image holds, and the image stays as it is."
_LARGEST_REPORT = 32 << 20
_PROGRAM, _WAY = Path("/opt/fetch/inside.py"), Path("/run/fetch")
_MOST_REFUSALS = 8
"""So many different places that were refused are on record, per set; an index can name any number."""

Refused = Callable[[str], object]
"""Records that a place (``host:port``) was refused. Raises AuditUnavailable."""


class IngressError(Exception):
    """The set could not be made; the sentences are for the steward and the person who asked."""

    def __init__(self, *reasons: str) -> None:
        super().__init__(" ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True)
class Pinned:
    """A wheel that is wanted: normal name, version, SHA-256 as the mirror's index gives it."""

    name: str
    version: str
    sha256: str


def image_versions(image: Path) -> dict[str, str]:
    """What the image holds, by normal name."""
    found = metadata.distributions(path=[str(image / SITE_PACKAGES)])
    return {canonicalize_name(one.metadata["Name"]): one.version for one in found}


class Fetching:
    """One set; ``folder`` is its own working folder, which only we and the sandbox see."""

    def __init__(self, settings: Settings, mirror: Mirror, folder: Path, refused: Refused) -> None:
        self._settings, self._mirror, self._folder = settings, mirror, folder
        self._refused = refused
        self._led_to: list[str] = []
        self._is_unrecorded = False
        self._ends_at = time.monotonic() + settings.package_minutes * 60

    def resolve(self, wanted: Iterable[Requirement]) -> list[Pinned]:
        """All wheels that have to come, with what they need. Raises IngressError, SandboxError, OSError."""
        constraints = [f"{name}=={version}" for name, version in image_versions(self._settings.image).items()]
        given = {"wanted.txt": sorted(map(str, wanted)), "constraints.txt": sorted(constraints)}
        arguments = ["install", "--dry-run", "--report", "/out/report.json", "-c", "/in/constraints.txt"]
        self._pip([*arguments, "-r", "/in/wanted.txt"], given)
        report = self._folder / "out" / "report.json"
        if report.is_symlink() or not report.is_file() or report.stat().st_size > _LARGEST_REPORT:
            raise IngressError("Expected pip's report, found something else. Tell the admin.")
        return read_report(report.read_bytes())

    def download(self, pinned: Sequence[Pinned]) -> Path:
        """The folder with the wheels. Raises IngressError, SandboxError, OSError."""
        lines = [f"{one.name}=={one.version} --hash=sha256:{one.sha256}" for one in pinned]
        arguments = ["download", "--no-deps", "--require-hashes", "-d", "/out/wheels", "-r", "/in/pinned.txt"]
        self._pip(arguments, {"pinned.txt": lines})
        return self._folder / "out" / "wheels"

    def _pip(self, arguments: list[str], given: dict[str, list[str]]) -> None:
        """Run it to its end, watching time and size."""
        inside, out = self._folder / "in", self._folder / "out"
        for name, lines in given.items():
            (inside / name).write_text("".join(f"{line}\n" for line in lines))
        options = ["--isolated", "--no-input", "--disable-pip-version-check", "--no-cache-dir", "--progress-bar", "off"]
        options += ["--retries", "1", "--timeout", "30", "--only-binary", ":all:", "--index-url", self._mirror.url]
        python = "/opt/image/bin/python3.11"
        command = [python, str(_PROGRAM), str(_WAY / SOCKET), python, "/opt/pip/pip", *arguments, *options]
        with tempfile.TemporaryFile() as said, WayOut(self._folder / "way", self._mirror, self._note):
            process = popen(self._profile(inside, out), command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            try:
                self._await(process, out)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            if self._is_unrecorded:
                raise IngressError(
                    "The mirror led elsewhere, and the audit log took no record of it, so nothing was added. Try again "
                    "later."
                )
            if process.returncode != 0:
                said.seek(0)
                self._fail(pips_reasons(said.read(1 << 20)))

    def _note(self, place: str) -> None:
        """On record before pip is told."""
        if place in self._led_to or len(self._led_to) >= _MOST_REFUSALS:
            return
        self._led_to.append(place)
        try:
            self._refused(place)
        except AuditUnavailable:
            self._is_unrecorded = True

    def _fail(self, reasons: tuple[str, ...]) -> NoReturn:
        """With what we know and what pip said."""
        if self._led_to:
            raise IngressError(
                "The packages could not be fetched as they were asked for.",
                f"The mirror led to {self._led_to[0]}, which is neither the mirror nor named in `package_mirror_also`, "
                "so it was not asked. Tell the admin.",
                *reasons,
            )
        raise IngressError("The packages could not be fetched as they were asked for.", *reasons)

    def _await(self, process: subprocess.Popen[bytes], out: Path) -> None:
        most = self._settings.package_set_mb
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_SECONDS)
            if used_bytes(out) > most << 20:
                raise IngressError(
                    f"Expected packages of at most {most} MB, found more. Ask for fewer, or ask the admin for a higher "
                    "`package_set_mb`."
                )
            if process.poll() is not None:
                return
            if time.monotonic() > self._ends_at:
                raise IngressError("Expected the mirror to answer in time, found it slower. Try again later.")

    def _profile(self, inside: Path, out: Path) -> SandboxProfile:
        image = self._settings.image
        binds = (
            Bind(image, Path("/opt/image")),
            Bind(base_python(image), Path("/opt/python")),
            Bind(_PIP, Path("/opt/pip/pip")),
            Bind(Path(inside_program.__file__), _PROGRAM),
            Bind(self._folder / "way", _WAY),
            Bind(inside, Path("/in")),
            Bind(out, Path("/out"), writable=True),
        )
        # what pip keeps on its way is on the disk, where it is counted, and not in memory
        env = {
            "HOME": "/out/tmp",
            "TMPDIR": "/out/tmp",
            "LD_LIBRARY_PATH": "/opt/python/lib",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return SandboxProfile(
            binds,
            env,
            uid=BUILDER_UID,
            data_mb=2048,
            processes=64,
            files_mb=self._settings.package_set_mb,
            tmp_mb=64,
            user_name="package-fetcher",
        )


def read_report(content: bytes) -> list[Pinned]:
    """pip's installation report (version 1). Raises IngressError."""
    try:
        found = json.loads(content)["install"]
        return sorted((_pinned(one) for one in found), key=lambda one: one.name)
    except (ValueError, KeyError, TypeError, InvalidVersion, RecursionError) as error:
        raise IngressError("Expected wheels with SHA-256 in pip's report, found others. Tell the admin.") from error


def _pinned(one: dict[str, Any]) -> Pinned:
    name, version = canonicalize_name(one["metadata"]["name"]), str(Version(one["metadata"]["version"]))
    digest = str(one["download_info"]["archive_info"]["hashes"]["sha256"])
    if not _NAME.fullmatch(name) or not _SHA256.fullmatch(digest):
        raise ValueError("a name or hash of another shape")
    return Pinned(name, version, digest)


def pips_reasons(said: bytes) -> tuple[str, ...]:
    """Its own last words about what is wrong, as one printable text that is not too long; none: it said nothing."""
    lines = said.decode(errors="replace").splitlines()
    first = next((n for n, line in enumerate(lines) if line.startswith(("ERROR:", "error:"))), len(lines))
    words = " ".join(" ".join(lines[first:]).split())
    words = words.split(" To fix this you could try to")[0]  # advice for people at a terminal
    text = "".join(letter for letter in words if letter.isprintable())[:_SAID]
    why = (_IMAGE_STAYS,) if "(constraint)" in text else ()
    return (*why, f"pip said: {text}") if text else ()
