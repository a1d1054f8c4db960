"""Checkpoints (c2sp.org/tlog-checkpoint): the signed head of the tree."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from audit.merkle import HASH_BYTES
from audit.note import NoteError, NoteSigner, SignedNote, VerifierKey, decode_base64, open_note, parse_note

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True)
class Checkpoint:
    """Origin line, number of leaves, root hash; we write no extension lines (they are NOT RECOMMENDED)."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        """The note text."""
        head = f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"
        return head + "".join(line + "\n" for line in self.extensions)


def parse_checkpoint(note: SignedNote) -> Checkpoint:
    """Read the note's text as a checkpoint; raise :class:`NoteError`. Signatures are not looked at."""
    lines = note.text[:-1].split("\n")
    if len(lines) < 3 or not all(lines):
        raise NoteError("Expected a checkpoint of at least three lines that are not empty: origin, size, root hash.")
    origin, size, root, *extensions = lines
    if not _SIZE.fullmatch(size):
        raise NoteError("Expected the tree size as a decimal number without leading zeroes in the second line.")
    decoded = decode_base64(root)
    if len(decoded) != HASH_BYTES:
        raise NoteError(f"Expected a root hash of {HASH_BYTES} bytes, found {len(decoded)}.")
    return Checkpoint(origin, int(size), decoded, tuple(extensions))


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner) -> bytes:
    """Return the signed note."""
    return signer.sign(checkpoint.text())


def open_checkpoint(raw: bytes, key: VerifierKey) -> Checkpoint:
    """Verify and read a checkpoint by ``key``, whose name must be the origin; raise :class:`NoteError`."""
    checkpoint = parse_checkpoint(open_note(raw, key))
    if checkpoint.origin != key.name:
        raise NoteError(f"Expected the origin {key.name}, found {checkpoint.origin}; this is another log's checkpoint.")
    return checkpoint


def read_unverified(raw: bytes) -> Checkpoint:
    """Read a checkpoint whose signature the caller does not check (or has checked); raise :class:`NoteError`."""
    return parse_checkpoint(parse_note(raw))
