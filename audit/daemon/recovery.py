"""Opening the log: what the write-ahead log holds must continue, entry for entry, what was published and signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from audit.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from audit.daemon.keys import StartRefused
from audit.daemon.pruning import find_minimum
from audit.daemon.records import RECENT
from audit.daemon.sealing import is_disk_full
from audit.daemon.seen import check_seen, find_seen, holders, roots
from audit.durable import settle_names
from audit.merkle import HASH_BYTES, Frontier, leaf_hash
from audit.note import NoteError, NoteSigner
from audit.payload_segments import PayloadSegmentError, PayloadSegments
from audit.publisher import Publisher, sweep
from audit.reader import CHECKPOINT, LogUnreadable, read_bundle, read_hashes, read_raw_entries
from audit.tiles import TILE_WIDTH, TileId, TileTree
from audit.wal import Wal, WalRefused


@dataclass(frozen=True)
class OpenedLog:
    """The log after recovery.

    ``recent``: the last leaves with their indexes; ``replayed``: those that came from the write-ahead log; ``cut``:
    bytes of torn tail removed; ``minimum``: entries below it are pruned, or are to be.
    """

    frontier: Frontier
    publisher: Publisher
    note: bytes
    recent: list[tuple[int, bytes]]
    replayed: list[bytes]
    cut: int
    minimum: int


@dataclass(frozen=True)
class Places:
    """Where the parts of the log are, and who else has seen it."""

    log_dir: Path
    state_dir: Path
    staging: Path
    witness_urls: tuple[str, ...] = ()


def signed_heads(log_dir: Path, state_dir: Path, signer: NoteSigner) -> list[Checkpoint]:
    """The published checkpoint (empty tree if none), then our own copy; raise StartRefused when one is not ours."""
    heads = []
    for path, label in ((log_dir / CHECKPOINT, "the log directory"), (state_dir / CHECKPOINT, "the state directory")):
        if path.exists():
            try:
                heads.append(open_checkpoint(path.read_bytes(), signer.verifier))
            except NoteError as error:
                raise StartRefused(
                    f"The checkpoint in {label} is not this log's: {error} Restore it from a copy."
                ) from error
        else:
            heads.append(Checkpoint(signer.verifier.name, 0, Frontier().root()))
    return heads


def open_log(
    places: Places, wal: Wal, kept: PayloadSegments, signer: NoteSigner, make_room: Callable[[], object]
) -> OpenedLog:
    """Recover, compare with every signed head at hand, publish what was not; raise StartRefused or WalRefused."""
    for directory in (places.log_dir, places.state_dir):
        settle_names(directory)
    heads = signed_heads(places.log_dir, places.state_dir, signer)
    covered = covered_size(kept, heads[0].size)
    seen = find_seen(places.log_dir, places.state_dir, places.witness_urls, signer.verifier)
    signed_size = max(head.size for head in (*heads, *(item.checkpoint for item in seen)))
    try:
        recovery = wal.recover(signed_size, places.state_dir / "torn", covered)
    except WalRefused as error:
        raise StartRefused(f"{error}{holders(seen, signed_size)}") from error
    for leftover in places.staging.iterdir():
        leftover.unlink()
    sweep(places.log_dir)
    leaves = [record.leaf for record in recovery.records]
    minimum = find_minimum(places.state_dir, leaves)
    check_kept(kept, minimum)
    tree = load_tree_at(places.log_dir, recovery.first, heads[0].size)
    tail = read_tail(places.log_dir, recovery.first, heads[0].size)
    check_earlier_heads(heads, recovery.first, places.log_dir)
    frontier = tree.frontier()
    check_heads(heads, recovery.first, frontier)
    hashes = []
    for index, leaf in enumerate(leaves, recovery.first + 1):
        hashes.append(leaf_hash(leaf))
        frontier.append(hashes[-1])
        check_heads(heads, index, frontier)
    size = recovery.first + len(leaves)
    # tiles are on disk as the published checkpoint needs them; the write-ahead log may begin anywhere before
    unpublished = hashes[heads[0].size - recovery.first :]
    check_seen(seen, size, roots(places.log_dir, heads[0].size, unpublished))
    note = sign_checkpoint(Checkpoint(signer.verifier.name, size, frontier.root()), signer)
    publisher = Publisher(places.log_dir, places.staging, tree, tail, minimum)
    publish_with_room(publisher, leaves, hashes, note, make_room)
    recent = recent_leaves(places.log_dir, recovery.first, tail, leaves, minimum)
    return OpenedLog(frontier, publisher, note, recent, leaves, recovery.cut, minimum)


def covered_size(kept: PayloadSegments, published: int) -> int:
    """How many records need no write-ahead log: published, and their payloads copied; raise StartRefused."""
    kept.sweep()
    try:
        return min(kept.covered()[1], published)
    except PayloadSegmentError as error:
        raise StartRefused(str(error)) from error


def check_kept(kept: PayloadSegments, minimum: int) -> None:
    """Raise StartRefused when payload segments are missing at the front that were not pruned."""
    begin = kept.covered()[0]
    if begin > minimum:
        raise StartRefused(
            f"The payload segments begin at record {begin}, but only records below {minimum} were pruned: segments are"
            " missing in the state directory. Restore them from a copy."
        )


def check_heads(heads: list[Checkpoint], size: int, frontier: Frontier) -> None:
    """Raise StartRefused when a signed head of this size has another root: signing on would fork the log."""
    for head in heads:
        if head.size == size and head.root != frontier.root():
            raise StartRefused(
                f"The write-ahead log and the checkpoint signed over {size} records disagree: a record was changed."
                " Run 'enclave-audit verify' on the log directory and restore the state directory from a copy."
            )


def check_earlier_heads(heads: list[Checkpoint], first: int, log_dir: Path) -> None:
    """Compare our own copy, when it is older than the write-ahead log, with the published tiles; raise StartRefused."""
    published, *copies = heads
    for head in copies:
        if head.size < first:
            check_heads([head], head.size, load_tree_at(log_dir, head.size, published.size).frontier())


def load_tree_at(log_dir: Path, size: int, published: int) -> TileTree:
    """The tree of the first ``size`` of ``published`` entries; raise StartRefused.

    A tree of just that size need not have been published: wider partial tiles are cut.
    """
    rows: list[bytes] = []
    try:
        count, there = size, published
        while count:
            index, width = divmod(count, TILE_WIDTH)
            tile = TileId(len(rows), index, min(TILE_WIDTH, there - index * TILE_WIDTH))
            rows.append(read_hashes(log_dir, tile)[: width * HASH_BYTES] if width else b"")
            count, there = index, there // TILE_WIDTH
    except LogUnreadable as error:
        raise incomplete(error) from error
    return TileTree(rows, size)


def read_tail(log_dir: Path, size: int, published: int) -> list[bytes]:
    """The entries of the bundle that is unfinished at ``size``."""
    index, width = divmod(size, TILE_WIDTH)
    if not width:
        return []
    try:
        return read_bundle(log_dir, index, min(TILE_WIDTH, published - index * TILE_WIDTH))[:width]
    except LogUnreadable as error:
        raise incomplete(error) from error


def incomplete(error: LogUnreadable) -> StartRefused:
    """What to say when the published files do not hold what their checkpoint promises."""
    return StartRefused(f"The published log is incomplete: {error} Restore it from a copy.")


def publish_with_room(
    publisher: Publisher, leaves: list[bytes], hashes: list[bytes], note: bytes, make_room: Callable[[], object]
) -> None:
    """Publish what was recovered; on a full disk give the reserve up first. Raise StartRefused when that is no help."""
    try:
        publisher.publish(leaves, hashes, note)
    except OSError as error:
        if not is_disk_full(error):
            raise
        make_room()
        try:
            publisher.retry()
        except OSError as second:
            raise StartRefused(
                f"The disk is full ({second.strerror}): what was recorded cannot be published. Free some disk space and"
                " start again; nothing is lost."
            ) from second


def recent_leaves(
    log_dir: Path, first: int, tail: list[bytes], leaves: list[bytes], minimum: int
) -> list[tuple[int, bytes]]:
    """The last RECENT leaves with their indexes: from the write-ahead log and, before it, from the published log."""
    whole = first - len(tail)
    begin = min(max(minimum, first + len(leaves) - RECENT, 0), first)
    try:
        before = list(read_raw_entries(log_dir, begin, whole)) if begin < whole else []
    except LogUnreadable as error:
        raise incomplete(error) from error
    before += tail[max(0, begin - whole) :]
    return list(enumerate(before + leaves, begin))[-RECENT:]
