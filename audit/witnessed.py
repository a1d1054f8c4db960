"""What witnesses saw: the cosigned checkpoints in ``cosigned/<size>``, the policy's quorum, and how fresh it is.

Every line of these files must hold: the log's under its key, each cosignature under a key of the policy or of a
``witness:configured`` record of this log. Only the policy's keys count for the quorum. What lies after the newest
checkpoint with a quorum is the open window: an insider with the signing key could still change it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from audit.checkpoint import Checkpoint, parse_checkpoint
from audit.cosignature import CosignerKey
from audit.inventory import Inventory
from audit.note import NoteError, NoteSignature, SignedNote, VerifierKey, parse_note
from audit.own_events import OwnEvent
from audit.policy import NONE, Policy
from audit.report import Question, Report
from audit.scan import Noted
from audit.times import parse_at, say_duration, say_time

DEFAULT_MAX_AGE = timedelta(hours=1)
AHEAD = timedelta(minutes=5)
"""A cosignature dated further into the future than clocks may differ would pass as fresh for too long."""


@dataclass(frozen=True)
class Cosigned:
    """One file: its name, the note and what it says."""

    file: str
    note: SignedNote
    checkpoint: Checkpoint


def read_cosigned(log_dir: Path, inventory: Inventory, key: VerifierKey, report: Report) -> list[Cosigned]:
    """The files that are checkpoints of this log, by size; every fault of the others goes into the report."""
    found = []
    for size in sorted(inventory.cosigned):
        file = f"cosigned/{size}"
        try:
            found.append(read_one(file, (log_dir / file).read_bytes(), size, key))
        except FileNotFoundError:
            # only the newest are kept: the daemon may have removed it since the listing
            continue
        except OSError as error:
            report.problem(Question.WITNESSES, f"The file cannot be read ({error.strerror}).", file)
        except NoteError as error:
            report.problem(Question.WITNESSES, str(error), file)
    return found


def read_one(file: str, raw: bytes, size: int, key: VerifierKey) -> Cosigned:
    """Raise :class:`NoteError` unless the bytes are a checkpoint of ``size`` signed once by ``key``."""
    note = parse_note(raw)
    checkpoint = parse_checkpoint(note)
    if checkpoint.origin != key.name:
        raise NoteError(f"Expected the origin {key.name}, found {checkpoint.origin}: this is another log's checkpoint.")
    own = [item for item in note.signatures if key.owns(item)]
    if len(own) != 1:
        raise NoteError(f"Expected one signature by {key.name} (key id {key.key_id.hex()}), found {len(own)}.")
    key.check(note.text, own[0])
    if raw != note.encode() or note.text != checkpoint.text() or checkpoint.extensions:
        raise NoteError("Expected exactly origin, size, root and signature lines.")
    if checkpoint.size != size:
        raise NoteError(f"The name says {size} records, the checkpoint in it {checkpoint.size}.")
    return Cosigned(file, note, checkpoint)


@dataclass(frozen=True)
class Rules:
    """What is asked of the witnesses; ``now``: the time to judge by; ``pruned``: early records are gone."""

    policy: Policy | None
    max_age: timedelta | None
    now: datetime
    pruned: bool = False


def check_cosigned(
    cosigned: Iterable[Cosigned],
    key: VerifierKey,
    rules: Rules,
    own: Iterable[Noted],
    roots: Mapping[int, bytes],
    newest: tuple[int, str],
    report: Report,
) -> None:
    """Judge the files; ``newest``: size of the log and time of its newest record."""
    known = known_keys(rules.policy, own)
    sound: list[Cosigned] = []
    for item in cosigned:
        if rules.pruned and not all(is_known(line, key, known) for line in item.note.signatures):
            report.notice(Question.WITNESSES, "The record about one of these witnesses was pruned.", file=item.file)
            continue
        problems = list(_faults(item, key, known, roots, newest[0], rules.now))
        for problem in problems:
            report.problem(Question.WITNESSES, problem, item.file)
        if not problems:
            sound.append(item)
    if rules.policy is None:
        report.skip(Question.WITNESSES)
        if sound:
            report.notice(
                Question.WITNESSES,
                f"{len(sound)} cosigned checkpoint(s) up to {sound[-1].checkpoint.size} records hold. Whether these"
                " witnesses are enough was not judged; give a policy with --policy.",
            )
        return
    _check_quorum(sound, rules.policy, rules, newest, report)


def known_keys(policy: Policy | None, own: Iterable[Noted]) -> list[CosignerKey]:
    """The keys under which a cosignature may stand in this log."""
    found = [] if policy is None else [witness.key for witness in policy.witnesses]
    for noted in own:
        if noted.type == OwnEvent.WITNESS_CONFIGURED:
            try:
                found.append(CosignerKey.parse(noted.text("vkey")))
            except NoteError:
                continue
    return found


def is_known(line: NoteSignature, key: VerifierKey, known: Iterable[CosignerKey]) -> bool:
    """True for a line by the log itself or by a known witness, whether it holds or not."""
    return key.owns(line) or any(owner.owns(line) for owner in known)


def _faults(
    item: Cosigned, key: VerifierKey, known: list[CosignerKey], roots: Mapping[int, bytes], size: int, now: datetime
) -> Iterable[str]:
    seen = item.checkpoint
    if seen.size > size:
        yield f"The log shrank: it holds {size} records, witnesses saw {seen.size}."
    elif roots[seen.size] != seen.root:
        yield f"The first {seen.size} records are not those the witnesses saw: the log was rewritten."
    lines = [line for line in item.note.signatures if not key.owns(line)]
    if not lines:
        yield "Expected at least one cosignature, found none; it was removed."
    for line in lines:
        try:
            at = cosigned_at(item.note, line, known)
        except NoteError as error:
            yield str(error)
            continue
        if at > now + AHEAD:
            yield f"The cosignature by {line.name} is dated {say_time(at)}, in the future; see to the clocks."


def cosigned_at(note: SignedNote, line: NoteSignature, known: Iterable[CosignerKey]) -> datetime:
    """When the line was made; raise :class:`NoteError` unless it holds under a known key."""
    owners = [owner for owner in known if owner.owns(line)]
    if not owners:
        raise NoteError(
            f"A signature line by {line.name} (key id {line.key_id.hex()}) is of no known witness: expected a key of"
            " the policy or of a witness:configured record."
        )
    return owners[0].check(note.text, line)


def _check_quorum(sound: list[Cosigned], policy: Policy, rules: Rules, newest: tuple[int, str], report: Report) -> None:
    if policy.quorum == NONE:
        report.notice(Question.WITNESSES, "The policy asks for no cosignature (quorum none).")
        return
    judged = next(((item, policy.judge(item.note)) for item in reversed(sound) if policy.judge(item.note).met), None)
    if judged is None:
        reasons = policy.judge(sound[-1].note).problems if sound else ()
        sentence = f"No checkpoint in this log carries the cosignatures that the policy asks for ({policy.needed})."
        report.problem(Question.WITNESSES, " ".join([sentence, *reasons]))
        return
    item, quorum = judged
    times = sorted((at for at in quorum.cosigned.values()), reverse=True)
    reached = quorum_time(policy, quorum.cosigned)
    limit = rules.max_age if rules.max_age is not None else DEFAULT_MAX_AGE
    if reached < rules.now - limit:
        report.problem(
            Question.WITNESSES,
            f"The newest checkpoint with a quorum was cosigned {say_duration(rules.now - reached)} ago"
            f" ({say_time(reached)}), expected at most {say_duration(limit)}: the directory may be an old copy, or the"
            " witnesses are not reached.",
            item.file,
        )
    _report_window(item, times[0], newest, report)


def quorum_time(policy: Policy, cosigned: Mapping[str, datetime]) -> datetime:
    """The latest time such that the cosignatures made since then are a quorum by themselves."""
    for at in sorted(cosigned.values(), reverse=True):
        if policy.is_met_by([name for name, made in cosigned.items() if made >= at]):
            return at
    return min(cosigned.values())


def _report_window(item: Cosigned, at: datetime, newest: tuple[int, str], report: Report) -> None:
    size, last_at = newest
    count = size - item.checkpoint.size
    if not count:
        return
    last = parse_at(last_at)
    span = "" if last is None else f", the newest {say_duration(last - at)} later"
    report.notice(
        Question.WITNESSES,
        f"{count} record(s) lie after the newest cosigned checkpoint ({item.checkpoint.size} records,"
        f" {say_time(at)}){span}: until they are cosigned, only receipts and checkpoints"
        " kept elsewhere show a change to them.",
    )
