"""What people kept: signed checkpoints (``--since``) and receipts (proofs, c2sp.org/tlog-proof), held against the log.

Nothing inside the log directory can show that its operator rewrote it; what was handed out before can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from audit.checkpoint import Checkpoint, open_checkpoint, read_unverified
from audit.merkle import MerkleError, check_inclusion
from audit.note import NoteError, VerifierKey
from audit.proof import Proof, ProofError, parse_proof
from audit.report import Question, Report, VerifyError


def read_since(texts: Sequence[str], key: VerifierKey) -> list[Checkpoint]:
    """The checkpoints kept from earlier; raise :class:`VerifyError` for one that is not by this log's key."""
    found = []
    for text in texts:
        try:
            found.append(open_checkpoint(text.encode(), key))
        except NoteError as error:
            raise VerifyError(f"The earlier checkpoint is not one by this log's key: {error}") from error
    return found


def check_since(
    earlier: Sequence[Checkpoint], checkpoint: Checkpoint, roots: Mapping[int, bytes], report: Report
) -> None:
    """The log must hold at least as many records as each earlier checkpoint, and the same ones up to there."""
    for item in earlier:
        if item.size > checkpoint.size:
            report.problem(
                Question.CONSISTENCY,
                f"The log shrank: it holds {checkpoint.size} records, the earlier checkpoint {item.size}.",
            )
        elif roots[item.size] != item.root:
            report.problem(
                Question.CONSISTENCY,
                f"The first {item.size} records are not those of the earlier checkpoint: the log was rewritten.",
            )


@dataclass(frozen=True)
class Kept:
    """A receipt as read: ``number`` counts from 1; ``checkpoint`` is what it leads to, its signature unchecked."""

    number: int
    proof: Proof
    checkpoint: Checkpoint


def read_receipts(texts: Sequence[str]) -> list[Kept]:
    """Raise :class:`VerifyError` for a text that is no proof."""
    found = []
    for number, text in enumerate(texts, 1):
        try:
            proof = parse_proof(text)
            found.append(Kept(number, proof, read_unverified(proof.checkpoint)))
        except (ProofError, NoteError) as error:
            raise VerifyError(f"Receipt {number} cannot be read: {error}") from error
    return found


def check_receipts(
    receipts: Sequence[Kept],
    key: VerifierKey,
    checkpoint: Checkpoint,
    roots: Mapping[int, bytes],
    leaves: Mapping[int, bytes],
    report: Report,
) -> None:
    """Each receipt's record must stand at its place in the log, under the root that the receipt names."""
    for receipt in receipts:
        sentence = _fault(receipt, key, checkpoint, roots, leaves)
        if sentence:
            report.problem(Question.RECEIPTS, f"Receipt {receipt.number}: {sentence}", entry=receipt.proof.index)


def _fault(
    receipt: Kept,
    key: VerifierKey,
    checkpoint: Checkpoint,
    roots: Mapping[int, bytes],
    leaves: Mapping[int, bytes],
) -> str:
    index, promised = receipt.proof.index, receipt.checkpoint
    try:
        open_checkpoint(receipt.proof.checkpoint, key)
    except NoteError as error:
        return f"it proves nothing about this log: {error}"
    if index >= promised.size:
        return f"it proves nothing: index {index} lies beyond its own checkpoint of {promised.size} records."
    if index >= checkpoint.size:
        return f"a record that was proven is missing: the log holds {checkpoint.size} records."
    if promised.size > checkpoint.size:
        return f"the log shrank: it holds {checkpoint.size} records, the receipt was given at {promised.size}."
    try:
        check_inclusion(index, promised.size, leaves[index], receipt.proof.hashes, promised.root)
    except MerkleError:
        return "the record at this place is not the one that was proven."
    if roots[promised.size] != promised.root:
        return f"the first {promised.size} records are not those of the receipt's checkpoint: the log was rewritten."
    return ""
