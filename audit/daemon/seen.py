"""What others have seen of the log, compared with the log at start: whoever cosigned a checkpoint remembers it.

A disk that lied about its writes, or a state directory restored from an old copy, would make the log sign a second
history.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from audit.checkpoint import Checkpoint, open_checkpoint
from audit.daemon.cosigned import FOLDER, published_sizes
from audit.daemon.keys import StartRefused
from audit.merkle import EMPTY_ROOT, range_hash
from audit.note import NoteError, VerifierKey
from audit.reader import LogUnreadable, TileNodes, load_tree
from audit.witness.client import WitnessClient, WitnessFailed

ASKING_SECONDS = 3.0

_log = structlog.get_logger()


@dataclass(frozen=True)
class SeenHead:
    """A checkpoint with this log's signature that somebody else holds; ``holder`` in words."""

    holder: str
    checkpoint: Checkpoint


def find_seen(log_dir: Path, state_dir: Path, urls: Iterable[str], key: VerifierKey) -> list[SeenHead]:
    """The newest cosigned checkpoints: kept here, published, and held by each witness that answers in time.

    Raise StartRefused when one of the local ones is damaged.
    """
    heads = []
    for path, holder in _local_notes(log_dir, state_dir):
        try:
            heads.append(SeenHead(holder, open_checkpoint(path.read_bytes(), key)))
        except (NoteError, OSError) as error:
            raise StartRefused(f"{holder} holds a damaged checkpoint: {error} Restore it from a copy.") from error
    return heads + _ask_all(sorted(set(urls)), key)


def check_seen(heads: Sequence[SeenHead], size: int, root_at: Callable[[int], bytes]) -> None:
    """Raise StartRefused unless the log of ``size`` records continues every head."""
    for head in heads:
        seen = head.checkpoint
        if seen.size > size:
            raise StartRefused(
                f"{head.holder} holds a checkpoint signed by this log over {seen.size} records, but only {size} are"
                " here: records are missing. Restore the state directory and the log directory from the newest copy."
            )
        if root_at(seen.size) != seen.root:
            raise StartRefused(
                f"{head.holder} holds another checkpoint over {seen.size} records than follows from the records here:"
                " the log was rewritten. Run 'enclave-audit verify' on the log directory and restore it from a copy."
            )


def holders(heads: Sequence[SeenHead], size: int) -> str:
    """A sentence (with a space before it) that says who holds a checkpoint of this size; empty when nobody does."""
    names = [head.holder for head in heads if head.checkpoint.size == size]
    return f" That checkpoint is held by: {'; '.join(names)}." if names else ""


def roots(log_dir: Path, published: int, hashes: Sequence[bytes]) -> Callable[[int], bytes]:
    """Root of the first n records: ``published`` ones from the tile files, then leaf hashes not published yet."""

    def root_at(size: int) -> bytes:
        try:
            if size > published:
                frontier = load_tree(log_dir, published).frontier()
                for hashed in hashes[: size - published]:
                    frontier.append(hashed)
                return frontier.root()
            return range_hash(0, size, TileNodes(log_dir, published)) if size else EMPTY_ROOT
        except LogUnreadable as error:
            raise StartRefused(f"The published log is incomplete: {error} Restore it from a copy.") from error

    return root_at


def _local_notes(log_dir: Path, state_dir: Path) -> list[tuple[Path, str]]:
    found = []
    own = state_dir / "witness" / "newest"
    if own.exists():
        found.append((own, "The state directory (witness/newest)"))
    for size in published_sizes(log_dir)[-1:]:
        found.append((log_dir / FOLDER / str(size), f"The log directory ({FOLDER}/{size})"))
    return found


def _ask_all(urls: Sequence[str], key: VerifierKey) -> list[SeenHead]:
    found: list[SeenHead] = []
    threads = [threading.Thread(target=_ask, args=(url, key, found), daemon=True) for url in urls]
    deadline = time.monotonic() + ASKING_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return list(found)


def _ask(url: str, key: VerifierKey, found: list[SeenHead]) -> None:
    try:
        client = WitnessClient(url, ASKING_SECONDS)
        raw = client.checkpoint(key.name)
        client.close()
        if raw is not None:
            found.append(SeenHead(f"The witness at {url}", open_checkpoint(raw, key)))
    except WitnessFailed as error:
        _log.warning("witness-not-asked", url=url, reason=str(error))
    except NoteError:
        _log.warning("witness-answer-ignored", url=url, reason="its checkpoint does not bear this log's signature")
