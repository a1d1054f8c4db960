"""What the daemon does with others: witnesses and time stamps. In threads of its own; commits never wait for it.

Records about it are handed to the core through a queue, which the server empties between batches.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

import structlog

from audit.asking import AskingFailed
from audit.daemon.anchoring import TSA_SECONDS, Anchoring, AnchorPlaces, TsaSettings
from audit.daemon.core import AuditLog
from audit.daemon.cosigned import CosignedNotes
from audit.daemon.keys import StartRefused
from audit.daemon.settings import staging_directory
from audit.daemon.witness_states import WitnessStates
from audit.daemon.witnessing import Witnessing
from audit.event import AuditEvent
from audit.note import VerifierKey
from audit.policy import Policy, PolicyError, PolicyWitness, parse_policy
from audit.timestamps import HASHES
from audit.wal import WalFull
from audit.witness.client import WitnessFailed

WITNESS_SECONDS = 5.0
MAX_SECONDS = 31_536_000

_log = structlog.get_logger()


@dataclass(frozen=True)
class OutsideOptions:
    """What the command line says; the policy is read when the daemon starts."""

    policy: Path | None = None
    witness_seconds: float = WITNESS_SECONDS
    tsa_url: str = ""
    tsa_seconds: float = TSA_SECONDS
    tsa_hash: str = HASHES[0]
    tsa_certificates: Path | None = None

    def load(self) -> OutsideSettings:
        """Read the files named; raise StartRefused."""
        for name, seconds in (("witness", self.witness_seconds), ("tsa", self.tsa_seconds)):
            if not 0 < seconds <= MAX_SECONDS:
                raise StartRefused(f"Expected --{name}-seconds above 0 and up to {MAX_SECONDS}, found {seconds:g}.")
        certificates = b"" if self.tsa_certificates is None else read_bytes(self.tsa_certificates)
        tsa = TsaSettings(self.tsa_url, self.tsa_seconds, self.tsa_hash, certificates)
        return OutsideSettings(read_policy(self.policy), self.witness_seconds, tsa)


@dataclass(frozen=True)
class OutsideSettings:
    """``policy``: whose witnesses are asked; ``witness_seconds``: least time between two checkpoints sent to them."""

    policy: Policy | None = None
    witness_seconds: float = WITNESS_SECONDS
    tsa: TsaSettings = field(default_factory=TsaSettings)

    @property
    def witnesses(self) -> tuple[PolicyWitness, ...]:
        """The witnesses that can be asked: those with a URL."""
        return tuple(item for item in self.policy.witnesses if item.url) if self.policy else ()

    @property
    def witness_urls(self) -> tuple[str, ...]:
        """Their submission prefixes."""
        return tuple(dict.fromkeys(item.url for item in self.witnesses))


class Outside:
    """Made when the log is open (raises StartRefused), started when it serves, finished when all is published."""

    def __init__(self, settings: OutsideSettings, log: AuditLog) -> None:
        check_own_log(settings.policy, log.vkey)
        self._queue: SimpleQueue[tuple[AuditEvent, Callable[[], None]]] = SimpleQueue()
        self._wake: Callable[[], object] = lambda: None
        self._states = WitnessStates(log.settings.state_dir, settings.witnesses, self._record)
        log_dir, state_dir, staging = log.settings.log_dir, log.settings.state_dir, staging_directory(log.settings)
        self._witnessing: Witnessing | None = None
        places = AnchorPlaces(log_dir, state_dir / "anchors", staging)
        try:
            if settings.witnesses:
                notes = CosignedNotes(log_dir, state_dir, staging)
                seconds = settings.witness_seconds
                self._witnessing = Witnessing(log_dir, notes, settings.witnesses, self._states, seconds)
            self._anchoring = Anchoring(places, VerifierKey.parse(log.vkey), settings.tsa, self._record)
        except WitnessFailed as error:
            raise StartRefused(f"The policy names a witness that cannot be asked: {error}") from error
        except AskingFailed as error:
            raise StartRefused(f"--tsa: {error}") from error

    def start(self, wake: Callable[[], object]) -> None:
        """Begin; ``wake`` makes the server call :meth:`record_pending` soon, from whatever thread."""
        self._wake = wake
        self._states.record_configured()
        if self._witnessing is not None:
            self._witnessing.start()
        self._anchoring.start()

    def record_pending(self, log: AuditLog) -> None:
        """Record what the threads have reported; called by the server's thread. Raise WalBroken."""
        while True:
            try:
                event, done = self._queue.get_nowait()
            except Empty:
                return
            try:
                log.record_own(event)
            except WalFull as error:
                _log.error("not-recorded", type=event.type, reason=str(error))
            else:
                done()

    def finish(self) -> None:
        """After the last publication: one more round, for a short time."""
        if self._witnessing is not None:
            self._witnessing.finish()

    def _record(self, event: AuditEvent, done: Callable[[], None]) -> None:
        self._queue.put((event, done))
        self._wake()


def check_own_log(policy: Policy | None, vkey: str) -> None:
    """Raise StartRefused when a policy lists logs but not this one: its witnesses would refuse every checkpoint."""
    key = VerifierKey.parse(vkey)
    if policy is not None and policy.logs and key not in [log.key for log in policy.logs]:
        raise StartRefused(
            f"The policy lists {len(policy.logs)} logs but not this one; add the line 'log {vkey}', or remove its log"
            " lines."
        )


def read_policy(path: Path | None) -> Policy | None:
    """The policy in a file; raise StartRefused."""
    if path is None:
        return None
    try:
        return parse_policy(read_bytes(path))
    except PolicyError as error:
        raise StartRefused(f"{path.name}: {error}") from error


def read_bytes(path: Path) -> bytes:
    """A file named on the command line; raise StartRefused."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartRefused(f"The file {path.name} cannot be read ({error.strerror}).") from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this part."""
    parser.add_argument("--policy", type=Path, help="trust policy (tlog-policy): witnesses with a URL are asked")
    parser.add_argument("--witness-seconds", type=float, default=WITNESS_SECONDS, help="least time between rounds")
    parser.add_argument("--tsa", default="", help="URL of a time-stamping authority (RFC 3161)")
    parser.add_argument("--tsa-seconds", type=float, default=TSA_SECONDS, help="time between two time stamps")
    parser.add_argument("--tsa-hash", choices=HASHES, default=HASHES[0], help="hash that the authority is given")
    parser.add_argument("--tsa-certificates", type=Path, help="PEM with its root: check every time stamp on arrival")


def read_arguments(given: argparse.Namespace) -> OutsideOptions:
    """The options of this part, as given."""
    return OutsideOptions(
        given.policy, given.witness_seconds, given.tsa, given.tsa_seconds, given.tsa_hash, given.tsa_certificates
    )
