"""Carrying out the retention policy on a running log (the rules are in ``audit.daemon.pruning``)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from audit.daemon import pruning
from audit.daemon.erasure import check_person
from audit.daemon.recovery import Places
from audit.daemon.sealing import Sealer
from audit.event import AuditEvent, EventError, timestamp
from audit.own_events import OwnEvent, own_event
from audit.payload_segments import PayloadSegments
from audit.payloads import PayloadVault


def parse_before(text: object) -> datetime:
    """An RFC 3339 time with zone; raise EventError."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise EventError("before: expected a time with zone, such as 2025-11-01T00:00:00Z.")
    return moment.astimezone(UTC)


class Retention:
    """``minimum``: the index below which entries are pruned."""

    def __init__(self, places: Places, sealer: Sealer, kept: PayloadSegments, minimum: int) -> None:
        self._places = places
        self._sealer = sealer
        self._kept = kept
        self.minimum = minimum

    def plan(self, before: datetime, by: str, now: datetime, published: int) -> tuple[AuditEvent, int]:
        """The record to make durable first and the new minimum index; raise EventError when nothing can be pruned."""
        check_person(by)
        if before > now:
            raise EventError("before: expected a time in the past.")
        pruning.check_before(before, now)
        minimum = pruning.choose_minimum(self._places.log_dir, published, self.minimum, timestamp(before))
        if minimum <= self.minimum:
            raise EventError(
                "Nothing to prune: no whole bundle of 256 records lies before that time"
                + (f" (records below {self.minimum} are pruned already)." if self.minimum else ".")
            )
        data = {"before": timestamp(before), "by": by}
        return own_event(OwnEvent.PRUNED, counts={"minimum_index": minimum}, data=data), minimum

    def prepare(self, published: int) -> None:
        """Copy the payloads of every sealed segment; raise OSError when the disk does not take them."""
        self._sealer.copy(published)

    def carry_out(self, minimum: int, before: datetime, vault: PayloadVault, published: int) -> None:
        """Remove what the durable record says, in an order in which a crash at any point leaves a log that starts."""
        self.minimum = minimum
        pruning.remember_minimum(self._places.state_dir, minimum)
        erase_keys(vault, before)
        self._remove(published)

    def finish_at_start(self, replayed: Iterable[bytes], vault: PayloadVault, published: int) -> None:
        """Remove what a crash left of a prune whose record is durable."""
        for leaf in pruning.own_leaves(replayed, OwnEvent.PRUNED):
            erase_keys(vault, parse_before(leaf["data"]["before"]))
        if self.minimum:
            pruning.remember_minimum(self._places.state_dir, self.minimum)
            self._remove(published)

    def _remove(self, published: int) -> None:
        # the write-ahead log first: its next replay must not need, nor write again, bundles that are gone
        self._sealer.retire_below(self.minimum, published)
        pruning.remove_bundles(self._places.log_dir, self.minimum)
        pruning.remove_payloads(self._kept, self.minimum)


def erase_keys(vault: PayloadVault, before: datetime) -> None:
    """Destroy the payload keys of every month that lies wholly before."""
    for base, generation in vault.keys_before(f"{before:%Y-%m}"):
        vault.erase(base, generation)
