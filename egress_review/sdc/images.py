"""Pictures: nobody but a person can say what a picture shows. Bytes in a picture that no viewer shows are found here.

Non-goal: reading text in pictures, or steganography in pixels.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterator

from egress_review.domain.findings import Finding, Location, Severity
from egress_review.domain.sentences import Sentence
from egress_review.sdc.pixels import read_pixels
from egress_review.sdc.reading import IMAGE_TYPES, Reading
from egress_review.sdc.tables import UnreadableError
from enclave.domain.manifest import Manifest
from enclave.domain.permits import OutputRules

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
TEXT_CHUNK_BYTES = 500
_SHOWN_CHUNKS = frozenset(
    {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD", b"pHYs", b"tIME"}
)
_TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP"})

_EYES = Sentence("A picture: look whether it shows single people or small counts.")


def check_images(reading: Reading, rules: OutputRules, manifest: Manifest | None) -> Iterator[Finding]:
    """``picture`` (info) for every picture, ``hidden-bytes`` (warning or blocking) for what a viewer does not show."""
    if reading.suffix in IMAGE_TYPES:
        yield Finding("picture", Severity.INFO, reading.name, _EYES)
        if reading.suffix == ".png":
            yield from _png(reading.name, reading.content, Location())
        elif reading.content.startswith(JPEG):
            yield from _decoded(reading.name, reading.content, Location())
    if reading.notebook is None:
        return
    for cell in reading.notebook.cells:
        bundles = [(Location(cell=cell.number), bundle) for bundle in cell.attachments.values()]
        bundles += [(Location(cell=cell.number, output=o.number), o.parts) for o in cell.outputs]
        for place, bundle in bundles:
            for mime, text in bundle.items():
                if mime.startswith("image/"):
                    yield from _embedded(reading.name, mime, text, place)


def decode_image(mime: str, text: str) -> bytes | None:
    """Bytes of a PNG or JPEG in a notebook, or None when they are not what their type says."""
    try:
        content = base64.b64decode(text)
    except (binascii.Error, ValueError):
        return None
    expected = {"image/png": PNG, "image/jpeg": JPEG}.get(mime)
    return content if expected and content.startswith(expected) else None


def _embedded(file: str, mime: str, text: str, place: Location) -> Iterator[Finding]:
    yield Finding("picture", Severity.INFO, file, _EYES, place)
    if mime == "image/svg+xml":
        return
    content = decode_image(mime, text)
    if content is None:
        message = Sentence("The bytes of this picture are not of the type that they claim.")
        yield Finding("unreadable", Severity.BLOCKING, file, message, place)
    elif mime == "image/png":
        yield from _png(file, content, place)
    else:
        yield from _decoded(file, content, place)


def _decoded(file: str, content: bytes, place: Location) -> Iterator[Finding]:
    """Reviewers are shown pixels (``egress_review.parsing``): what has none cannot be reviewed."""
    try:
        read_pixels(content)
    except UnreadableError as error:
        yield Finding("unreadable", Severity.BLOCKING, file, error.sentence, place)


def _png(file: str, content: bytes, place: Location) -> Iterator[Finding]:
    if not content.startswith(PNG):
        return  # the check of the file type says so
    at, end = len(PNG), False
    hidden = 0
    while at + 12 <= len(content) and not end:
        length = int.from_bytes(content[at : at + 4], "big")
        kind = content[at + 4 : at + 8]
        data = content[at + 8 : at + 8 + length]
        if len(data) < length or zlib.crc32(kind + data) != int.from_bytes(content[at + 8 + length : at + 12 + length]):
            break
        if kind in _TEXT_CHUNKS:
            hidden += length
        elif kind not in _SHOWN_CHUNKS:
            hidden += TEXT_CHUNK_BYTES + 1
        at, end = at + 12 + length, kind == b"IEND"
    if not end:
        message = Sentence("The picture is broken or cut off, so it cannot be checked.")
        yield Finding("unreadable", Severity.BLOCKING, file, message, place)
    else:
        yield from _decoded(file, content, place)
    if end and at < len(content):
        message = Sentence("The picture is followed by other bytes, which no viewer shows.")
        yield Finding("hidden-bytes", Severity.BLOCKING, file, message, place)
    if hidden > TEXT_CHUNK_BYTES:
        message = Sentence("The picture carries text or data of its own, which no viewer shows.")
        yield Finding("hidden-bytes", Severity.WARNING, file, message, place)
