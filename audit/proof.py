"""Inclusion proofs as text (c2sp.org/tlog-proof): what a researcher or a patient can keep and check years later."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path

from audit.checkpoint import Checkpoint, open_checkpoint, read_unverified
from audit.merkle import HASH_BYTES, MerkleError, check_inclusion, inclusion_proof, leaf_hash
from audit.note import NoteError, VerifierKey, decode_base64
from audit.reader import LogUnreadable, TileNodes, read_checkpoint

HEADER = "c2sp.org/tlog-proof@v1"
COSIGNED = "cosigned"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)


class ProofError(ValueError):
    """The text is no proof, or it does not prove this record under this key."""


@dataclass(frozen=True)
class Proof:
    """A parsed proof; ``checkpoint`` is the signed note's bytes."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes

    def encode(self) -> str:
        """The proof's text."""
        lines = [HEADER, f"index {self.index}", *(base64.b64encode(item).decode() for item in self.hashes)]
        return "\n".join(lines) + "\n\n" + self.checkpoint.decode()


def prove(log_dir: Path, index: int) -> str:
    """Proof that entry ``index`` stands in the published log; raise :class:`LogUnreadable` when it is not published.

    It leads to the newest checkpoint that witnesses have cosigned, where one holds the entry already: then the proof
    carries their word as well. Otherwise to the log's own newest checkpoint.
    """
    raw, checkpoint = read_checkpoint(log_dir)
    if not 0 <= index < checkpoint.size:
        raise LogUnreadable(f"Expected an index below the published size {checkpoint.size}, found {index}.")
    raw, checkpoint = find_cosigned(log_dir, index, checkpoint.size) or (raw, checkpoint)
    hashes = inclusion_proof(index, checkpoint.size, TileNodes(log_dir, checkpoint.size))
    return Proof(index, tuple(hashes), raw).encode()


def find_cosigned(log_dir: Path, index: int, published: int) -> tuple[bytes, Checkpoint] | None:
    """The newest readable ``cosigned/<size>`` that holds entry ``index``; signatures are not looked at."""
    try:
        names = [path.name for path in (log_dir / COSIGNED).iterdir()]
    except OSError:
        return None
    sizes = sorted((int(name) for name in names if name.isascii() and name.isdecimal()), reverse=True)
    for size in sizes:
        if not index < size <= published:
            continue
        try:
            raw = (log_dir / COSIGNED / str(size)).read_bytes()
            found = read_unverified(raw)
        except (OSError, NoteError):
            continue
        if found.size == size:
            return raw, found
    return None


def parse_proof(text: str) -> Proof:
    """Read a proof; raise :class:`ProofError`."""
    head, separator, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    if not separator or lines[0] != HEADER:
        raise ProofError(f"Expected a proof that begins with '{HEADER}'.")
    if len(lines) > 1 and lines[1].startswith("extra "):
        del lines[1]
    match = _INDEX.fullmatch(lines[1]) if len(lines) > 1 else None
    if match is None:
        raise ProofError("Expected a line 'index N' with the entry's index.")
    try:
        hashes = tuple(decode_base64(line) for line in lines[2:])
    except NoteError as error:
        raise ProofError(f"A hash line is malformed: {error}") from error
    if any(len(item) != HASH_BYTES for item in hashes):
        raise ProofError(f"Expected hashes of {HASH_BYTES} bytes.")
    return Proof(int(match[1]), hashes, checkpoint.encode())


def verify_proof(text: str, leaf: bytes | str, vkey: str) -> Checkpoint:
    """Check a proof for a record: ``leaf`` is the entry's bytes, or its leaf hash in hex (str).

    Return the checkpoint it leads to; raise :class:`ProofError` with the reason.
    """
    proof = parse_proof(text)
    try:
        hashed = leaf_hash(leaf) if isinstance(leaf, bytes) else bytes.fromhex(leaf)
        checkpoint = open_checkpoint(proof.checkpoint, VerifierKey.parse(vkey))
        check_inclusion(proof.index, checkpoint.size, hashed, proof.hashes, checkpoint.root)
    except (NoteError, MerkleError, ValueError) as error:
        raise ProofError(str(error)) from error
    return checkpoint
