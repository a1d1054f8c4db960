"""One-time tickets on disk, so that any replica of the gateway over shared storage can redeem what another handed out.

Contract: a ticket opens once, for the person and in the project it was handed out to, within fifteen minutes. A handle
is 32 random bytes; the file is named by its hash, so that reading the folder opens nothing. To redeem is to rename the
file away, which the file system lets one of several succeed in. A ticket holds what to run, never rows; what it runs is
examined again when it is redeemed (``partitions``).

Layout: ``<project>/<person>/<sha256>.json`` open, ``…/used/<sha256>.json`` empty; folders 0700, files 0600. Nothing is
forced to the disk: a ticket lost in a crash is asked for again. Non-goal: recording (the caller does).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from enclave.domain.ids import PersonId, ProjectId
from enclave.gateway.row_ranges import RowRange

PREFIX = b"enclave.ticket/1\n"
LIFETIME_SECONDS = 15 * 60
MAXIMUM_OPEN = 4096
"""Open tickets of one person in one project."""
_HANDLE_BYTES = 32
_USED = "used"
_AGAIN = "Ask for the partitions again."


class TicketRefusedError(Exception):
    """The ticket does not open, or there may be no more. ``rule`` is for the record, the sentence for the reader."""

    def __init__(self, rule: str, sentence: str) -> None:
        super().__init__(sentence)
        self.rule = rule
        self.sentence = sentence


@dataclass(frozen=True)
class RangeTicket:
    """What a ticket stands for: a plain statement over a range of one table, in one version of the extract."""

    statement: str
    table: str
    rows: RowRange
    extract: str
    request: str
    """Id of the request that handed it out."""


def is_ticket(content: bytes) -> bool:
    """True for Flight ticket bytes of this kind."""
    return content.startswith(PREFIX)


class TicketStore:
    """Any number of these may work on one folder, in any number of processes."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock

    def hand_out(self, project: ProjectId, person: PersonId, tickets: Sequence[RangeTicket]) -> list[bytes]:
        """Flight ticket bytes, in order. Raises TicketRefusedError when too many would be open, or OSError."""
        folder = self._folder / project / person
        self._make(folder)
        found = sum(1 for _ in folder.glob("*.json"))
        if found + len(tickets) > MAXIMUM_OPEN:
            raise TicketRefusedError(
                "tickets-open",
                f"Expected at most {MAXIMUM_OPEN} open tickets of one person in a project, found {found} and "
                f"{len(tickets)} more asked for. Redeem them, or wait: they expire after {LIFETIME_SECONDS // 60} "
                "minutes.",
            )
        return [self._write(folder, ticket) for ticket in tickets]

    def redeem(self, content: bytes, project: ProjectId, person: PersonId) -> RangeTicket:
        """What the ticket stands for; it never opens again. Raises TicketRefusedError."""
        name = _file_name(content)
        folder = self._folder / project / person
        try:
            stored = json.loads((folder / name).read_bytes())
            if stored["expires_at"] < self._clock():
                raise _expired()
            (folder / name).rename(folder / _USED / name)
        except (FileNotFoundError, ValueError, KeyError, TypeError) as error:  # empty: another one was quicker
            raise self._refusal(folder, name) from error
        with contextlib.suppress(OSError):  # what it stood for is not needed any more, that it was used is
            os.truncate(folder / _USED / name, 0)
        return RangeTicket(**{**stored["ticket"], "rows": RowRange(**stored["ticket"]["rows"])})

    def clean(self) -> None:
        """Remove tickets that are past their time, used or not. Call about once a minute."""
        oldest = self._clock() - LIFETIME_SECONDS
        for path in self._folder.rglob("*.json"):
            with contextlib.suppress(OSError):  # another replica cleans as well
                if path.stat().st_mtime < oldest:
                    path.unlink()

    def _make(self, folder: Path) -> None:
        """Each folder of its own: ``parents=True`` would make those above readable to others."""
        self._folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in (self._folder, folder.parent, folder, folder / _USED):
            path.mkdir(exist_ok=True, mode=0o700)

    def _write(self, folder: Path, ticket: RangeTicket) -> bytes:
        content = PREFIX + secrets.token_bytes(_HANDLE_BYTES)
        stored = {"expires_at": self._clock() + LIFETIME_SECONDS, "ticket": asdict(ticket)}
        descriptor = os.open(folder / _file_name(content), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps(stored).encode())
        return content

    def _refusal(self, folder: Path, name: str) -> TicketRefusedError:
        if (folder / _USED / name).exists():
            return TicketRefusedError("ticket-used", f"This ticket has been used: each opens once. {_AGAIN}")
        if (folder / name).exists():
            return TicketRefusedError("ticket-unreadable", f"This ticket cannot be read any more. {_AGAIN}")
        if any(self._folder.glob(f"*/*/{name}")):
            return TicketRefusedError(
                "ticket-foreign",
                f"This ticket was handed out to somebody else, or in another project. {_AGAIN}",
            )
        return TicketRefusedError(
            "ticket-unknown",
            f"This ticket is not known here, or not any more: they hold {LIFETIME_SECONDS // 60} minutes. {_AGAIN}",
        )


def _expired() -> TicketRefusedError:
    return TicketRefusedError(
        "ticket-expired", f"This ticket has expired: they hold {LIFETIME_SECONDS // 60} minutes. {_AGAIN}"
    )


def _file_name(content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()}.json"
