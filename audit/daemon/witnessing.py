"""Sending published checkpoints to witnesses, one thread per witness, so that none of them can hold up anything.

A coordinator offers the newest published checkpoint to all threads at most every ``seconds``, and the same one again
before its cosignatures grow stale; a witness that missed it is asked again. Whatever a witness answers, only lines that
verify under its key in the policy count.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from audit.checkpoint import Checkpoint
from audit.daemon.cosigned import CosignedNotes
from audit.daemon.witness_states import WitnessStates
from audit.merkle import consistency_proof
from audit.note import NoteError, NoteSignature, SignedNote, parse_note
from audit.policy import PolicyWitness, printable
from audit.reader import LogUnreadable, TileNodes, read_checkpoint
from audit.witness.client import Conflict, WitnessClient, WitnessFailed

RENEW_SECONDS = 50.0
"""An unchanged checkpoint is offered again after this long, so that a cosignature is never older than 60 s."""
LOOK_SECONDS = 1.0
ROUNDS = 3
FINISH_SECONDS = 2.0

_log = structlog.get_logger()


@dataclass(frozen=True)
class Offer:
    """A published checkpoint on offer."""

    number: int
    note: SignedNote
    checkpoint: Checkpoint


class WitnessLink:
    """One witness (a URL; it may have several keys in the policy), used by one thread."""

    def __init__(self, log_dir: Path, url: str, witnesses: Sequence[PolicyWitness]) -> None:
        self.url = url
        self.witnesses = tuple(witnesses)
        self._log_dir = log_dir
        self._client = WitnessClient(url)
        self._size = 0

    def close(self) -> None:
        """Drop the connection."""
        self._client.close()

    def submit(self, offer: Offer) -> dict[str, NoteSignature]:
        """Checked cosignatures by policy name; raise WitnessFailed or LogUnreadable."""
        size = offer.checkpoint.size
        for _ in range(ROUNDS):
            if self._size > size:
                told, self._size = self._size, 0
                raise WitnessFailed(f"The witness says it has cosigned {told} records, but {size} are published.")
            proof = consistency_proof(self._size, size, TileNodes(self._log_dir, size))
            answer = self._client.add_checkpoint(self._size, proof, offer.note.encode())
            if isinstance(answer, Conflict):
                self._size = answer.size
                continue
            self._size = size
            return self._checked(offer, answer.signatures)
        raise WitnessFailed(f"The witness named another size in each of {ROUNDS} answers.")

    def _checked(self, offer: Offer, signatures: Sequence[NoteSignature]) -> dict[str, NoteSignature]:
        good: dict[str, NoteSignature] = {}
        for witness in self.witnesses:
            for signature in filter(witness.key.owns, signatures):
                try:
                    witness.key.check(offer.note.text, signature)
                    good[witness.name] = signature
                except NoteError as error:
                    _log.warning("cosignature-ignored", witness=printable(witness.name), reason=str(error))
        return good


class Witnessing:
    """Started with ``start``. Never blocks its caller, except ``finish`` (at most :data:`FINISH_SECONDS`)."""

    def __init__(
        self,
        log_dir: Path,
        notes: CosignedNotes,
        witnesses: Sequence[PolicyWitness],
        states: WitnessStates,
        seconds: float,
    ) -> None:
        self._log_dir = log_dir
        self._notes = notes
        self._states = states
        self._seconds = seconds
        urls = dict.fromkeys(witness.url for witness in witnesses)
        self._links = [WitnessLink(log_dir, url, [item for item in witnesses if item.url == url]) for url in urls]
        self._changed = threading.Condition()
        self._offer: Offer | None = None
        self._offered_at = self._round_at = float("-inf")
        self._behind: set[str] = set()
        self._again: set[str] = set()
        self._done: dict[str, int] = {}
        self._stopping = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to offer checkpoints."""
        self._threads = [threading.Thread(target=self._coordinate, name="witnessing", daemon=True)]
        for link in self._links:
            self._threads.append(threading.Thread(target=self._follow, args=(link,), name="witness", daemon=True))
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """After the last publication: offer it once more, wait a little, end."""
        with self._changed:
            self._stopping = True
            self._begin_round(time.monotonic())
            self._changed.notify_all()
            deadline = time.monotonic() + FINISH_SECONDS
            self._changed.wait_for(self._all_answered, FINISH_SECONDS)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _all_answered(self) -> bool:
        last = self._offer.number if self._offer else 0
        return not self._again and all(self._done.get(link.url, 0) >= last for link in self._links)

    def _coordinate(self) -> None:
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                if now - self._round_at >= self._seconds or now - self._offered_at >= RENEW_SECONDS:
                    self._begin_round(now)
                    self._changed.notify_all()
                self._changed.wait_for(lambda: self._stopping, min(self._seconds, LOOK_SECONDS))

    def _begin_round(self, now: float) -> None:
        """Offer the published checkpoint when it is new or grows stale; whoever missed it is asked again anyway."""
        self._round_at = now
        self._again = set(self._behind)
        try:
            raw, checkpoint = read_checkpoint(self._log_dir)
            note = parse_note(raw)
        except (LogUnreadable, NoteError) as error:
            _log.error("nothing-to-witness", reason=str(error))
            return
        before = self._offer
        if before and before.note.text == note.text and now - self._offered_at < RENEW_SECONDS:
            return
        self._offer = Offer(before.number + 1 if before else 1, note, checkpoint)
        self._offered_at = now

    def _follow(self, link: WitnessLink) -> None:
        done = 0
        while (offer := self._next(link, done)) is not None:
            done = offer.number
            try:
                good = self._ask(link, offer)
            except Exception as error:
                # this thread must live on whatever an answer did to it, or the witness would be lost silently
                _log.error("witnessing-failed", url=link.url, reason=type(error).__name__)
                good = {}
            with self._changed:
                self._done[link.url] = done
                self._again.discard(link.url)
                if len(good) < len(link.witnesses):
                    self._behind.add(link.url)
                else:
                    self._behind.discard(link.url)
                self._changed.notify_all()
        link.close()

    def _next(self, link: WitnessLink, done: int) -> Offer | None:
        def due() -> bool:
            return self._offer is not None and (self._offer.number > done or link.url in self._again)

        with self._changed:
            self._changed.wait_for(lambda: due() or self._stopping)
            return self._offer if due() else None

    def _ask(self, link: WitnessLink, offer: Offer) -> dict[str, NoteSignature]:
        reason = "It returned no valid cosignature by this key."
        good: dict[str, NoteSignature] = {}
        try:
            good = link.submit(offer)
            if good:
                self._notes.add(offer.note, list(good.values()))
        except LogUnreadable as error:
            # a partial tile went while we read it: the next offer has newer ones, and the witness is not to blame
            _log.info("witnessing-postponed", reason=str(error))
            return {}
        except WitnessFailed as error:
            reason = str(error)
        except OSError as error:
            _log.error("cosignature-not-kept", reason=error.strerror)
            return {}
        for witness in link.witnesses:
            self._states.note(witness, None if witness.name in good else reason)
        return good
