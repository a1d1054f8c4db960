"""Paths and bytes of tiles and bundles (c2sp.org/tlog-tiles)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.merkle import leaf_hash
from audit.tiles import (
    ENTRIES,
    TileError,
    TileId,
    TileTree,
    decode_bundle,
    encode_bundle,
    index_path,
    parse_path,
    tiles_for,
)

tile_ids = st.builds(TileId, st.integers(-1, 63), st.integers(0, 10**9), st.integers(1, 256))


def test_the_example_of_the_specification():
    assert index_path(1234067) == "x001/x234/067"
    assert tiles_for(70_000) == [TileId(ENTRIES, 273, 112), TileId(0, 273, 112), TileId(1, 1, 17), TileId(2, 0, 1)]
    assert tiles_for(256) == [TileId(1, 0, 1)]
    assert tiles_for(0) == []


@settings(deadline=None)
@given(tile_ids)
def test_a_path_reads_back(tile):
    assert parse_path(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "checkpoint",
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000/x",
        "tile/0/١٢٣",
        "tile/entries/000\n",
    ],
)
def test_other_spellings_are_no_tiles(path):
    assert parse_path(path) is None


@settings(deadline=None)
@given(st.lists(st.binary(max_size=50), max_size=256))
def test_bundles_read_back(entries):
    assert decode_bundle(encode_bundle(entries), len(entries)) == entries


@settings(deadline=None)
@given(st.lists(st.binary(max_size=50), min_size=1, max_size=20), st.data())
def test_missing_and_stray_bytes_are_noticed(entries, data):
    encoded = encode_bundle(entries)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(TileError):
        decode_bundle(encoded[:cut], len(entries))
    with pytest.raises(TileError, match="stray"):
        decode_bundle(encoded + b"x", len(entries))


@settings(deadline=None)
@given(st.integers(0, 1500))
def test_the_partials_are_those_the_checkpoint_needs(size):
    tree = TileTree()
    for number in range(size):
        for tile in tree.append(leaf_hash(str(number).encode())):
            assert len(tile.data) == 8192 and tile.id.width == 256
    wanted = [tile for tile in tiles_for(size) if tile.level != ENTRIES]
    assert [tile.id for tile in tree.partials()] == wanted
    assert all(tile.end <= size for tile in wanted)
