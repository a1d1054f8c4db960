"""Asking a witness over HTTP (c2sp.org/tlog-witness)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from audit.asking import REQUEST_SECONDS, Asker, AskingFailed
from audit.note import NoteSignature
from audit.witness.messages import MessageError, encode_request, origin_hash, parse_signatures, parse_size


class WitnessFailed(RuntimeError):
    """The witness did not answer, or not as the protocol says; the sentence holds nothing the witness wrote."""


@dataclass(frozen=True)
class Cosigned:
    """A 200 answer: signature lines nobody has checked yet."""

    signatures: list[NoteSignature]


@dataclass(frozen=True)
class Conflict:
    """A 409 answer: the size of the newest checkpoint the witness has cosigned."""

    size: int


class WitnessClient:
    """One witness by its submission prefix (also used as monitoring prefix). Not for several threads at a time."""

    def __init__(self, url: str, seconds: float = REQUEST_SECONDS) -> None:
        try:
            self._asker = Asker(url, seconds)
        except AskingFailed as error:
            raise WitnessFailed(str(error)) from error
        self._prefix = self._asker.path.rstrip("/")

    def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: bytes) -> Cosigned | Conflict:
        """Ask for cosignatures; raise :class:`WitnessFailed`."""
        body = encode_request(old_size, proof, note)
        status, answer = self._ask("POST", f"{self._prefix}/add-checkpoint", body)
        try:
            if status == 200:
                return Cosigned(parse_signatures(answer))
            if status == 409:
                return Conflict(parse_size(answer))
        except MessageError as error:
            raise WitnessFailed(f"The witness answered {status} with a malformed body.") from error
        raise WitnessFailed(f"The witness answered {status}{_MEANINGS.get(status, '')}.")

    def checkpoint(self, origin: str) -> bytes | None:
        """The newest note the witness has cosigned for the log, unchecked; None when there is none."""
        status, answer = self._ask("GET", f"{self._prefix}/{origin_hash(origin)}/checkpoint", None)
        if status not in (200, 404):
            raise WitnessFailed(f"The witness answered {status} when asked for its newest checkpoint.")
        return answer if status == 200 else None

    def close(self) -> None:
        """Drop the connection."""
        self._asker.close()

    def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        headers = {"Content-Type": "text/plain; charset=utf-8"} if body is not None else {}
        try:
            return self._asker.ask(method, path, body, headers)
        except AskingFailed as error:
            raise WitnessFailed(str(error)) from error


_MEANINGS = {
    403: " (it does not accept the log's signature)",
    404: " (it does not know the log; its operator must add the log's verifier key)",
    422: " (it holds a checkpoint that ours does not continue: run 'enclave-audit verify' at once)",
}
