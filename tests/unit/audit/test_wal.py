"""Frames and recovery of the write-ahead log, on real files."""

import errno
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.frames import MAX_BODY_BYTES, WalRecord, find_frame, scan
from audit.wal import Wal, WalBroken, WalFull, WalRefused

records = st.lists(st.builds(WalRecord, st.binary(max_size=60), st.binary(max_size=60)), max_size=8)


def opened(directory, signed_size=0):
    wal = Wal(directory / "wal", 4096)
    return wal, wal.recover(signed_size, directory / "torn")


def filled(directory, count=10):
    wal, _ = opened(directory)
    for number in range(count):
        wal.append([WalRecord(f"leaf {number}".encode(), b"payload")])
    wal.close()
    return directory / "wal" / f"{0:020d}.wal"


@settings(deadline=None)
@given(records)
def test_frames_read_back(items):
    data = b"".join(item.frame() for item in items)
    found = scan(data)
    assert (found.records, found.end) == (items, len(data))


@settings(deadline=None)
@given(records, st.data())
def test_every_flipped_byte_of_a_frame_is_noticed(items, data):
    encoded = bytearray(b"".join(item.frame() for item in items) + WalRecord(b"last").frame())
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    assert scan(bytes(encoded)).end < len(encoded)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_a_frame_behind_any_rubbish_is_found(rubbish):
    assert find_frame(rubbish + WalRecord(b"here").frame(), 0) is not None
    assert find_frame(bytes(64), 0) is None


def test_a_record_too_long_for_a_frame():
    with pytest.raises(ValueError, match="found"):
        WalRecord(b"", bytes(MAX_BODY_BYTES)).frame()


@pytest.mark.parametrize("kept", [1, 5, 8, 20, 25])
def test_a_torn_tail_is_cut_and_kept_aside(tmp_path, kept):
    path = filled(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + WalRecord(b"torn leaf of some length").frame()[:kept])
    wal, recovery = opened(tmp_path, signed_size=10)
    wal.close()
    assert (len(recovery.records), recovery.cut) == (10, kept)
    assert path.read_bytes() == whole
    assert [len(file.read_bytes()) for file in (tmp_path / "torn").iterdir()] == [kept]


def test_zeros_behind_the_last_frame_are_a_torn_tail(tmp_path):
    path = filled(tmp_path)
    with path.open("ab") as file:
        file.write(bytes(4096))
    wal, recovery = opened(tmp_path, signed_size=10)
    wal.close()
    assert (len(recovery.records), recovery.cut) == (10, 4096)


def test_damage_in_the_middle_is_refused_and_nothing_changed(tmp_path):
    path = filled(tmp_path)
    whole = bytearray(path.read_bytes())
    whole[70] ^= 1
    path.write_bytes(whole)
    with pytest.raises(WalRefused, match=r"damaged at byte \d+ \(record 2\), and a valid record follows at byte \d+"):
        opened(tmp_path)
    assert path.read_bytes() == whole


def test_a_hole_within_the_last_batch_is_a_torn_tail(tmp_path):
    """Power loss may keep later sectors of one write without earlier ones; a later batch behind a hole is damage."""
    path = filled(tmp_path)
    wal, _ = opened(tmp_path)
    before = path.stat().st_size
    wal.append([WalRecord(f"batch {number}".encode(), b"payload") for number in range(4)])
    one_batch = bytearray(path.read_bytes())
    wal.append([WalRecord(b"later", b"payload")])
    wal.close()
    two_batches = bytearray(path.read_bytes())
    hole = slice(before + 40, before + 60)
    one_batch[hole] = two_batches[hole] = bytes(20)
    path.write_bytes(two_batches)
    with pytest.raises(WalRefused, match=r"damaged at byte .* this is no torn tail"):
        opened(tmp_path)
    path.write_bytes(one_batch)
    again, recovery = opened(tmp_path, signed_size=10)
    again.close()
    assert len(recovery.records) == 11


def test_a_tail_that_was_signed_for_is_not_cut(tmp_path):
    path = filled(tmp_path)
    whole = path.read_bytes()[:-3]
    path.write_bytes(whole)
    with pytest.raises(WalRefused, match="a checkpoint over 10 records was signed"):
        opened(tmp_path, signed_size=10)
    assert path.read_bytes() == whole


def test_missing_records_are_refused(tmp_path):
    path = filled(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(WalRefused, match="holds 0 records, but a checkpoint over 10"):
        opened(tmp_path, signed_size=10)


def test_rotation_and_reading_back(tmp_path):
    wal, _ = opened(tmp_path)
    for number in range(40):
        wal.append([WalRecord(b"x" * 500, str(number).encode())])
        if wal.wants_rotation:
            wal.rotate(number + 1)
    assert [wal.read(number).payload for number in range(40)] == [str(number).encode() for number in range(40)]
    for outside in (40, -1):
        with pytest.raises(KeyError):
            wal.read(outside)
    wal.close()
    again, recovery = opened(tmp_path, signed_size=40)
    assert recovery.first + len(recovery.records) == 40
    assert again.read(0).payload == b"0"
    again.close()


def test_a_damaged_or_missing_sealed_segment_is_refused(tmp_path):
    wal, _ = opened(tmp_path)
    wal.append([WalRecord(b"a"), WalRecord(b"b")])
    wal.rotate(2)
    wal.append([WalRecord(b"c")])
    wal.close()
    first = tmp_path / "wal" / f"{0:020d}.wal"
    whole = first.read_bytes()
    first.write_bytes(whole[:-1])
    with pytest.raises(WalRefused, match="should hold 2 records, but 1 are readable"):
        opened(tmp_path)
    first.unlink()
    with pytest.raises(WalRefused, match="begins at record 2 instead of 0"):
        opened(tmp_path)
    first.write_bytes(whole)
    (tmp_path / "wal" / "notes.txt").write_text("?")
    with pytest.raises(WalRefused, match="unknown file"):
        opened(tmp_path)


@pytest.mark.parametrize("attack", ["deleted", "replaced", "linked", "written"])
def test_a_file_that_is_no_longer_ours_stops_the_log(tmp_path, attack):
    wal, _ = opened(tmp_path)
    wal.append([WalRecord(b"a")])
    path = tmp_path / "wal" / f"{0:020d}.wal"
    if attack == "deleted":
        path.unlink()
    elif attack == "replaced":
        (tmp_path / "copy").write_bytes(path.read_bytes())
        (tmp_path / "copy").replace(path)
    elif attack == "linked":
        os.link(path, tmp_path / "second-name")
    else:
        with path.open("ab") as file:
            file.write(b"x")
    with pytest.raises(WalBroken, match="the log stops"):
        wal.append([WalRecord(b"b")])
    wal.close()


def test_a_failed_write_takes_nothing_and_the_next_one_succeeds(tmp_path, monkeypatch):
    wal, _ = opened(tmp_path)
    wal.append([WalRecord(b"a")])
    real_write = os.write

    def half_then_full_disk(descriptor, data):
        if len(data) > 10:
            return real_write(descriptor, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken_disk:
        broken_disk.setattr(os, "write", half_then_full_disk)
        with pytest.raises(WalFull, match="No space left"):
            wal.append([WalRecord(b"b")])
    wal.append([WalRecord(b"c")])
    wal.close()
    again, recovery = opened(tmp_path)
    again.close()
    assert [record.leaf for record in recovery.records] == [b"a", b"c"]


def test_a_failed_fdatasync_is_never_retried(tmp_path, monkeypatch):
    wal, _ = opened(tmp_path)

    def failing(_descriptor):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken_disk:
        broken_disk.setattr(os, "fdatasync", failing)
        with pytest.raises(WalBroken, match="fdatasync"):
            wal.append([WalRecord(b"a")])
    # the length on disk no longer is what was acknowledged: every later batch is refused as well
    with pytest.raises(WalBroken):
        wal.append([WalRecord(b"b")])
    wal.close()
