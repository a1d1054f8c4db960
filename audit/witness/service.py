"""The witness's decision on one ``add-checkpoint`` request, in the order of the specification; no HTTP here."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from audit.cosignature import Cosigner
from audit.merkle import EMPTY_ROOT, MerkleError, check_consistency
from audit.note import NoteError, NoteSignature, SignedNote, VerifierKey
from audit.witness.messages import SIZE_TYPE, AddCheckpoint, MessageError, encode_signatures, parse_request
from audit.witness.state import Suspicion, WitnessState

TEXT_TYPE = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes
    content_type: str = TEXT_TYPE


def refuse(status: int, sentence: str) -> Answer:
    """An answer of one sentence."""
    return Answer(status, f"{sentence}\n".encode())


def operator_log(event: str, **fields: object) -> None:
    """One JSON line on standard error."""
    line = {"timestamp": datetime.now(UTC).isoformat(), "event": event, **fields}
    sys.stderr.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stderr.flush()


class Witness:
    """Knows logs by their verifier keys: a key's name is the origin; several keys of one origin are all trusted."""

    def __init__(
        self,
        state: WitnessState,
        cosigners: Iterable[Cosigner],
        logs: Iterable[VerifierKey],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._state = state
        self._cosigners = tuple(cosigners)
        self._now = now
        self._logs: dict[str, list[VerifierKey]] = {}
        for key in logs:
            self._logs.setdefault(key.name, []).append(key)

    def add_checkpoint(self, body: bytes) -> Answer:
        """Check, persist, cosign. Raise WitnessRefused or OSError when the state cannot be read or written."""
        try:
            request = parse_request(body)
        except MessageError as error:
            return refuse(400, str(error))
        origin = request.checkpoint.origin
        keys = self._logs.get(origin)
        if keys is None:
            return refuse(404, "This witness does not know the log; ask its operator to add the log's verifier key.")
        try:
            trusted = trusted_signatures(request.note, keys)
        except NoteError as error:
            return refuse(403, str(error))
        if request.old_size > request.checkpoint.size:
            return refuse(400, f"Expected an old size of at most {request.checkpoint.size}, found {request.old_size}.")
        # from the check of the old size to the end of the write: one at a time, or a race could roll the log back
        with self._state.lock(origin):
            return self._decide(request, trusted, body)

    def _decide(self, request: AddCheckpoint, trusted: list[NoteSignature], body: bytes) -> Answer:
        new = request.checkpoint
        held = self._state.newest(new.origin)
        size, root = (held[0].size, held[0].root) if held else (0, EMPTY_ROOT)
        if request.old_size != size:
            if held and new.size < size:
                self._suspect(request, body, Suspicion.OLDER)
            elif held and new.size == size and new.root != root:
                self._suspect(request, body, Suspicion.OTHER_ROOT)
            return Answer(409, f"{size}\n".encode(), SIZE_TYPE)
        try:
            if new.size == 0 and new.root != EMPTY_ROOT:
                raise MerkleError("A checkpoint of size zero must have the root hash of the empty tree.")
            check_consistency(size, new.size, root, new.root, request.proof)
        except MerkleError as error:
            other = new.size == size and new.root != root
            self._suspect(request, body, Suspicion.OTHER_ROOT if other else Suspicion.NOT_PROVEN)
            return refuse(422, str(error))
        at = self._now()
        lines = [cosigner.cosign(new, at) for cosigner in self._cosigners]
        self._state.keep(new.origin, SignedNote(request.note.text, (*trusted, *lines)))
        return Answer(200, encode_signatures(lines))

    def _suspect(self, request: AddCheckpoint, body: bytes, reason: Suspicion) -> None:
        """Keep and log what may be misbehaviour of the log; once per checkpoint."""
        origin = request.checkpoint.origin
        name = self._state.keep_evidence(origin, body, request.note, reason, self._now())
        if name is not None:
            size = request.checkpoint.size
            operator_log("log-suspected", origin=origin, reason=reason.value, size=size, evidence=name)

    def latest(self, hashed: str) -> Answer:
        """The newest cosigned checkpoint of the log whose origin has this hash."""
        note = self._state.by_hash(hashed)
        return (
            refuse(404, "This witness has cosigned no checkpoint of that log.") if note is None else Answer(200, note)
        )


def trusted_signatures(note: SignedNote, keys: Iterable[VerifierKey]) -> list[NoteSignature]:
    """The log's own signature lines; raise :class:`NoteError` when there is none or one of them fails."""
    found = []
    for key in keys:
        for signature in filter(key.owns, note.signatures):
            key.check(note.text, signature)
            found.append(signature)
    if not found:
        raise NoteError("Expected a signature by a key this witness trusts for the log, found none.")
    return found
