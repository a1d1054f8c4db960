"""Time stamps (RFC 3161): ``anchors/<size>.note``, a checkpoint, and ``anchors/<size>.tsr``, the token over its bytes.

Their hashes stand in the log's own ``anchor:received`` records. The token's signature is checked only with a
certificate, by ``audit.timestamps``, whose library need not be there otherwise.
"""

from __future__ import annotations

import hashlib
import importlib.util
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from audit.checkpoint import Checkpoint, open_checkpoint
from audit.inventory import Inventory
from audit.note import NoteError, VerifierKey
from audit.own_events import OwnEvent
from audit.report import Question, Report, VerifyError
from audit.scan import Noted
from audit.times import say_time

RECORDING_SECONDS = 30.0
"""Files this new may stand there before the record about them is published."""


@dataclass(frozen=True)
class Anchor:
    """A stamped checkpoint with its two files' bytes; ``age`` of the newer file in seconds."""

    size: int
    note: bytes
    token: bytes
    age: float
    checkpoint: Checkpoint

    @property
    def hashes(self) -> tuple[str, str]:
        """SHA-256 of note and token, in hex, as ``anchor:received`` has them."""
        return hashlib.sha256(self.note).hexdigest(), hashlib.sha256(self.token).hexdigest()


def note_path(size: int) -> str:
    """The stamped checkpoint's file."""
    return f"anchors/{size}.note"


def token_path(size: int) -> str:
    """The token's file."""
    return f"anchors/{size}.tsr"


def read_anchors(log_dir: Path, inventory: Inventory, key: VerifierKey, report: Report) -> list[Anchor]:
    """The pairs whose note is a checkpoint of this log; every fault of the others goes into the report.

    Of a pair whose one half is missing nothing is said here: see ``check_anchors``.
    """
    found = []
    for size in sorted(inventory.anchors):
        note, token = _read(log_dir, note_path(size)), _read(log_dir, token_path(size))
        if note is None or token is None:
            continue
        try:
            checkpoint = open_checkpoint(note[0], key)
            if checkpoint.size != size:
                raise NoteError(f"The name says {size} records, the checkpoint in it {checkpoint.size}.")
        except NoteError as error:
            report.problem(Question.TIMESTAMPS, str(error), note_path(size))
            continue
        found.append(Anchor(size, note[0], token[0], min(note[1], token[1]), checkpoint))
    return found


def _read(log_dir: Path, name: str) -> tuple[bytes, float] | None:
    """A file's bytes and its age in seconds, None when it cannot be read."""
    path = log_dir / name
    try:
        return path.read_bytes(), time.time() - path.stat().st_mtime
    except OSError:
        return None


def check_anchors(
    log_dir: Path,
    anchors: Iterable[Anchor],
    own: Iterable[Noted],
    roots: Mapping[int, bytes],
    size: int,
    present: Iterable[int],
    minimum: int,
    report: Report,
) -> list[Anchor]:
    """Hold the files against the records and the tree; return the sound ones.

    ``present``: sizes of which a file stands there; ``minimum``: records below this index may be pruned.
    """
    recorded: dict[int, list[tuple[str, str]]] = {}
    for noted in own:
        anchored = noted.count("size") if noted.type == OwnEvent.ANCHOR_RECEIVED else None
        if anchored is not None:
            recorded.setdefault(anchored, []).append((noted.text("note_sha256"), noted.text("tsr_sha256")))
    for promised in sorted({*recorded, *present}):
        _check_pair(log_dir, promised, promised in recorded, report)
    return [item for item in anchors if _is_sound(item, recorded.get(item.size, []), roots, size, minimum, report)]


def _check_pair(log_dir: Path, size: int, is_recorded: bool, report: Report) -> None:
    """Both files must be there: of every time stamp that was recorded, and of every one that is there by half."""
    halves = {name: _read(log_dir, name) for name in (note_path(size), token_path(size))}
    # the daemon writes one file after the other: then the record about them is not published yet
    if not is_recorded and any(half is not None and half[1] < RECORDING_SECONDS for half in halves.values()):
        return
    for name, half in halves.items():
        if half is None:
            report.problem(Question.TIMESTAMPS, "A time stamp was received, but this file of it is not there.", name)


def _is_sound(
    item: Anchor,
    recorded: list[tuple[str, str]],
    roots: Mapping[int, bytes],
    size: int,
    minimum: int,
    report: Report,
) -> bool:
    if item.size > size:
        sentence = f"The log shrank: it holds {size} records, the stamped checkpoint {item.size}."
        report.problem(Question.TIMESTAMPS, sentence, note_path(item.size))
        return False
    if roots[item.size] != item.checkpoint.root:
        sentence = f"The first {item.size} records are not those that were stamped: the log was rewritten."
        report.problem(Question.TIMESTAMPS, sentence, note_path(item.size))
        return False
    if item.hashes in recorded:
        return True
    if not recorded and item.age < RECORDING_SECONDS:
        report.notice(Question.TIMESTAMPS, f"The record about {token_path(item.size)} is not published yet.")
    elif not recorded and item.size < minimum:
        report.notice(Question.TIMESTAMPS, f"The record about {token_path(item.size)} was pruned.")
    elif not recorded:
        sentence = "The log has no anchor:received record for this time stamp."
        report.problem(Question.TIMESTAMPS, sentence, token_path(item.size))
    else:
        _name_changed(item, recorded, report)
    return False


def _name_changed(item: Anchor, recorded: list[tuple[str, str]], report: Report) -> None:
    note, token = item.hashes
    if note not in {pair[0] for pair in recorded}:
        report.problem(Question.TIMESTAMPS, "These are not the bytes that were recorded.", note_path(item.size))
    if token not in {pair[1] for pair in recorded}:
        report.problem(Question.TIMESTAMPS, "These are not the bytes that were recorded.", token_path(item.size))


def check_tokens(sound: list[Anchor], certificate: bytes | None, report: Report) -> None:
    """Verify the tokens' signatures under the time-stamping authority's certificate (PEM), if one is given."""
    if certificate is None or not sound:
        report.skip(Question.TIMESTAMPS)
        if sound:
            report.notice(
                Question.TIMESTAMPS,
                f"{len(sound)} time stamp(s) hold as recorded; who made them and when was not checked: give the"
                " authority's certificate with --tsa-cert.",
            )
        return
    check_certificate(certificate)
    # an optional library stands behind this module
    from audit.timestamps import TimestampError, verify_timestamp

    newest = ""
    for item in sound:
        try:
            made = verify_timestamp(item.note, item.token, certificate)
        except TimestampError as error:
            report.problem(Question.TIMESTAMPS, str(error), token_path(item.size))
        else:
            newest = f"The newest time stamp is of {say_time(made)}, over {item.size} records."
    if newest:
        report.notice(Question.TIMESTAMPS, newest)


def check_certificate(certificate: bytes) -> None:
    """Raise :class:`VerifyError` when the certificates cannot be used, or the library that needs them is not there."""
    try:
        found = x509.load_pem_x509_certificates(certificate)
    except ValueError as error:
        raise VerifyError("--tsa-cert: expected the time-stamping authority's certificates as PEM.") from error
    if not any(item.issuer == item.subject for item in found):
        raise VerifyError("--tsa-cert: expected a root certificate (issued by itself) among the certificates.")
    if importlib.util.find_spec("rfc3161_client") is None:
        raise VerifyError("Time stamps are checked by the Python package rfc3161-client; install it and verify again.")
