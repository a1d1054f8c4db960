"""``enclave-audit show``, ``search``, ``tail``, ``stats`` and ``prove``: reading the records.

``show``, ``tail`` and ``prove`` read the log itself. ``search`` and ``stats`` ask the index, which they bring up to
date first and which needs ``duckdb`` and ``pyarrow``; those are imported only then.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audit.cli.filters import with_filters
from audit.cli.lines import json_line, read_rows, select_rows, table_lines, text_line
from audit.cli.options import AsJson, LogDir, fail
from audit.durable import write_atomic
from audit.index.mapping import Statement
from audit.index.wanted import GROUPINGS, Wanted, passes
from audit.proof import prove as prove_entry
from audit.reader import LogUnreadable, read_checkpoint

if TYPE_CHECKING:
    from audit.index import LogIndex

TAIL_REACH = (4_096, 65_536)
"""How far back ``tail`` looks for enough records before it reads the whole log."""
FOLLOW_SECONDS = 0.3
PROOF_MODE = 0o644

IndexDir = Annotated[
    Path | None, typer.Option(help="Where the index is kept. Default: 'index' beside the log directory.")
]
NoIndexDir = Annotated[bool, typer.Option("--no-index-dir", help="Build the index for this command only, in /tmp.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (show, search, tail, stats):
        app.command()(with_filters(command))
    app.command()(prove)


def show(log_dir: LogDir, wanted: Wanted, as_json: AsJson = False) -> None:
    """Show published records, oldest first, one per line. Reads the whole log and needs no index."""
    try:
        for row in select_rows(read_rows(log_dir), wanted):
            _print_row(row, as_json)
    except LogUnreadable as error:
        fail(str(error), as_json)


def search(
    log_dir: LogDir,
    wanted: Wanted,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many records.")] = 50,
    before: Annotated[int | None, typer.Option(help="Only records before this index: the next page.")] = None,
    index_dir: IndexDir = None,
    no_index_dir: NoIndexDir = False,
    as_json: AsJson = False,
) -> None:
    """Find records by the index, newest first. Brings the index up to the log before it answers."""
    with _index(log_dir, index_dir, no_index_dir, as_json) as index:
        for row in index.search(wanted, limit=limit, before=before):
            _print_row({**asdict(row), "leaf": row.leaf_text}, as_json)
        if not as_json:
            typer.echo(f"{index.count(wanted):,} records match.", err=True)


def stats(
    log_dir: LogDir,
    wanted: Wanted,
    by: Annotated[str, typer.Option(help=f"What to count by: {', '.join(GROUPINGS)}.")] = "type",
    index_dir: IndexDir = None,
    no_index_dir: NoIndexDir = False,
    as_json: AsJson = False,
) -> None:
    """Count records by person, project, type, table, dataset, verb, day …"""
    if by not in GROUPINGS:
        fail(f"--by: expected one of {', '.join(GROUPINGS)}.", as_json)
    with _index(log_dir, index_dir, no_index_dir, as_json) as index:
        counted = index.groups(wanted, by)
        if as_json:
            groups = [{"value": value, "count": count} for value, count in counted]
            print(json.dumps({"by": by, "records": index.count(wanted), "groups": groups}, ensure_ascii=False))
            return
        print("\n".join(table_lines((by, "records"), counted)))


def tail(
    log_dir: LogDir,
    wanted: Wanted,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="So many records that are there already.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones until interrupted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the newest records, oldest of them first; with --follow also new ones as they are published."""
    opened: dict[str, Statement] = {}
    try:
        size = read_checkpoint(log_dir)[1].size
        for row in _newest(log_dir, size, wanted, lines, opened):
            _print_row(row, as_json)
        if follow:  # a shell's background job starts with it ignored
            signal.signal(signal.SIGINT, signal.default_int_handler)
        while follow:
            sys.stdout.flush()
            time.sleep(FOLLOW_SECONDS)
            size = _print_new(log_dir, size, wanted, opened, as_json)
    except LogUnreadable as error:
        fail(str(error), as_json)
    except KeyboardInterrupt:
        return


def prove(
    log_dir: LogDir,
    index: Annotated[int, typer.Argument(help="The record's index.")],
    out: Annotated[Path | None, typer.Option(help="Write the proof to this file instead.")] = None,
) -> None:
    """Print a proof (c2sp.org/tlog-proof) that a record stands in the log."""
    try:
        proof = prove_entry(log_dir, index)
        if out is None:
            print(proof, end="")
        else:
            write_atomic(out, proof.encode(), mode=PROOF_MODE)
    except LogUnreadable as error:
        fail(str(error), as_json=False)
    except OSError as error:
        fail(f"The proof cannot be written ({error.strerror}); give --out a name in a writable folder.", as_json=False)


@contextmanager
def _index(log_dir: Path, index_dir: Path | None, temporary: bool, as_json: bool) -> Iterator[LogIndex]:
    """The index, brought up to date; exits with a sentence when that cannot be done."""
    try:
        from audit.index import IndexUnwritable, LogIndex
    except ImportError:
        fail("This command needs the packages duckdb and pyarrow; install them, or use 'enclave-audit show'.", as_json)
    with tempfile.TemporaryDirectory(prefix="enclave-index-") as scratch:
        place = Path(scratch) if temporary else index_dir or log_dir.absolute().parent / "index"
        try:
            read_checkpoint(log_dir)
            index = LogIndex(log_dir, place)
            index.refresh()
            yield index
        except IndexUnwritable as error:
            fail(f"{error} Give --index-dir or --no-index-dir.", as_json)
        except LogUnreadable as error:
            fail(str(error), as_json)


def _newest(log_dir: Path, size: int, wanted: Wanted, lines: int, opened: dict[str, Statement]) -> list[dict[str, Any]]:
    """The last ``lines`` records that pass, oldest first. Reads from the end, further back only while too few pass."""
    # an outcome has its table only from its intent, which may stand anywhere before it
    joined = wanted.table or wanted.verb or wanted.dataset
    for reach in (size,) if joined else (*TAIL_REACH, size):
        opened.clear()
        found = list(select_rows(read_rows(log_dir, max(0, size - reach), size, opened), wanted))
        if len(found) >= lines:
            break
    return found[len(found) - min(lines, len(found)) :]


def _print_new(log_dir: Path, size: int, wanted: Wanted, opened: dict[str, Statement], as_json: bool) -> int:
    """Print what was published beyond ``size``; return the new size."""
    now = read_checkpoint(log_dir)[1].size
    if now < size:
        raise LogUnreadable(f"The log held {size} records and now holds {now}; run 'enclave-audit verify'.")
    for row in read_rows(log_dir, size, now, opened):
        if passes(row, wanted):
            _print_row(row, as_json)
    return now


def _print_row(row: dict[str, Any], as_json: bool) -> None:
    print(json_line(row["index"], row["leaf_hash"], row["leaf"]) if as_json else text_line(row))
