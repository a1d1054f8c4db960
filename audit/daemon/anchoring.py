"""Time stamps (RFC 3161) for published checkpoints: asked for over HTTP, or carried by hand into ``state/anchors``.

A pair ``<size>.note`` and ``<size>.tsr`` waits in the state directory until the record ``anchor:received`` with both
hashes is durable; then it appears in ``LOGDIR/anchors``. A crash in between leads to the record being written again.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from audit.asking import Asker, AskingFailed
from audit.checkpoint import open_checkpoint
from audit.daemon.witness_states import Record
from audit.durable import fsync_directory, make_directories, write_atomic, write_file
from audit.note import NoteError, VerifierKey
from audit.own_events import OwnEvent, own_event
from audit.reader import LogUnreadable, read_checkpoint
from audit.timestamps import QUERY_TYPE, TimestampError, build_request, check_response, verify_timestamp

FOLDER = "anchors"
TSA_SECONDS = 3600.0
LOOK_SECONDS = 2.0
"""How often the folder for time stamps carried by hand is looked at."""
RETRY_SECONDS = 60.0

_log = structlog.get_logger()


@dataclass(frozen=True)
class TsaSettings:
    """``url``: the authority, empty for none; ``certificates``: PEM to check its answers at once, empty for not."""

    url: str = ""
    seconds: float = TSA_SECONDS
    hash_name: str = "sha256"
    certificates: bytes = b""


@dataclass(frozen=True)
class AnchorPlaces:
    """``staging``: for temporary files on the log directory's file system."""

    log_dir: Path
    waiting: Path
    staging: Path


class Anchoring:
    """A thread; ``start`` it. Failures are logged and tried again."""

    def __init__(self, places: AnchorPlaces, key: VerifierKey, settings: TsaSettings, record: Record) -> None:
        self._places = places
        self._key = key
        self._settings = settings
        self._record = record
        self._asker = Asker(settings.url) if settings.url else None
        self._handed_over: set[int] = set()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="anchoring", daemon=True).start()

    def _run(self) -> None:
        due = time.monotonic() + max(0.0, self._settings.seconds - self._age_of_newest())
        while True:
            self._try("anchor-not-taken", self._take_waiting)
            asker = self._asker
            if asker is not None and time.monotonic() >= due:
                done = self._try("time-stamp-failed", partial(self._ask, asker))
                due = time.monotonic() + (
                    self._settings.seconds if done else min(RETRY_SECONDS, self._settings.seconds)
                )
                continue
            time.sleep(max(0.05, min(LOOK_SECONDS, due - time.monotonic()) if self._asker else LOOK_SECONDS))

    def _try(self, complaint: str, work: Callable[[], None]) -> bool:
        try:
            work()
        except (AskingFailed, TimestampError, LogUnreadable, NoteError) as error:
            _log.warning(complaint, reason=str(error))
            return False
        except Exception as error:
            # the thread must live on: without it no checkpoint is anchored any more, and nobody would notice
            _log.error(complaint, reason=getattr(error, "strerror", None) or type(error).__name__)
            return False
        return True

    def _age_of_newest(self) -> float:
        stamps = [path.stat().st_mtime for path in (self._places.log_dir / FOLDER).glob("*.tsr")]
        return max(0.0, time.time() - max(stamps)) if stamps else self._settings.seconds

    def _ask(self, asker: Asker) -> None:
        note, checkpoint = read_checkpoint(self._places.log_dir)
        if (self._places.log_dir / FOLDER / f"{checkpoint.size}.tsr").exists():
            return
        request, nonce = build_request(note, self._settings.hash_name)
        status, answer = asker.ask("POST", asker.path or "/", request, {"Content-Type": QUERY_TYPE})
        if status != 200:
            raise AskingFailed(f"The time-stamping authority answered {status} instead of 200.")
        check_response(note, answer, nonce)
        put_waiting(self._places.waiting, checkpoint.size, note, answer)
        self._take_waiting()

    def _take_waiting(self) -> None:
        for path in sorted(self._places.waiting.glob("*.tsr")) if self._places.waiting.is_dir() else []:
            if not path.stem.isascii() or not path.stem.isdigit() or int(path.stem) in self._handed_over:
                continue
            try:
                self._hand_over(int(path.stem), path.with_suffix(".note").read_bytes(), path.read_bytes())
            except (NoteError, TimestampError, FileNotFoundError) as error:
                path.replace(path.with_suffix(".refused"))
                reason = "its note is missing" if isinstance(error, FileNotFoundError) else str(error)
                _log.error("anchor-refused", file=path.name, reason=reason)

    def _hand_over(self, size: int, note: bytes, tsr: bytes) -> None:
        checkpoint = open_checkpoint(note, self._key)
        if checkpoint.size != size:
            raise NoteError(f"Expected a checkpoint over {size} records, found one over {checkpoint.size}.")
        if self._settings.certificates:
            verify_timestamp(note, tsr, self._settings.certificates)
        else:
            check_response(note, tsr)
        self._handed_over.add(size)
        published = self._places.log_dir / FOLDER / f"{size}.tsr"
        if published.exists():
            # published only after its record: nothing is left but to clear away, unless it is another one
            if published.read_bytes() != tsr:
                raise TimestampError(f"There is a time stamp over {size} records already; it stays.")
            self._clear(size)
            return
        data = {"note_sha256": hashlib.sha256(note).hexdigest(), "tsr_sha256": hashlib.sha256(tsr).hexdigest()}
        event = own_event(OwnEvent.ANCHOR_RECEIVED, counts={"size": size}, data=data)
        self._record(event, lambda: self._publish(size, note, tsr))

    def _publish(self, size: int, note: bytes, tsr: bytes) -> None:
        """Once the record is durable (in the core's thread)."""
        folder = self._places.log_dir / FOLDER
        try:
            make_directories(folder, 0o755)
            for name, data in ((f"{size}.note", note), (f"{size}.tsr", tsr)):
                write_file(folder / name, data, mode=0o644, staging=self._places.staging)
            fsync_directory(folder)
            self._clear(size)
        except OSError as error:
            # the pair still waits in the state directory; the next start publishes it
            _log.error("anchor-not-published", size=size, reason=error.strerror)

    def _clear(self, size: int) -> None:
        for suffix in ("note", "tsr"):
            (self._places.waiting / f"{size}.{suffix}").unlink(missing_ok=True)


def put_waiting(waiting: Path, size: int, note: bytes, tsr: bytes) -> None:
    """Lay a pair down for the daemon, the time stamp last: it is what the daemon looks for."""
    make_directories(waiting, 0o700)
    for suffix, data in (("note", note), ("tsr", tsr)):
        write_atomic(waiting / f"{size}.{suffix}", data, mode=0o644)
