"""Verification of a whole log, offline, by anyone who holds the log's verifier key.

In this order: the checkpoint's signature and exact bytes; every entry hashed again, compared with the level-0 tiles and
rebuilt into the signed root; an earlier checkpoint the auditor kept (``since``); every file in the directory, byte for
byte; gaps. Not handled: what the operator removed after the last checkpoint that left the machine (only a checkpoint
kept outside shows that), and payloads, which are not in the log.
"""

from __future__ import annotations

from pathlib import Path

from audit.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from audit.inventory import Inventory, settle, take_inventory
from audit.note import NoteError, VerifierKey, open_note, parse_note
from audit.reader import CHECKPOINT
from audit.rebuild import Rebuild, Source
from audit.report import Question, Report


class VerifyError(RuntimeError):
    """Verification could not begin: no directory, no key, no readable earlier checkpoint."""


def verify_log(log_dir: Path, vkey: str, since: str | None = None) -> Report:
    """Verify the log in ``log_dir`` under ``vkey``; ``since`` is the text of a signed checkpoint kept from earlier.

    The log may be written to meanwhile. Raise :class:`VerifyError` when there is nothing to verify.
    """
    log_dir = Path(log_dir)
    try:
        key = VerifierKey.parse(vkey)
    except NoteError as error:
        raise VerifyError(f"The verifier key cannot be read: {error}") from error
    earlier = _read_since(since, key)
    report = Report()
    if earlier is None:
        report.skip(Question.CONSISTENCY)
    try:
        inventory = take_inventory(log_dir)
    except OSError as error:
        raise VerifyError(f"The log directory cannot be read ({error.strerror}).") from error
    checkpoint = _check_checkpoint(log_dir, inventory, key, report)
    if checkpoint is None:
        report.skip(Question.TREE, Question.ENTRIES, Question.CONSISTENCY, Question.COMPLETENESS)
        return report
    report.origin, report.size, report.root = checkpoint.origin, checkpoint.size, checkpoint.root.hex()
    _check_covered(inventory, checkpoint, report)
    _check_tree(log_dir, inventory, checkpoint, earlier, report)
    return report


def _read_since(since: str | None, key: VerifierKey) -> Checkpoint | None:
    if since is None:
        return None
    try:
        return open_checkpoint(since.encode(), key)
    except NoteError as error:
        raise VerifyError(f"The earlier checkpoint is not one by this log's key: {error}") from error


def _check_checkpoint(log_dir: Path, inventory: Inventory, key: VerifierKey, report: Report) -> Checkpoint | None:
    """Signature and exact form; return what it says even when the signature fails, None when it says nothing."""
    try:
        raw = settle(log_dir, inventory)
    except OSError as error:
        report.problem(Question.SIGNATURE, f"The checkpoint cannot be read ({error.strerror}).", CHECKPOINT)
        return None
    try:
        note = open_note(raw, key)
    except NoteError as error:
        report.problem(Question.SIGNATURE, str(error), CHECKPOINT)
    try:
        note = parse_note(raw)
        checkpoint = parse_checkpoint(note)
    except NoteError as error:
        report.problem(Question.FILES, str(error), CHECKPOINT)
        return None
    if checkpoint.origin != key.name:
        report.problem(
            Question.SIGNATURE, f"Expected the origin {key.name}, found {checkpoint.origin}: another log.", CHECKPOINT
        )
    if raw != note.encode() or note.text != checkpoint.text() or checkpoint.extensions:
        report.problem(Question.FILES, "Expected exactly origin, size, root and one signature line.", CHECKPOINT)
    if len(note.signatures) != 1 or not key.owns(note.signatures[0]):
        report.problem(Question.FILES, "Expected one signature line, by the log's key only.", CHECKPOINT)
    return checkpoint


def _check_covered(inventory: Inventory, checkpoint: Checkpoint, report: Report) -> None:
    for name in inventory.strange:
        report.problem(Question.FILES, "This file has no place in a log.", name)
    for tile in inventory.not_covered(checkpoint.size):
        report.problem(
            Question.FILES,
            f"This file needs a tree of {tile.end} records, but the checkpoint stands at {checkpoint.size}.",
            tile.path,
        )


def _check_tree(
    log_dir: Path, inventory: Inventory, checkpoint: Checkpoint, earlier: Checkpoint | None, report: Report
) -> None:
    """Rebuild from the entries; when that misses the signed root, ask whether the tiles hold it: who is wrong?"""
    entries = Rebuild(log_dir, inventory, checkpoint.size, Source.ENTRIES, earlier).run()
    chosen = entries
    if entries.root != checkpoint.root:
        tiles = Rebuild(log_dir, inventory, checkpoint.size, Source.TILES, earlier).run()
        if tiles.root == checkpoint.root:
            chosen = tiles
            report.problem(Question.TREE, "The entries do not rebuild the signed root; the tiles do.")
        else:
            report.problem(
                Question.TREE,
                f"Neither entries nor tiles rebuild the signed root {checkpoint.root.hex()};"
                f" the entries give {entries.root.hex()}.",
            )
    for question, finding in chosen.findings:
        report.verdicts[question].problems.append(finding)
    _check_consistency(checkpoint, earlier, chosen.earlier_root, report)
    chosen.completeness.report(report)


def _check_consistency(
    checkpoint: Checkpoint, earlier: Checkpoint | None, rebuilt: bytes | None, report: Report
) -> None:
    if earlier is None:
        return
    if earlier.size > checkpoint.size:
        report.problem(
            Question.CONSISTENCY,
            f"The log shrank: it holds {checkpoint.size} records, the earlier checkpoint {earlier.size}.",
        )
    elif rebuilt != earlier.root:
        report.problem(
            Question.CONSISTENCY,
            f"The first {earlier.size} records are not those of the earlier checkpoint: the log was rewritten.",
        )
