"""File type and size: the data permit's allow-list, and whether the bytes are what the name says. No archives, ever.

SATRE 3.3.07.
"""

from __future__ import annotations

from collections.abc import Iterator

from egress_review.domain.findings import Finding, Severity
from egress_review.domain.sentences import Sentence
from egress_review.sdc.reading import READABLE_TYPES, TEXT_TYPES, Reading
from enclave.domain.manifest import Manifest
from enclave.domain.permits import OutputRules

_ARCHIVES: tuple[tuple[int, bytes], ...] = (
    (0, b"PK\x03\x04"), (0, b"PK\x05\x06"), (0, b"\x1f\x8b"), (0, b"7z\xbc\xaf\x27\x1c"), (0, b"\xfd7zXZ\x00"),
    (0, b"BZh"), (0, b"\x28\xb5\x2f\xfd"), (0, b"Rar!\x1a\x07"), (257, b"ustar"), (0, b"\x04\x22\x4d\x18"),
)  # fmt: skip
_DATA: tuple[tuple[int, bytes], ...] = (
    (0, b"PAR1"), (0, b"SQLite format 3\x00"), (8, b"DUCK"), (0, b"ARROW1"), (0, b"\x89HDF"), (0, b"\x80\x02"),
    (0, b"\x80\x03"), (0, b"\x80\x04"), (0, b"\x80\x05"), (0, b"\xd0\xcf\x11\xe0"), (0, b"\x93NUMPY"),
)  # fmt: skip
_ARCHIVE_SUFFIXES = frozenset({".zip", ".gz", ".tgz", ".tar", ".7z", ".xz", ".bz2", ".zst", ".rar", ".lz4"})
_MAGIC: dict[str, bytes] = {
    ".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff", ".jpeg": b"\xff\xd8\xff", ".pdf": b"%PDF-",
}  # fmt: skip


def _starts(content: bytes, signatures: tuple[tuple[int, bytes], ...]) -> bool:
    return any(content[at : at + len(sign)] == sign for at, sign in signatures)


def check_file_type(reading: Reading, rules: OutputRules, manifest: Manifest | None) -> Iterator[Finding]:
    """``file-type``: blocking for types that are not permitted, archives, data files, and names that lie."""
    message = _wrong_type(reading, rules)
    if message is not None:
        yield Finding("file-type", Severity.BLOCKING, reading.name, message)


def _wrong_type(reading: Reading, rules: OutputRules) -> Sentence | None:
    suffix, content = reading.suffix, reading.content
    if suffix in _ARCHIVE_SUFFIXES or _starts(content, _ARCHIVES):
        return Sentence("The file is an archive; its contents cannot be reviewed. Ask for the files themselves.")
    if suffix not in {permitted.lower() for permitted in rules.file_types}:
        return Sentence("The data permit does not allow files of this type to be released.")
    if _starts(content, _DATA):
        return Sentence("The bytes are a database or data file, whatever the name says.")
    expected = _MAGIC.get(suffix)
    if expected is not None and not content.startswith(expected):
        return Sentence("The bytes are not of the type that the name says.")
    if suffix in TEXT_TYPES and any(content.startswith(magic) for magic in _MAGIC.values()):
        return Sentence("The bytes are not of the type that the name says.")
    return None


def check_size(reading: Reading, rules: OutputRules, manifest: Manifest | None) -> Iterator[Finding]:
    """``file-size``: blocking above the permit's limit, a remark for an empty file."""
    if len(reading.content) > rules.maximum_bytes:
        message = Sentence("The file has more than the %(limit)s bytes that the data permit allows.",
                           limit=rules.maximum_bytes)  # fmt: skip
        yield Finding("file-size", Severity.BLOCKING, reading.name, message)
    elif not reading.content:
        yield Finding("file-size", Severity.INFO, reading.name, Sentence("The file is empty."))


def check_readable(reading: Reading, rules: OutputRules, manifest: Manifest | None) -> Iterator[Finding]:
    """``unreadable``: a file that the checks cannot look into is quarantined (fail closed)."""
    if reading.problem is not None:
        yield Finding("unreadable", Severity.BLOCKING, reading.name, reading.problem)
    elif reading.suffix not in READABLE_TYPES:
        message = Sentence("No check can look into files of this type. Look at all of it yourself.")
        yield Finding("unreadable", Severity.BLOCKING, reading.name, message)
