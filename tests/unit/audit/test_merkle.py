"""Proofs against a second, naive implementation written straight from RFC 6962 section 2.1."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    MerkleError,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    tree_hash,
)
from audit.tiles import TileTree


def naive_root(entries):
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\0" + entries[0]).digest()
    k = naive_split(len(entries))
    return hashlib.sha256(b"\1" + naive_root(entries[:k]) + naive_root(entries[k:])).digest()


def naive_split(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def naive_path(m, entries):
    if len(entries) == 1:
        return []
    k = naive_split(len(entries))
    if m < k:
        return [*naive_path(m, entries[:k]), naive_root(entries[k:])]
    return [*naive_path(m - k, entries[k:]), naive_root(entries[:k])]


def naive_subproof(m, entries, complete):
    if m == len(entries):
        return [] if complete else [naive_root(entries)]
    k = naive_split(len(entries))
    if m <= k:
        return [*naive_subproof(m, entries[:k], complete), naive_root(entries[k:])]
    return [*naive_subproof(m - k, entries[k:], False), naive_root(entries[:k])]


def entries_of(size):
    return [f"entry {number}".encode() for number in range(size)]


def nodes_of(entries):
    return lambda level, index: naive_root(entries[index << level : (index + 1) << level])


sizes = st.integers(1, 70)


def test_known_roots():
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    # the eight test leaves of the certificate-transparency reference implementation
    leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    root = tree_hash(leaf_hash(bytes.fromhex(leaf)) for leaf in leaves)
    assert root.hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@settings(deadline=None)
@given(sizes)
def test_the_frontier_is_the_naive_root(size):
    frontier = Frontier()
    for entry in entries_of(size):
        frontier.append(leaf_hash(entry))
    assert (frontier.size, frontier.root()) == (size, naive_root(entries_of(size)))


@pytest.mark.parametrize("size", [1, 255, 256, 257, 511, 512, 600, 70_000])
def test_the_tree_cut_into_tiles_is_the_same_tree(size):
    tree, frontier = TileTree(), Frontier()
    for number in range(size):
        tree.append(leaf_hash(number.to_bytes(4, "big")))
        frontier.append(leaf_hash(number.to_bytes(4, "big")))
    assert tree.root() == frontier.root()
    assert tree.frontier().root() == frontier.root()


@settings(deadline=None)
@given(sizes, st.data())
def test_inclusion_proofs(size, data):
    index = data.draw(st.integers(0, size - 1))
    entries = entries_of(size)
    proof = inclusion_proof(index, size, nodes_of(entries))
    assert proof == naive_path(index, entries)
    check_inclusion(index, size, leaf_hash(entries[index]), proof, naive_root(entries))


@settings(deadline=None)
@given(sizes, st.data())
def test_a_wrong_inclusion_proof_is_refused(size, data):
    index = data.draw(st.integers(0, size - 1))
    entries = entries_of(size)
    proof, root, leaf = naive_path(index, entries), naive_root(entries), leaf_hash(entries[index])
    wrong = [
        (index, size, leaf_hash(b"other"), proof, root),
        (index, size, leaf, [*proof, root], root),
        (index, size, leaf, proof, leaf_hash(b"other")),
        (size, size, leaf, proof, root),
        (index, size, leaf[:-1], proof, root),
    ]
    if proof:
        wrong.append((index, size, leaf, proof[:-1], root))
        wrong.append((index, size, leaf, [leaf_hash(b"x"), *proof[1:]], root))
        wrong.append((index ^ 1, size, leaf, proof, root))
    for arguments in wrong:
        with pytest.raises(MerkleError):
            check_inclusion(*arguments)


@settings(deadline=None)
@given(sizes, st.data())
def test_consistency_proofs(second, data):
    first = data.draw(st.integers(0, second))
    entries = entries_of(second)
    proof = consistency_proof(first, second, nodes_of(entries))
    assert proof == (naive_subproof(first, entries, True) if first else [])
    roots = naive_root(entries[:first]), naive_root(entries)
    check_consistency(first, second, *roots, proof)
    with pytest.raises(MerkleError):
        check_consistency(first, second, leaf_hash(b"other"), roots[1], proof)
    with pytest.raises(MerkleError):
        check_consistency(first, second, *roots, [*proof, roots[1]])
    if proof:
        with pytest.raises(MerkleError):
            check_consistency(first, second, *roots, proof[:-1])


def test_questions_outside_the_tree():
    with pytest.raises(MerkleError):
        inclusion_proof(3, 3, nodes_of(entries_of(3)))
    with pytest.raises(MerkleError):
        consistency_proof(4, 3, nodes_of(entries_of(3)))
    with pytest.raises(MerkleError):
        check_consistency(4, 3, EMPTY_ROOT, EMPTY_ROOT, [])
    frontier = Frontier()
    frontier.append(EMPTY_ROOT)
    with pytest.raises(MerkleError):
        frontier.append_subtree(3, EMPTY_ROOT)
