"""Files of encrypted payloads: read back, every flipped byte noticed, gaps noticed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.payload_segments import PayloadItem, PayloadSegmentError, PayloadSegments, encode_segment, find_row

ITEMS = [PayloadItem(number, f"2026-11/p-{number % 2}", bytes([number]) * 40) for number in (3, 4, 9)]


def test_payloads_read_back_and_what_has_none_is_empty(tmp_path):
    kept = PayloadSegments(tmp_path)
    kept.add(2, 10, ITEMS)
    assert kept.read(4) == bytes([4]) * 40
    assert kept.read(5) == b""
    assert (kept.read(1), kept.read(10)) == (None, None)
    assert list(kept.items(2)) == [(item.index, item.blob) for item in ITEMS]
    assert (kept.covered(), kept.count("2026-11/p-1"), kept.count("2026-11/p-7")) == ((2, 10), 2, 0)
    assert next(tmp_path.iterdir()).stat().st_mode & 0o777 == 0o600


def test_every_flipped_byte_is_noticed(tmp_path):
    kept = PayloadSegments(tmp_path)
    whole = encode_segment(2, 10, ITEMS)
    path = tmp_path / f"{2:020d}.pay"
    for offset in range(8, len(whole)):
        changed = bytearray(whole)
        changed[offset] ^= 1
        path.write_bytes(changed)
        with pytest.raises(PayloadSegmentError):
            list(kept.items(2))
    for length in (0, 5, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(PayloadSegmentError):
            kept.covered()


def test_a_gap_between_two_files_is_noticed(tmp_path):
    kept = PayloadSegments(tmp_path)
    kept.add(0, 5, [])
    kept.add(5, 8, [])
    assert kept.covered() == (0, 8)
    kept.remove(5)
    kept.add(6, 8, [])
    with pytest.raises(PayloadSegmentError, match="from 5 on is missing: the next one begins at 6"):
        kept.covered()


def test_foreign_and_unfinished_files(tmp_path):
    kept = PayloadSegments(tmp_path)
    assert kept.covered() == (0, 0)
    (tmp_path / ".00000000000000000000.pay.ab.tmp").write_bytes(b"half")
    assert kept.covered() == (0, 0)
    kept.sweep()
    assert not list(tmp_path.iterdir())
    (tmp_path / "notes.txt").touch()
    with pytest.raises(PayloadSegmentError, match="unknown file"):
        kept.firsts()


@settings(deadline=None)
@given(st.sets(st.integers(0, 200), max_size=30), st.integers(0, 200))
def test_bisection_finds_exactly_what_is_listed(indexes, wanted):
    table = b"".join(index.to_bytes(8, "big") + (index * 3).to_bytes(8, "big") for index in sorted(indexes))
    assert find_row(table, wanted) == (wanted * 3 if wanted in indexes else None)
