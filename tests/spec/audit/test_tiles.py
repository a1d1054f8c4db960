"""c2sp.org/tlog-tiles: paths, the examples of partial tiles, and the form of entry bundles."""

import pytest

from audit.tiles import ENTRIES, TileError, TileId, decode_bundle, encode_bundle, parse_path, tiles_for

FULL = 256


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (TileId(0, 0), "tile/0/000"),
        (TileId(0, 1234067), "tile/0/x001/x234/067"),
        (TileId(1, 1000), "tile/1/x001/000"),
        (TileId(63, 999, 1), "tile/63/999.p/1"),
        (TileId(ENTRIES, 1234067, 255), "tile/entries/x001/x234/067.p/255"),
    ],
)
def test_paths_are_spelt_as_specified(tile, path):
    assert tile.path == path
    assert parse_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/0",
        "tile/0/x000/001",
        "tile/0/001/067",
        "tile/0/x001/x067",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p",
        "tile/data/000",
        "/tile/0/000",
        "tile/0/000\n",
    ],
)
def test_no_other_spelling_is_accepted(path):
    assert parse_path(path) is None


def test_a_tree_of_70000_has_the_partial_tiles_of_the_example():
    """273 full level 0 tiles, one partial of width 112, one full level 1 tile, partials of width 17 and 1 above."""
    assert set(tiles_for(70_000)) == {
        TileId(ENTRIES, 273, 112),
        TileId(0, 273, 112),
        TileId(1, 1, 17),
        TileId(2, 0, 1),
    }


def test_a_tree_of_256_has_one_full_tile_and_one_of_width_1_above():
    assert set(tiles_for(256)) == {TileId(1, 0, 1)}


@pytest.mark.parametrize("size", [0, 1, 255, 257, 65_535, 65_536, 65_537, 16_777_216])
def test_partial_tiles_have_the_width_of_the_formula(size):
    widths = {(tile.level, tile.width) for tile in tiles_for(size) if tile.level != ENTRIES}
    expected = {(level, size // FULL**level % FULL) for level in range(8) if size // FULL**level % FULL}
    assert widths == expected


def test_bundles_are_big_endian_uint16_lengths_and_entries():
    assert encode_bundle([b"ab", b"", b"x" * 300]) == b"\0\2ab" + b"\0\0" + b"\1\x2c" + b"x" * 300
    assert decode_bundle(b"\0\2ab\0\0", 2) == [b"ab", b""]


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\2a", b"\0\2ab", b"\0\2ab\0\0\0", b"\0\2ab\0\0\0\0"])
def test_a_bundle_holds_exactly_its_entries(data):
    with pytest.raises(TileError):
        decode_bundle(data, 2)
