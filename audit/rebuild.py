"""Rebuilding the tree of a published log and comparing every file with what the tree says it must hold.

The log is cut into stretches (``audit.stretch``) that several processes check; here their answers are joined in order:
the levels above 0, the roots at the sizes somebody asked about, and the summaries of the records. Memory does not grow
with the log, and the answer does not depend on the number of processes.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from audit.completeness import Completeness
from audit.inventory import Inventory
from audit.merkle import fold_right, node_hash
from audit.parallel import in_order, usable_processes
from audit.reader import LogUnreadable, find_file
from audit.report import Finding, Question
from audit.stretch import STRETCH, Job, Source, Stretch, check_stretch, compare_tile, look_again
from audit.tiles import ENTRIES, TILE_HEIGHT, TILE_WIDTH, TileFile, TileId, TileTree

SMALL = 20_000
"""Logs with fewer records are checked by one process: starting others would take longer."""


@dataclass
class Rebuilt:
    """``root`` of the whole tree, ``roots`` at the sizes asked about that it reaches, ``leaves``: leaf hashes by index.

    ``missing``: bundles that are not there, which pruning may explain.
    """

    root: bytes = b""
    roots: dict[int, bytes] = field(default_factory=dict)
    leaves: dict[int, bytes] = field(default_factory=dict)
    findings: list[tuple[Question, Finding]] = field(default_factory=list)
    dropped: dict[Question, int] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)
    completeness: Completeness = field(default_factory=Completeness)


@dataclass(frozen=True)
class Wanted:
    """Tree sizes whose root, and indexes whose leaf hash, the rebuild shall note."""

    sizes: frozenset[int] = frozenset()
    leaves: frozenset[int] = frozenset()


class Rebuild:
    """One pass over a log of ``size`` records; raise WorkerDied when a process of ours ended."""

    def __init__(
        self, log_dir: Path, inventory: Inventory, size: int, wanted: Wanted, processes: int | None = None
    ) -> None:
        self._log_dir = Path(log_dir)
        self._inventory = inventory
        self._size = size
        self._wanted = wanted
        self._ends: dict[int, list[int]] = {}
        for wish in sorted(self._sizes()):
            self._ends.setdefault(wish // TILE_WIDTH, []).append(wish)
        self._processes = 1 if size < SMALL else usable_processes(processes)

    def run(self, source: Source) -> Rebuilt:
        """Go through the whole log."""
        # a tree over the hashes of full bundles: its level n is level n + 1 of the log
        self._upper = TileTree()
        self._edge: list[tuple[int, bytes]] = []
        self._result = Rebuilt()
        self._prefixes: dict[int, list[tuple[int, bytes]]] = {}
        jobs = self._jobs(source)
        processes = min(self._processes, max(1, len(jobs)))
        with closing(in_order(check_stretch, jobs, processes)) as answers:
            for job, answer in zip(jobs, answers, strict=True):
                self._join(job, answer)
        self._note_roots(self._size // TILE_WIDTH)
        for partial in self._upper.partials():
            self._compare(partial)
        self._result.root = self._result.roots[self._size]
        return self._result

    def _jobs(self, source: Source) -> list[Job]:
        """The stretches; each knows of the partial files and of the wishes that concern it."""
        bundles = -(-self._size // TILE_WIDTH)
        listed: dict[int, dict[TileId, list[TileId]]] = {}
        for tile in self._inventory.partials:
            if tile.level in (0, ENTRIES) and tile.index < bundles:
                widths = self._inventory.widths(tile, self._size)
                listed.setdefault(tile.index // STRETCH, {})[tile] = [item for item in widths if item != tile]
        sizes = self._by_stretch({size for size in self._sizes() if size < self._size or size % TILE_WIDTH})
        leaves = self._by_stretch({index for index in self._wanted.leaves if 0 <= index < self._size})
        return [
            Job(
                str(self._log_dir),
                source,
                self._size,
                first,
                min(first + STRETCH, bundles),
                listed.get(first // STRETCH, {}),
                tuple(sizes.get(first // STRETCH, ())),
                tuple(leaves.get(first // STRETCH, ())),
            )
            for first in range(0, bundles, STRETCH)
        ]

    def _sizes(self) -> set[int]:
        return {size for size in self._wanted.sizes if 0 <= size <= self._size} | {self._size}

    @staticmethod
    def _by_stretch(places: Iterable[int]) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for place in sorted(places):
            found.setdefault(place // TILE_WIDTH // STRETCH, []).append(place)
        return found

    def _join(self, job: Job, answer: Stretch) -> None:
        result = self._result
        result.findings += answer.findings
        for question, count in answer.dropped.items():
            result.dropped[question] = result.dropped.get(question, 0) + count
        result.missing += answer.missing
        result.leaves.update(answer.leaves)
        self._prefixes = answer.prefixes
        for bundle, item in enumerate(answer.bundles, answer.first):
            self._note_roots(bundle)
            push(self._edge, TILE_HEIGHT, item)
            for finished in self._upper.append(item):
                self._compare(finished)
        overlaps = result.completeness.overlaps(answer.summary)
        result.completeness.merge(answer.summary, look_again(job, overlaps) if overlaps else ())

    def _note_roots(self, bundle: int) -> None:
        """Roots at the wanted sizes that end inside ``bundle``, before it is joined."""
        for size in self._ends.get(bundle, ()):
            prefix = self._prefixes.get(size, [])
            self._result.roots[size] = fold_right([item for _, item in [*self._edge, *prefix]])

    def _compare(self, expected: TileFile) -> None:
        """Compare a tile above level 0, in every width that the listing named."""
        level, index, width = expected.id.level + 1, expected.id.index, expected.id.width
        for tile in self._inventory.widths(TileId(level, index, width), self._size):
            try:
                found, data = find_file(self._log_dir, tile)
            except LogUnreadable as error:
                self._find(Finding(str(error), tile.path, tile.index * TILE_WIDTH << (TILE_HEIGHT * level)))
                continue
            # a full file that took a partial's place is compared on its own when the listing or the checkpoint has it
            if found == tile and (finding := compare_tile(tile, data, expected.data)) is not None:
                self._find(finding)
                self._suspect(level, finding)

    def _suspect(self, level: int, finding: Finding) -> None:
        """Where the entries are gone, a wrong hash on level 1 may as well be a wrong tile below it: name both."""
        bundle = (finding.entry or 0) // TILE_WIDTH
        if level == 1 and bundle in self._result.missing:
            sentence = (
                "The entries are gone, and this tile does not lead to the tile above it: one of them was changed."
            )
            self._find(Finding(sentence, TileId(0, bundle).path, finding.entry))

    def _find(self, finding: Finding) -> None:
        self._result.findings.append((Question.FILES, finding))


def push(edge: list[tuple[int, bytes]], height: int, item: bytes) -> None:
    """Add a complete subtree on the right of a tree's edge (its complete subtrees, highest first)."""
    while edge and edge[-1][0] == height:
        item = node_hash(edge.pop()[1], item)
        height += 1
    edge.append((height, item))
