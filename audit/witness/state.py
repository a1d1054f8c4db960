"""What a witness keeps: its keys, the newest cosigned checkpoint of each log, and evidence of misbehaviour.

``name``, ``ed25519.key``, ``ml-dsa-44.key``; ``origins/<sha256 of the origin>``: a signed note; ``evidence/*.json``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from audit.checkpoint import Checkpoint, parse_checkpoint
from audit.cosignature import Cosigner
from audit.durable import make_directories, write_atomic
from audit.note import NoteError, SignedNote, check_key_name, parse_note
from audit.witness.messages import origin_hash

KEY_KINDS = ("ed25519", "ml-dsa-44")
MAX_EVIDENCE = 256


class Suspicion(StrEnum):
    """Why a signed checkpoint is kept as evidence; each reason has its own limit per log.

    Only the first convicts the log by itself: the others can also be made by replaying honest checkpoints.
    """

    OTHER_ROOT = "other-root"
    NOT_PROVEN = "not-proven"
    OLDER = "older"


class WitnessRefused(RuntimeError):
    """The witness cannot be set up, started or go on; the sentence says what was found and what to do."""


def create_keys(state: Path, name: str) -> list[Cosigner]:
    """Make both keys of a new witness, or load those that are there under the same name."""
    try:
        check_key_name(name)
        name.encode()
    except (NoteError, UnicodeEncodeError) as error:
        raise WitnessRefused(str(error)) from error
    make_directories(state, 0o700)
    name_path = state / "name"
    if name_path.exists() and name_path.read_text() != f"{name}\n":
        raise WitnessRefused("This state directory belongs to a witness of another name; choose an empty directory.")
    made: dict[str, Ed25519PrivateKey | MLDSA44PrivateKey] = {
        "ed25519": Ed25519PrivateKey.generate(),
        "ml-dsa-44": MLDSA44PrivateKey.generate(),
    }
    for kind, private in made.items():
        path = state / f"{kind}.key"
        if not path.exists():
            if name_path.exists():
                raise WitnessRefused(f"{path.name} is missing from the state directory; restore it from a copy.")
            pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_atomic(path, pem, mode=0o600)
    write_atomic(name_path, f"{name}\n".encode(), mode=0o644)
    return load_keys(state, KEY_KINDS)


def load_keys(state: Path, kinds: tuple[str, ...]) -> list[Cosigner]:
    """The witness's keys of the kinds wanted; raise :class:`WitnessRefused`."""
    try:
        name = (state / "name").read_text().rstrip("\n")
        loaded = [load_pem_private_key((state / f"{kind}.key").read_bytes(), None) for kind in kinds]
    except (OSError, ValueError) as error:
        raise WitnessRefused(
            f"The witness's keys cannot be read ({error}); run 'enclave-audit witness init', or restore them from a"
            " copy."
        ) from error
    keys = [Cosigner(name, key) for key in loaded if isinstance(key, Ed25519PrivateKey | MLDSA44PrivateKey)]
    if tuple(key.key.kind_name for key in keys) != kinds:
        raise WitnessRefused("A key file holds a key of another kind than its name says; restore it from a copy.")
    return keys


class WitnessState:
    """Held by one process at a time. The caller holds ``lock(origin)`` around reading and replacing a checkpoint."""

    def __init__(self, state: Path, cosigners: list[Cosigner]) -> None:
        self._origins, self._evidence = state / "origins", state / "evidence"
        for directory in (self._origins, self._evidence):
            make_directories(directory, 0o700)
        self._keys = [cosigner.key for cosigner in cosigners]
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self._descriptor = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise WitnessRefused("Another witness process uses this state directory; stop it first.") from error
        for directory in (self._origins, self._evidence):
            for leftover in directory.glob(".*.tmp"):
                leftover.unlink()

    def close(self) -> None:
        """Let another process have the state."""
        os.close(self._descriptor)

    def lock(self, origin: str) -> threading.Lock:
        """The lock of one log."""
        with self._guard:
            return self._locks.setdefault(origin, threading.Lock())

    def newest(self, origin: str) -> tuple[Checkpoint, bytes] | None:
        """The newest cosigned checkpoint and its note; None when there never was one."""
        try:
            raw = (self._origins / origin_hash(origin)).read_bytes()
        except FileNotFoundError:
            return None
        try:
            note = parse_note(raw)
            checkpoint = parse_checkpoint(note)
            own = [(key, line) for key in self._keys for line in note.signatures if key.owns(line)]
            for key, line in own:
                key.check(note.text, line)
            if not own:
                raise NoteError("it carries no cosignature of this witness.")
        except NoteError as error:
            raise WitnessRefused(
                f"The kept checkpoint of {origin} is damaged: {error} Restore it from a copy."
            ) from error
        return checkpoint, raw

    def by_hash(self, hashed: str) -> bytes | None:
        """The newest cosigned note by the hash of its origin (64 hex digits)."""
        try:
            return (self._origins / hashed).read_bytes()
        except FileNotFoundError:
            return None

    def keep(self, origin: str, note: SignedNote) -> None:
        """Replace the newest cosigned note, durably."""
        write_atomic(self._origins / origin_hash(origin), note.encode(), mode=0o600)

    def keep_evidence(self, origin: str, body: bytes, note: SignedNote, reason: Suspicion, at: datetime) -> str | None:
        """Keep a signed checkpoint that could not be cosigned, beside the one we hold; its file name, or None.

        The same checkpoint is kept once, and at most ``MAX_EVIDENCE`` of one log and reason: nobody shall fill the
        disk, nor crowd out what matters.
        """
        prefix = f"{origin_hash(origin)[:16]}-{reason.value}"
        path = self._evidence / f"{prefix}-{hashlib.sha256(note.text.encode()).hexdigest()[:32]}.json"
        if path.exists() or len(list(self._evidence.glob(f"{prefix}-*.json"))) >= MAX_EVIDENCE:
            return None
        held = self.newest(origin)
        fields = {
            "at": at.isoformat(),
            "origin": origin,
            "reason": reason.value,
            "request": body.decode(),
            "held": held[1].decode() if held else None,
        }
        write_atomic(path, (json.dumps(fields, ensure_ascii=False, indent=1) + "\n").encode(), mode=0o600)
        return path.name
