"""The Merkle tree of RFC 6962 section 2.1 (same as RFC 9162 section 2.1), SHA-256, in small pure functions.

Proofs are built from a ``NodeReader``: a function ``(level, index) -> hash`` giving the hash of the complete subtree
that holds the leaves ``[index * 2**level, (index + 1) * 2**level)``. Where those hashes come from (memory, tile files)
is the caller's affair.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

NodeReader = Callable[[int, int], bytes]


class MerkleError(ValueError):
    """A proof does not prove what it claims, or a question lies outside the tree."""


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 ‖ entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: the complete subtrees that make it up, highest first (a compact range)."""

    __slots__ = ("_nodes",)

    def __init__(self) -> None:
        self._nodes: list[tuple[int, bytes]] = []

    @property
    def size(self) -> int:
        """Number of leaves."""
        return sum(1 << height for height, _ in self._nodes)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash on the right."""
        self.append_subtree(0, leaf)

    def append_subtree(self, height: int, subtree: bytes) -> None:
        """Add the hash of a complete subtree of ``2**height`` leaves; subtrees must come highest first."""
        if self._nodes and self._nodes[-1][0] < height:
            raise MerkleError(f"A subtree of height {height} cannot follow one of height {self._nodes[-1][0]}.")
        while self._nodes and self._nodes[-1][0] == height:
            subtree = node_hash(self._nodes.pop()[1], subtree)
            height += 1
        self._nodes.append((height, subtree))

    def root(self) -> bytes:
        """Merkle tree hash of all leaves so far."""
        return fold_right([node for _, node in self._nodes])


def fold_right(nodes: Sequence[bytes]) -> bytes:
    """Join the subtrees of a frontier (highest first) into the root; no subtree gives the hash of the empty tree."""
    if not nodes:
        return EMPTY_ROOT
    root = nodes[-1]
    for node in reversed(nodes[:-1]):
        root = node_hash(node, root)
    return root


def tree_hash(leaves: Iterable[bytes]) -> bytes:
    """Root over leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def split_point(size: int) -> int:
    """The largest power of two smaller than ``size`` (RFC 6962: k); ``size`` must be at least 2."""
    return 1 << (size - 1).bit_length() - 1


def range_hash(low: int, high: int, node: NodeReader) -> bytes:
    """Hash of the leaves ``[low, high)`` where ``low`` is a place at which RFC 6962's recursion cuts."""
    width = high - low
    if width & (width - 1) == 0 and low % width == 0:
        level = width.bit_length() - 1
        return node(level, low >> level)
    middle = low + split_point(width)
    return node_hash(range_hash(low, middle, node), range_hash(middle, high, node))


def inclusion_proof(index: int, size: int, node: NodeReader) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 section 2.1.1, the leaf's sibling first."""
    if not 0 <= index < size:
        raise MerkleError(f"Expected an entry index below the tree size {size}, found {index}.")
    proof: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + split_point(high - low)
        if index < middle:
            proof.append(range_hash(middle, high, node))
            high = middle
        else:
            proof.append(range_hash(low, middle, node))
            low = middle
    return proof[::-1]


def consistency_proof(first: int, second: int, node: NodeReader) -> list[bytes]:
    """PROOF(first, D[second]) of RFC 6962 section 2.1.2; empty when ``first`` is 0 or equals ``second``."""
    if not 0 <= first <= second:
        raise MerkleError(f"Expected an earlier size between 0 and {second}, found {first}.")
    if first in (0, second):
        return []
    proof: list[bytes] = []
    low, high, known = 0, second, True
    while first != high:
        middle = low + split_point(high - low)
        if first <= middle:
            proof.append(range_hash(middle, high, node))
            high = middle
        else:
            proof.append(range_hash(low, middle, node))
            low, known = middle, False
    if not known:
        proof.append(range_hash(low, high, node))
    return proof[::-1]


def check_hashes(proof: Sequence[bytes], *others: bytes) -> None:
    """Raise unless every hash has 32 bytes."""
    for item in (*others, *proof):
        if len(item) != HASH_BYTES:
            raise MerkleError(f"Expected hashes of {HASH_BYTES} bytes, found one of {len(item)}.")


def check_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raise :class:`MerkleError` unless ``proof`` shows ``leaf`` at ``index`` under ``root`` (RFC 9162, 2.1.3.2)."""
    check_hashes(proof, leaf, root)
    if not 0 <= index < size:
        raise MerkleError(f"Expected an entry index below the tree size {size}, found {index}.")
    place, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise MerkleError("The inclusion proof has more hashes than a tree of this size allows.")
        if place & 1 or place == last:
            computed = node_hash(sibling, computed)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise MerkleError("The inclusion proof has fewer hashes than a tree of this size needs.")
    if computed != root:
        raise MerkleError(f"The inclusion proof leads to root {computed.hex()}, the checkpoint says {root.hex()}.")


def check_consistency(first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise :class:`MerkleError` unless the tree of ``first`` leaves is a prefix of the other (RFC 9162, 2.1.4.2)."""
    check_hashes(proof, first_root, second_root)
    if not 0 <= first <= second:
        raise MerkleError(f"Expected an earlier size between 0 and {second}, found {first}.")
    if first in (0, second):
        expected = second_root if first else EMPTY_ROOT
        if proof or first_root != expected:
            raise MerkleError("Two trees of one size (or an empty one) need equal roots and an empty proof.")
        return
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    if not path:
        raise MerkleError("The consistency proof is empty; the log must supply one.")
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise MerkleError("The consistency proof has more hashes than trees of these sizes allow.")
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        place, last = place >> 1, last >> 1
    if last or old != first_root or new != second_root:
        raise MerkleError("The consistency proof does not lead from the earlier root to the later one.")
