"""pymerkle, a Merkle tree library of its own making, computes our roots and proofs on random trees."""

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.merkle import (
    MerkleError,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    range_hash,
    tree_hash,
)
from audit.tiles import TileTree

entries_lists = st.lists(st.binary(max_size=40), min_size=1, max_size=600)


def node_reader(hashes):
    """The hashes of complete subtrees, from the leaves."""
    return lambda level, index: tree_hash(hashes[index << level : (index + 1) << level])


@given(entries_lists)
def test_roots_are_the_same(entries):
    theirs = pymerkle.InmemoryTree.init_from_entries(entries)
    hashes = [leaf_hash(entry) for entry in entries]
    tiles = TileTree()
    for hashed in hashes:
        tiles.append(hashed)
    assert tree_hash(hashes) == tiles.root() == theirs.get_root()


@given(entries_lists, st.data())
def test_inclusion_proofs_are_the_same_and_hold_on_both_sides(entries, data):
    index = data.draw(st.integers(0, len(entries) - 1))
    size = data.draw(st.integers(index + 1, len(entries)))
    theirs = pymerkle.InmemoryTree.init_from_entries(entries)
    hashes = [leaf_hash(entry) for entry in entries]
    ours = inclusion_proof(index, size, node_reader(hashes))
    proof = theirs.prove_inclusion(index + 1, size)
    assert proof.path == [hashes[index], *ours]
    root = theirs.get_root(size)
    check_inclusion(index, size, hashes[index], proof.path[1:], root)
    pymerkle.verify_inclusion(hashes[index], root, proof, index + 1, size)
    wrong = bytes([root[0] ^ 1]) + root[1:]
    with pytest.raises(MerkleError):
        check_inclusion(index, size, hashes[index], proof.path[1:], wrong)
    with pytest.raises(pymerkle.InvalidProof):
        pymerkle.verify_inclusion(hashes[index], wrong, proof, index + 1, size)


@given(entries_lists, st.data())
def test_both_find_the_same_trees_consistent(entries, data):
    second = data.draw(st.integers(1, len(entries)))
    first = data.draw(st.integers(1, second))
    theirs = pymerkle.InmemoryTree.init_from_entries(entries)
    hashes = [leaf_hash(entry) for entry in entries]
    ours = consistency_proof(first, second, node_reader(hashes))
    earlier, later = theirs.get_root(first), theirs.get_root(second)
    assert range_hash(0, second, node_reader(hashes)) == later
    check_consistency(first, second, earlier, later, ours)
    pymerkle.verify_consistency(earlier, later, theirs.prove_consistency(first, second), first, second)
