"""The body of ``add-checkpoint``: old size, proof, blank line, checkpoint (c2sp.org/tlog-witness). Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from audit.checkpoint import Checkpoint, parse_checkpoint
from audit.merkle import HASH_BYTES
from audit.note import NoteError, NoteSignature, SignedNote, decode_base64, parse_note, parse_signature

MAX_PROOF_LINES = 63
MAX_BODY_BYTES = 256 * 1024
"""Room for 63 hashes and a checkpoint with more than 16 signatures of the post-quantum size."""
MAX_LINES_IN_ANSWER = 32
SIZE_TYPE = "text/x.tlog.size"
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})", re.ASCII)
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")


class MessageError(ValueError):
    """The body or answer does not follow the protocol; the sentence says where."""


@dataclass(frozen=True)
class AddCheckpoint:
    """A parsed request; the note's signatures are unchecked."""

    old_size: int
    proof: tuple[bytes, ...]
    note: SignedNote
    checkpoint: Checkpoint


def encode_request(old_size: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """The body of an ``add-checkpoint`` request."""
    lines = [f"old {old_size}", *(base64.b64encode(item).decode() for item in proof)]
    return ("\n".join(lines) + "\n\n").encode() + note


def parse_request(body: bytes) -> AddCheckpoint:
    """Read a request; raise :class:`MessageError`."""
    head, separator, raw = body.partition(b"\n\n")
    if not separator:
        raise MessageError("Expected an old size line, proof lines, an empty line and a checkpoint.")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise MessageError("Expected ASCII before the empty line.") from error
    match = _OLD.fullmatch(first)
    if match is None:
        raise MessageError("Expected 'old N' in the first line, N in decimal without leading zeroes.")
    if len(lines) > MAX_PROOF_LINES:
        raise MessageError(f"Expected at most {MAX_PROOF_LINES} proof lines, found {len(lines)}.")
    try:
        proof = tuple(decode_base64(line) for line in lines)
        note = parse_note(raw)
        checkpoint = parse_checkpoint(note)
    except NoteError as error:
        raise MessageError(str(error)) from error
    if any(len(item) != HASH_BYTES for item in proof):
        raise MessageError(f"Expected a hash of {HASH_BYTES} bytes in each proof line.")
    return AddCheckpoint(int(match[1]), proof, note, checkpoint)


def encode_signatures(signatures: Sequence[NoteSignature]) -> bytes:
    """The body of a 200 answer."""
    return "".join(signature.line() for signature in signatures).encode()


def parse_signatures(body: bytes) -> list[NoteSignature]:
    """The signature lines of a 200 answer, unchecked; raise :class:`MessageError`."""
    try:
        text = body.decode()
        lines = text.split("\n")
        if lines.pop() or not lines or len(lines) > MAX_LINES_IN_ANSWER:
            raise MessageError("Expected signature lines, each ending in a newline.")
        return [parse_signature(line) for line in lines]
    except (NoteError, UnicodeDecodeError) as error:
        raise MessageError(f"The answer is not made of signature lines: {error}") from error


def parse_size(body: bytes) -> int:
    """The tree size in a 409 answer; raise :class:`MessageError`."""
    match = _SIZE.fullmatch(body)
    if match is None:
        raise MessageError("Expected a decimal tree size and a newline in the answer.")
    return int(match[1])


def origin_hash(origin: str) -> str:
    """SHA-256 of the origin in lower-case hex, as in the path of the monitoring interface."""
    return hashlib.sha256(origin.encode()).hexdigest()
