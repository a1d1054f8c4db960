"""``python -m enclave.packages.unpack WHEELS IMAGE TARGET MOST_MB``: runs in a sandbox without a network.

Unpacks every wheel of a folder into ``TARGET/site-packages`` after checking it (``enclave.packages.wheels``), each file
against the wheel's own RECORD. Prints one JSON object: ``{"left_out": {wheel: [names]}}``, or ``{"reasons": [...]}``
with exit code 2. What is in ``TARGET`` after a refusal is worthless.
"""

from __future__ import annotations

import base64
import compileall
import csv
import hashlib
import io
import json
import lzma
import py_compile
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from enclave.packages.wheels import Surroundings, WheelRefusedError, module_name, place_of

MOUNTED = "/opt/project"
"""Where a kernel sees the folder: what tracebacks name."""
MOST_FILES = 100_000
_CHUNK = 1 << 20
_UNSIGNED = ("RECORD", "RECORD.jws", "RECORD.p7s")
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    csv.Error,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    EOFError,
)
"""What reading a damaged or hostile archive raises."""


class Unpacking:
    """One set. ``most``: bytes of all files together."""

    def __init__(self, target: Path, around: Surroundings, most: int) -> None:
        self._target, self._around, self._most = target, around, most
        self._bytes = self._files = 0

    def unpack(self, path: Path) -> list[str]:
        """Names that were left out. Raises WheelRefusedError, OSError."""
        try:
            with zipfile.ZipFile(path) as wheel:
                return list(self._unpack(path.name, wheel))
        except _UNREADABLE as error:
            raise WheelRefusedError(f"Expected a wheel, found a file that cannot be read: {path.name}.") from error

    def _unpack(self, name: str, wheel: zipfile.ZipFile) -> Iterator[str]:
        members = [info for info in wheel.infolist() if not info.is_dir()]
        recorded = _record(name, wheel)
        if len({info.filename for info in members}) != len(members):
            raise WheelRefusedError(f"Expected each file once in {name}, found a name twice. It does not come in.")
        for info in members:
            place = place_of(name, info, self._around)
            if place is None:
                yield info.filename
                continue
            digest = self._write(name, wheel, info, self._target / place)
            if not _is_record(info.filename) and recorded.get(info.filename) != digest:
                raise WheelRefusedError(f"Expected the files that {name} lists with their hashes, found others.")

    def _write(self, name: str, wheel: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes:
        digest, written = hashlib.sha256(), []
        with wheel.open(info) as source:
            while chunk := source.read(_CHUNK):  # counted as it comes: what the archive says about sizes may be a lie
                self._count(len(chunk))
                digest.update(chunk)
                written.append(chunk)
        content = b"".join(written)
        self._files += 1
        self._count(0)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and (not path.is_file() or path.read_bytes() != content):
            raise WheelRefusedError(f"Expected files of its own in {name}, found one that another package has as well.")
        path.write_bytes(content)
        return digest.digest()

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._most:
            raise WheelRefusedError(
                f"Expected packages of at most {self._most >> 20} MB, found more. Ask for fewer, or ask the admin for "
                "a higher `package_set_mb`."
            )
        if self._files > MOST_FILES:
            raise WheelRefusedError(f"Expected packages of at most {MOST_FILES} files, found more. Ask for fewer.")


def _record(name: str, wheel: zipfile.ZipFile) -> dict[str, bytes]:
    """File → SHA-256, from the wheel's list of itself."""
    lists = [info for info in wheel.infolist() if _is_record(info.filename) and info.filename.endswith("/RECORD")]
    if len(lists) != 1 or lists[0].file_size > 32 << 20:
        raise WheelRefusedError(f"Expected one list of files in {name}, found {len(lists)} or a very long one.")
    found = {}
    for row in csv.reader(io.StringIO(wheel.read(lists[0]).decode())):
        if len(row) >= 2 and row[1].startswith("sha256="):
            found[row[0]] = base64.urlsafe_b64decode(row[1].removeprefix("sha256=") + "==")
    return found


def _is_record(name: str) -> bool:
    folder, _, file = name.partition("/")
    return folder.endswith(".dist-info") and file in _UNSIGNED


def surroundings(site_packages: Path) -> Surroundings:
    """What the image has."""
    packages, namespaces = set(), set()
    for path in site_packages.iterdir():
        if not path.is_dir():
            packages |= {name for name in (module_name(path.name),) if name}
        elif not path.name.endswith((".dist-info", ".data")):
            packages.add(path.name)
            if not (path / "__init__.py").exists():
                namespaces.add(path.name)
    return Surroundings(frozenset(packages), frozenset(namespaces))


def main(wheels: Path, image: Path, target: Path, most_mb: int) -> int:
    """See the module."""
    site_packages = target / "site-packages"
    site_packages.mkdir()
    unpacking = Unpacking(site_packages, surroundings(image), most_mb << 20)
    try:
        left_out = {path.name: unpacking.unpack(path) for path in sorted(wheels.iterdir())}
    except WheelRefusedError as error:
        print(json.dumps({"reasons": [str(error)]}))  # noqa: T201  (what the launcher reads)
        return 2
    except OSError as error:
        print(json.dumps({"reasons": [f"The packages could not be written: {error.strerror}."]}))  # noqa: T201
        return 2
    hashed = py_compile.PycInvalidationMode.CHECKED_HASH
    compileall.compile_dir(site_packages, ddir=MOUNTED, quiet=2, legacy=False, invalidation_mode=hashed, maxlevels=50)
    print(json.dumps({"left_out": left_out}))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])))
