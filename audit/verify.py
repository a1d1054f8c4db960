"""Verification of a whole log, offline, by anyone who holds the log's verifier key.

In this order: the checkpoint's signature and exact bytes; every entry hashed again, compared with the level-0 tiles and
rebuilt into the signed root; checkpoints the auditor kept (``since``); every file in the directory, byte for byte;
what witnesses and time-stamping authorities signed; gaps; receipts; payloads, when the private state may be read.

Not handled: what the operator changed after the last checkpoint that left the machine. Only what is kept outside
(a checkpoint, a cosignature, a receipt) shows that; the verdict on witnesses says how long that window is.
SATRE 2.5.03: logs that cannot be edited unnoticed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from audit.anchored import Anchor, check_anchors, check_tokens, read_anchors
from audit.checkpoint import Checkpoint, parse_checkpoint
from audit.earlier import Kept, check_receipts, check_since, read_receipts, read_since
from audit.inventory import Inventory, settle, take_inventory
from audit.note import NoteError, VerifierKey, open_note, parse_note
from audit.own_events import OwnEvent
from audit.parallel import WorkerDied
from audit.payload_check import check_payloads
from audit.policy import Policy
from audit.reader import CHECKPOINT
from audit.rebuild import Rebuild, Rebuilt, Wanted
from audit.report import Finding, Question, Report
from audit.report import VerifyError as VerifyError
from audit.stretch import Source
from audit.tiles import ENTRIES, TILE_WIDTH, TileId
from audit.witnessed import Cosigned, Rules, check_cosigned, read_cosigned


@dataclass(frozen=True)
class _Outside:
    """What was signed at other sizes, read before the tree is rebuilt; ``stamped``: sizes with a time stamp's file."""

    earlier: list[Checkpoint]
    receipts: list[Kept]
    cosigned: list[Cosigned]
    anchors: list[Anchor]
    stamped: set[int]

    def wanted(self) -> Wanted:
        """The roots and leaf hashes needed to judge them."""
        sizes = {item.size for item in self.earlier}
        sizes |= {item.checkpoint.size for item in self.receipts}
        sizes |= {item.checkpoint.size for item in self.cosigned} | {item.size for item in self.anchors}
        return Wanted(frozenset(sizes), frozenset(item.proof.index for item in self.receipts))


@dataclass(frozen=True)
class _Asked:
    """What the auditor gave beside key and log."""

    policy: Policy | None
    max_age: timedelta | None
    payloads: Path | None
    tsa_certificate: bytes | None
    now: datetime


def verify_log(
    log_dir: Path,
    vkey: str | None,
    since: str | Sequence[str] | None = None,
    *,
    policy: Policy | None = None,
    max_age: timedelta | None = None,
    receipts: Sequence[str] = (),
    payloads: Path | None = None,
    tsa_certificate: bytes | None = None,
    now: datetime | None = None,
    processes: int | None = None,
) -> Report:
    """Verify the log in ``log_dir`` under ``vkey``, or under the key of the policy's log when it is None.

    ``since``: signed checkpoints kept from earlier, ``receipts``: proofs (both as text); ``max_age`` of the newest
    quorum (an hour unless given); ``payloads``: the log's state directory; ``tsa_certificate``: PEM; ``now``: the time
    freshness is judged by; ``processes``: as many as there are cores unless given. The log may be written to meanwhile.
    Raise :class:`VerifyError` when there is nothing to verify or an input cannot be read.
    """
    log_dir = Path(log_dir)
    inventory = _take_inventory(log_dir)
    key = choose_key(log_dir, vkey, policy)
    texts = [since] if isinstance(since, str) else list(since or ())
    earlier, kept = read_since(texts, key), read_receipts(receipts)
    report = Report()
    checkpoint = _check_checkpoint(log_dir, inventory, key, report)
    if checkpoint is None:
        report.skip(*(question for question in Question if question not in (Question.SIGNATURE, Question.FILES)))
        return report
    report.origin, report.size, report.root = checkpoint.origin, checkpoint.size, checkpoint.root.hex()
    _check_covered(inventory, checkpoint, report)
    cosigned, anchors = read_cosigned(log_dir, inventory, key, report), read_anchors(log_dir, inventory, key, report)
    outside = _Outside(earlier, kept, cosigned, anchors, inventory.anchors)
    rebuild = Rebuild(log_dir, inventory, checkpoint.size, outside.wanted(), processes)
    rebuilt = _check_tree(rebuild, checkpoint, report)
    asked = _Asked(policy, max_age, payloads, tsa_certificate, now or datetime.now(UTC))
    _judge(log_dir, key, checkpoint, outside, rebuilt, asked, report)
    return report


def _take_inventory(log_dir: Path) -> Inventory:
    try:
        return take_inventory(log_dir)
    except OSError as error:
        raise VerifyError(f"The log directory cannot be read ({error.strerror}).") from error


def _judge(
    log_dir: Path,
    key: VerifierKey,
    checkpoint: Checkpoint,
    outside: _Outside,
    rebuilt: Rebuilt,
    asked: _Asked,
    report: Report,
) -> None:
    """Everything that needs the rebuilt tree or the records."""
    size, roots, done = checkpoint.size, rebuilt.roots, rebuilt.completeness
    minimum = _settle_pruning(rebuilt, report)
    check_since(outside.earlier, checkpoint, roots, report)
    rules = Rules(asked.policy, asked.max_age, asked.now, minimum > 0)
    check_cosigned(outside.cosigned, key, rules, done.own, roots, (size, done.last_at), report)
    sound = check_anchors(log_dir, outside.anchors, done.own, roots, size, outside.stamped, minimum, report)
    check_tokens(sound, asked.tsa_certificate, report)
    done.report(report, pruned=minimum > 0)
    check_receipts(outside.receipts, key, checkpoint, roots, rebuilt.leaves, report)
    check_payloads(log_dir, asked.payloads, size, done.payloads, minimum, done.own, report)
    if not outside.earlier:
        report.skip(Question.CONSISTENCY)
    if not outside.receipts:
        report.skip(Question.RECEIPTS)


def choose_key(log_dir: Path, vkey: str | None, policy: Policy | None) -> VerifierKey:
    """The key given, or that of the policy's log which signed the checkpoint; raise :class:`VerifyError`."""
    if vkey is not None:
        try:
            return VerifierKey.parse(vkey)
        except NoteError as error:
            raise VerifyError(f"The verifier key cannot be read: {error}") from error
    if policy is None or not policy.logs:
        raise VerifyError("The log's verifier key is not known; give it with --key, or a policy with a log line.")
    keys = [log.key for log in policy.logs]
    try:
        signatures = parse_note((log_dir / CHECKPOINT).read_bytes()).signatures
    except (OSError, NoteError):
        # what is wrong with the checkpoint will be said by the verdict on it
        return keys[0]
    return next((key for key in keys if any(key.owns(item) for item in signatures)), keys[0])


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


def _check_tree(rebuild: Rebuild, checkpoint: Checkpoint, report: Report) -> Rebuilt:
    """Rebuild from the entries; when that misses the signed root, ask whether the tiles hold it: who is wrong?"""
    chosen = entries = _run(rebuild, Source.ENTRIES)
    if entries.root != checkpoint.root:
        tiles = _run(rebuild, Source.TILES)
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
        report.find(question, finding)
    for question, count in chosen.dropped.items():
        report.verdicts[question].left_out += count
    return chosen


def _run(rebuild: Rebuild, source: Source) -> Rebuilt:
    try:
        return rebuild.run(source)
    except WorkerDied as error:
        raise VerifyError(str(error)) from error


def _settle_pruning(rebuilt: Rebuilt, report: Report) -> int:
    """Accept missing bundles below the minimum index of a record read just now; return it, 0 when nothing is gone."""
    pruned = [
        (noted.count("minimum_index") or 0, noted.index)
        for noted in rebuilt.completeness.own
        if noted.type == OwnEvent.PRUNED
    ]
    minimum, record = max(pruned, default=(0, 0))
    minimum = min(minimum, record)
    accepted = [bundle for bundle in rebuilt.missing if (bundle + 1) * TILE_WIDTH <= minimum]
    for bundle in rebuilt.missing[len(accepted) :]:
        path = TileId(ENTRIES, bundle, min(TILE_WIDTH, report.size - bundle * TILE_WIDTH)).path
        sentence = f"{path} is missing, nor is there a full one in its place."
        report.find(Question.ENTRIES, Finding(sentence, path, bundle * TILE_WIDTH))
    if accepted:
        report.notice(
            Question.ENTRIES,
            f"{len(accepted) * TILE_WIDTH} records below index {minimum} were pruned: their hashes stand in the tree,"
            " what they said can no longer be read.",
            record,
        )
    return minimum if accepted else 0
