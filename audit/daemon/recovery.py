"""Opening the log: what the write-ahead log holds must continue, entry for entry, what was published and signed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from audit.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from audit.daemon.keys import StartRefused
from audit.merkle import Frontier, leaf_hash
from audit.note import NoteError, NoteSigner
from audit.publisher import Publisher, sweep
from audit.reader import CHECKPOINT, LogUnreadable, load_tree, read_raw_entries
from audit.tiles import TILE_WIDTH, TileTree
from audit.wal import Wal

RECENT = 65_536
"""How many of the last records are remembered by event id, so that a record sent twice is kept once."""


@dataclass(frozen=True)
class OpenedLog:
    """The log after recovery; ``recent`` are the last leaves with their indexes; ``cut`` bytes of torn tail removed."""

    frontier: Frontier
    publisher: Publisher
    note: bytes
    recent: list[tuple[int, bytes]]
    cut: int


def signed_heads(log_dir: Path, state_dir: Path, signer: NoteSigner) -> list[Checkpoint]:
    """The published checkpoint and our own copy of the last one; raise StartRefused when one is not ours."""
    heads = []
    for path, label in ((log_dir / CHECKPOINT, "the log directory"), (state_dir / CHECKPOINT, "the state directory")):
        if path.exists():
            try:
                heads.append(open_checkpoint(path.read_bytes(), signer.verifier))
            except NoteError as error:
                raise StartRefused(
                    f"The checkpoint in {label} is not this log's: {error} Restore it from a copy."
                ) from error
    return heads


def open_log(log_dir: Path, state_dir: Path, staging: Path, wal: Wal, signer: NoteSigner) -> OpenedLog:
    """Recover, compare with every signed head at hand, publish what was not; raise StartRefused or WalRefused."""
    heads = signed_heads(log_dir, state_dir, signer)
    recovery = wal.recover(max((head.size for head in heads), default=0), state_dir / "torn")
    for leftover in staging.iterdir():
        leftover.unlink()
    sweep(log_dir)
    tree, tail = load_published(log_dir, recovery.first)
    frontier = tree.frontier()
    check_heads(heads, recovery.first, frontier)
    hashes = []
    for index, record in enumerate(recovery.records, recovery.first + 1):
        hashes.append(leaf_hash(record.leaf))
        frontier.append(hashes[-1])
        check_heads(heads, index, frontier)
    size = recovery.first + len(recovery.records)
    note = sign_checkpoint(Checkpoint(signer.verifier.name, size, frontier.root()), signer)
    publisher = Publisher(log_dir, staging, tree, tail)
    publisher.publish([record.leaf for record in recovery.records], hashes, note)
    recent = [(recovery.first + at, record.leaf) for at, record in enumerate(recovery.records)]
    return OpenedLog(frontier, publisher, note, recent[-RECENT:], recovery.cut)


def check_heads(heads: list[Checkpoint], size: int, frontier: Frontier) -> None:
    """Raise StartRefused when a signed head of this size has another root: signing on would fork the log."""
    for head in heads:
        if head.size == size and head.root != frontier.root():
            raise StartRefused(
                f"The write-ahead log and the checkpoint signed over {size} records disagree: a record was changed."
                " Run 'enclave-audit verify' on the log directory and restore the state directory from a copy."
            )


def load_published(log_dir: Path, size: int) -> tuple[TileTree, list[bytes]]:
    """The published tree of the first ``size`` entries and the entries of its unfinished bundle."""
    try:
        tree = load_tree(log_dir, size)
        tail = list(read_raw_entries(log_dir, size - size % TILE_WIDTH, size))
    except LogUnreadable as error:
        raise StartRefused(f"The published log is incomplete: {error} Restore it from a copy.") from error
    return tree, tail
