"""A root file system out of locked Debian packages: unpacked, never installed.

No maintainer script runs and nothing needs root, so the result depends on the packages' bytes alone. What the scripts
of the few packages that matter would do is in ``FINISHING`` (links) and in the build script. apt does what it is for:
it finds dependencies (``make lock``), verifies the archive's signature, downloads. Non-goals: a system that boots, or
that apt could change afterwards.
"""

from __future__ import annotations

import copy
import hashlib
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path, PurePosixPath

from enclave.images.sbom import Part

_UNWANTED = ("usr/share/locale/", "usr/share/man/", "usr/share/info/", "usr/share/lintian/", "usr/share/bug/")
_MERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
_DOC = "usr/share/doc/"
_STATUS = "var/lib/dpkg/status"
FINISHING = {
    "usr/bin/sh": "dash",
    "usr/bin/awk": "gawk",
    "usr/bin/which": "which.debianutils",
    "usr/lib/{triplet}/libblas.so.3": "blas/libblas.so.3",
    "usr/lib/{triplet}/liblapack.so.3": "lapack/liblapack.so.3",
}
"""Link → target, where the target is there: Debian's scripts make them through alternatives."""


class PackageError(Exception):
    """The archive does not offer what is locked, or offers other bytes; says what to do."""


@dataclass(frozen=True, order=True)
class Package:
    """One line of a package lock."""

    name: str
    version: str
    architecture: str
    sha256: str

    def line(self) -> str:
        """As it stands in the lock."""
        return f"{self.name}={self.version} {self.architecture} sha256:{self.sha256}\n"


def read_lock(text: str) -> list[Package]:
    """Raises PackageError for a line of another form."""
    found = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            try:
                title, architecture, digest = line.split()
                name, version = title.split("=", 1)
                found.append(Package(name, version, architecture, digest.removeprefix("sha256:")))
            except ValueError as error:
                raise PackageError(
                    f"Expected “name=version architecture sha256:hash” in the lock, found: {line}"
                ) from error
    return found


def read_stanzas(text: str) -> list[Message]:
    """Debian control data (deb822), one message per paragraph."""
    return [Parser().parsestr(part) for part in text.split("\n\n") if part.strip()]


def offered(stanzas: Iterable[Message]) -> list[Package]:
    """What ``apt-cache show`` says, in its order: the version that apt would take first."""
    return [Package(s["Package"], s["Version"], s["Architecture"], s["SHA256"]) for s in stanzas if s["SHA256"]]


def choose(locked: list[Package], on_offer: list[Package], *, newer_allowed: bool) -> tuple[list[Package], list[str]]:
    """What to take, and what of it is not as locked. Raises PackageError.

    Debian's archive drops a version when a security update replaces it. ``newer_allowed`` takes the update, whose bytes
    the archive's signature vouches for, and names it; otherwise the lock has to be renewed first.
    """
    exact = {(package.name, package.version): package for package in on_offer}
    first = {package.name: package for package in reversed(on_offer)}
    taken, newer = [], []
    for package in locked:
        found = exact.get((package.name, package.version))
        if found is not None and found != package:
            raise PackageError(
                f"Expected {package.line().strip()}, found the same version with other bytes. Stop here."
            )
        if found is None:
            found = first.get(package.name) if newer_allowed else None
            if found is None:
                raise PackageError(
                    f"Expected {package.name} {package.version} in the package archive, found none. Renew the lock "
                    "(make lock), name a mirror that keeps old versions, or take updates: --newer"
                )
            newer.append(f"{found.name}={found.version}")
        taken.append(found)
    return taken, newer


def check_archive(file: Path, package: Package) -> None:
    """The downloaded package is the one meant. Raises PackageError."""
    with file.open("rb") as archive:
        found = hashlib.file_digest(archive, "sha256").hexdigest()
    if found != package.sha256:
        raise PackageError(f"Expected sha256 {package.sha256} of {package.name}, found {found}. Download it anew.")


def unpack(archive: Path, root: Path) -> None:
    """Add one package's files to ``root``, without what a kernel never reads. Licences stay, as they must."""
    command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as unpacking,
        tarfile.open(fileobj=unpacking.stdout, mode="r|") as files,
    ):
        for member in _wanted(files):
            extract(files, member, root)
    if unpacking.returncode:
        raise PackageError(f"Expected a Debian package in {archive.name}, dpkg-deb could not read it.")


def extract(files: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    """One file of a package, below ``root``. Raises PackageError."""
    files.extraction_filter = lambda checked, _: (
        checked
    )  # we check ourselves: Debian 12's Python (3.11.2) has no filters
    files.extract(_as_ours(member, root), root, set_attrs=True, numeric_owner=True)


def _wanted(files: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in files:
        member.name = str(PurePosixPath(member.name))
        top = member.name.split("/", 1)[0]
        if member.name in (".", *_MERGED):
            continue
        if top in _MERGED:
            member.name = f"usr/{member.name}"
        if member.islnk() and str(PurePosixPath(member.linkname)).split("/", 1)[0] in _MERGED:
            member.linkname = f"usr/{PurePosixPath(member.linkname)}"
        is_document = member.name.startswith(_DOC) and member.isfile() and not member.name.endswith("/copyright")
        if not is_document and not member.name.startswith(_UNWANTED) and not member.ischr() and not member.isblk():
            yield member


def _as_ours(member: tarfile.TarInfo, root: Path) -> tarfile.TarInfo:
    """Owner: whoever builds. No set-uid programs. Paths stay below the root: dpkg made them, we do not rely on it."""
    for name in (member.name, *([member.linkname] if member.islnk() else [])):
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise PackageError(f"Expected a path inside the package, found {name}.")
        # a link of another package leads to where it points on this machine, and not below the root
        if not (root / name).parent.resolve().is_relative_to(root.resolve()):
            raise PackageError(f"Expected a path below the image's root, found {name}, which a link leads out of it.")
    ours = copy.copy(member)
    ours.mode, ours.uid, ours.gid = member.mode & 0o755 | 0o644 if not member.issym() else 0o777, 0, 0
    return ours


def make_root(root: Path) -> None:
    """The frame that packages are unpacked into."""
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")


def finish(root: Path, archives: Iterable[Path]) -> None:
    """The links of FINISHING, and dpkg's list of what is there, which scanners read."""
    triplet = next((path.name for path in (root / "usr/lib").glob("*-linux-gnu*")), "")
    for link, target in FINISHING.items():
        path = root / link.format(triplet=triplet)
        if (path.parent / target).exists():
            path.unlink(missing_ok=True)
            path.symlink_to(target)
    paragraphs = []
    for archive in archives:
        told = subprocess.run(["dpkg-deb", "--field", str(archive)], check=True, capture_output=True, text=True).stdout
        first, rest = told.split("\n", 1)
        paragraphs.append(f"{first}\nStatus: install ok unpacked\n{rest.strip()}\n")
    status = root / _STATUS
    status.parent.mkdir(parents=True, exist_ok=True)
    status.write_text("\n".join(paragraphs))


def parts(root: Path, packages: Iterable[Package]) -> list[Part]:
    """For the list of parts; the licences are those that each package's ``copyright`` names."""
    return [
        Part(
            "deb",
            package.name,
            package.version,
            licence_in(root / _DOC / package.name / "copyright"),
            f"{package.name}_{package.version}_{package.architecture}.deb",
            package.sha256,
            package.architecture,
        )
        for package in packages
    ]


def licence_in(copyright_file: Path) -> str:
    """The short names of a machine-readable copyright file (DEP 5), else where to read it."""
    try:
        lines = copyright_file.read_text(errors="replace").splitlines()
    except OSError:
        return "not told by the package"
    names = {line.removeprefix("License:").strip() for line in lines if line.startswith("License:")}
    return ", ".join(sorted(names - {""})) or f"see /{_DOC}{copyright_file.parent.name}/copyright"
