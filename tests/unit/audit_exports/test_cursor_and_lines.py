"""Cursor files and line files survive crashes and refuse what they do not understand."""

import json

import pytest

from audit.exports.cursor import CursorBroken, CursorFile, Position
from audit.exports.lines import LineFile


def test_a_cursor_comes_back_as_stored(tmp_path):
    file = CursorFile(tmp_path / "siem.cursor.json")
    assert file.load() is None
    position = Position("log.example.test", 5, 9, bytes(range(32)), 2)
    file.save(position)
    assert CursorFile(tmp_path / "siem.cursor.json").load() == position
    assert [path.name for path in tmp_path.iterdir()] == ["siem.cursor.json"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"version":2,"origin":"a","next":0,"size":0,"root":"' + b"00" * 32 + b'","first":0}',
     b'{"version":1,"origin":"a","next":3,"size":2,"root":"' + b"00" * 32 + b'","first":0}',
     b'{"version":1,"origin":"a","next":0,"size":0,"root":"00"}',
     b'{"version":1,"origin":"a","next":"0","size":0,"root":"' + b"00" * 32 + b'","first":0}'],
)  # fmt: skip
def test_a_broken_cursor_is_no_fresh_start(tmp_path, content):
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(CursorBroken, match="restore it, or remove it"):
        CursorFile(tmp_path / "c").load()


def test_a_torn_last_line_is_cut(tmp_path):
    path = tmp_path / "out.ndjson"
    LineFile(path).append([b"one", b"two"], 0)
    with path.open("ab") as file:
        file.write(b'{"torn":')
    LineFile(path).append([b"three"], 2)
    assert path.read_bytes() == b"one\ntwo\nthree\n"


def test_a_torn_line_longer_than_a_block_is_cut(tmp_path):
    path = tmp_path / "out.ndjson"
    path.write_bytes(b"one\n" + b"x" * 200_000)
    LineFile(path).append([b"two"], 1)
    assert path.read_bytes() == b"one\ntwo\n"


def test_files_rotate_by_size_and_old_ones_go(tmp_path):
    lines = LineFile(tmp_path / "out.ndjson", rotate_bytes=40, keep=2)
    for index in range(10):
        lines.append([json.dumps({"index": index, "pad": "x" * 30}).encode()], index)
    assert [path.name for path in lines.rotated()] == [f"out.ndjson.before-{index:020d}" for index in (8, 9)]
    assert json.loads((tmp_path / "out.ndjson").read_bytes())["index"] == 9
