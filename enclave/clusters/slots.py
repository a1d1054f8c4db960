"""On which machine a cluster's next worker starts, and at which address of the cluster. Pure.

The least loaded machine comes first, home before nodes where they are equal, and last one on which workers of this
cluster ended before they ran: it would be the least loaded one again and again. A worker has one of the fixed addresses
of its machine's part (``enclave.clusters.relay``). Contract: an address is free again only when its worker has ended
for certain: what listens there would be taken for the new one. Non-goal: whether a machine answers (``nodes``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from enclave.clusters.relay import FIRST_PORT, Address

HOME = 0


@dataclass(frozen=True)
class Slot:
    """A worker's."""

    cluster: str
    address: Address
    is_doubted: bool = False
    """Workers of this cluster had ended there before they ran when this one was started."""

    @property
    def part(self) -> int:
        return self.address[0]


class Slots:
    """All workers of clusters on several machines. ``most``: addresses of one part."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._slots: dict[str, Slot] = {}
        self._left: list[Slot] = []
        """Whose workers may still be there."""
        self._doubted: set[tuple[str, int]] = set()

    def choose(self, cluster: str, capacities: Mapping[int, int]) -> list[int]:
        """The parts that a worker may start on, best first; ``capacities``: workers each may run, of all clusters."""
        used = {part: 0 for part in capacities}
        for slot in self._slots.values():
            if slot.part in used and (slot.part != HOME or slot.cluster == cluster):
                used[slot.part] += 1
        able = [part for part, most in capacities.items() if used[part] < most]
        return sorted(able, key=lambda part: ((cluster, part) in self._doubted, used[part] / capacities[part], part))

    def take(self, worker: str, cluster: str, part: int) -> Slot | None:
        """A free address there; None: there is none."""
        used = {slot.address for slot in (*self._slots.values(), *self._left) if slot.cluster == cluster}
        ports = range(FIRST_PORT, FIRST_PORT + self._most)
        port = next((port for port in ports if (part, port) not in used), None)
        if port is None:
            return None
        slot = self._slots[worker] = Slot(cluster, (part, port), (cluster, part) in self._doubted)
        return slot

    def doubt(self, slot: Slot) -> None:
        """Its worker ended before it ran."""
        self._doubted.add((slot.cluster, slot.part))

    def find(self, worker: str) -> Slot | None:
        """Where it is."""
        return self._slots.get(worker)

    def free(self, worker: str) -> None:
        """It has ended for certain."""
        self._slots.pop(worker, None)

    def leave(self, worker: str) -> None:
        """Nobody wants it any more, and whether it has ended is not known."""
        if (slot := self._slots.pop(worker, None)) is not None:
            self._left.append(slot)

    def left_at(self, part: int) -> list[Slot]:
        """Left ones of one machine."""
        return [slot for slot in self._left if slot.part == part]

    def free_left(self, ended: Sequence[Slot]) -> None:
        """These have ended: the machine was told what may go on, and they were not among that."""
        self._left = [slot for slot in self._left if slot not in ended]

    def free_cluster(self, cluster: str) -> None:
        """It is over; another one has addresses of its own."""
        for worker in [name for name, slot in self._slots.items() if slot.cluster == cluster]:
            del self._slots[worker]
        self._left = [slot for slot in self._left if slot.cluster != cluster]
        self._doubted = {(name, part) for name, part in self._doubted if name != cluster}

    def workers_at(self, part: int) -> dict[str, str]:
        """Worker → cluster, of one machine."""
        return {name: slot.cluster for name, slot in self._slots.items() if slot.part == part}
