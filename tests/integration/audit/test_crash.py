"""Torn tails and damage in the middle: what a start repairs and what it refuses. (kill -9: tests/security/audit.)"""

import pytest
from running_log import event

from audit.client import AuditUnavailable
from audit.verify import verify_log
from audit.wal import WalRecord


@pytest.fixture
def stopped_log(prepared_log):
    """Three hundred published records."""
    prepared_log.start()
    client = prepared_log.client()
    for number in range(300):
        client.record(event(number))
    assert prepared_log.stop() == 0
    return prepared_log


def test_a_torn_tail_is_cut_and_the_log_goes_on(stopped_log):
    segment = stopped_log.segments[-1]
    whole = segment.read_bytes()
    segment.write_bytes(whole + WalRecord(b"torn").frame()[:-2])
    stopped_log.start()
    assert stopped_log.client().record(event()).index == 300
    assert segment.read_bytes().startswith(whole)
    assert "torn-tail-cut" in stopped_log.errors.read_text()


@pytest.mark.parametrize("place", [0.0, 0.3, 0.9])
def test_damage_in_the_middle_is_refused_at_start(stopped_log, place):
    segment = stopped_log.segments[-1]
    damaged = bytearray(segment.read_bytes())
    damaged[int(len(damaged) * place) + 30] ^= 1
    segment.write_bytes(damaged)
    said = stopped_log.refuse_start()
    assert "this is no torn tail" in said
    assert segment.read_bytes() == damaged


def test_a_damaged_last_record_that_was_signed_for_is_refused(stopped_log):
    segment = stopped_log.segments[-1]
    damaged = bytearray(segment.read_bytes())
    damaged[-1] ^= 1
    segment.write_bytes(damaged)
    assert "a checkpoint over 300 records was signed" in stopped_log.refuse_start()


def test_a_rewritten_record_is_refused_although_its_frame_is_valid(stopped_log):
    segment = stopped_log.segments[-1]
    whole = segment.read_bytes()
    from audit.wal import scan

    records = scan(whole).records
    records[10] = WalRecord(records[10].leaf.replace(b'"n":10', b'"n":11'))
    segment.write_bytes(b"".join(record.frame() for record in records))
    assert "disagree: a record was changed" in stopped_log.refuse_start()


def test_a_rolled_back_state_is_refused(stopped_log):
    segment = stopped_log.segments[-1]
    from audit.wal import scan

    records = scan(segment.read_bytes()).records[:200]
    segment.write_bytes(b"".join(record.frame() for record in records))
    (stopped_log.state_dir / "checkpoint").unlink()
    assert "holds 200 records, but a checkpoint over 300" in stopped_log.refuse_start()


def test_a_public_directory_that_was_lost_is_written_again(stopped_log):
    import shutil

    before = {
        path: path.read_bytes() for path in stopped_log.log_dir.rglob("*") if path.is_file() and ".p" not in str(path)
    }
    shutil.rmtree(stopped_log.log_dir)
    stopped_log.start()
    assert {path: path.read_bytes() for path in before} == before
    assert verify_log(stopped_log.log_dir, stopped_log.vkey).ok


def test_leftovers_of_a_crash_are_cleared_at_start(stopped_log):
    (stopped_log.state_dir / "staging" / ".000.aa.tmp").write_bytes(b"half")
    partials = stopped_log.log_dir / "tile" / "entries" / "000.p"
    partials.mkdir()
    (partials / "7").write_bytes(b"stale")
    stopped_log.start()
    assert not partials.exists()
    assert verify_log(stopped_log.log_dir, stopped_log.vkey).ok


def test_a_changed_full_tile_is_never_overwritten(stopped_log):
    tile = stopped_log.log_dir / "tile" / "0" / "000"
    changed = bytes([tile.read_bytes()[0] ^ 1]) + tile.read_bytes()[1:]
    tile.write_bytes(changed)
    assert "is written once, but its bytes differ" in stopped_log.refuse_start()
    assert tile.read_bytes() == changed


def test_a_deleted_segment_stops_the_running_log(prepared_log):
    prepared_log.start()
    client = prepared_log.client()
    client.record(event())
    prepared_log.segments[-1].unlink()
    with pytest.raises(AuditUnavailable):
        client.record(event(), timeout=1)
    assert prepared_log.process.wait(60) == 1
    assert "was deleted while the log was running" in prepared_log.errors.read_text()
