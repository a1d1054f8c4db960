"""Our checks accept every proof of transparency.dev's reference tree, and no changed one; and a log of Tessera's."""

import base64

import pytest

from audit.checkpoint import read_unverified
from audit.merkle import MerkleError, check_consistency, check_inclusion, leaf_hash, tree_hash
from audit.reader import TileNodes, load_tree, read_raw_entries

pytestmark = pytest.mark.timeout(900)

SIZES = [1, 2, 3, 7, 8, 11, 64, 65]


@pytest.fixture(scope="module", params=SIZES)
def reference(request, strangers):
    return request.param, strangers.accepts("proofs", request.param)


def decoded(hashes):
    return [base64.b64decode(item) for item in hashes or ()]


def spoilt(proof):
    """The proof with each hash changed, missing or doubled, and with one too many."""
    flipped = [bytes([item[0] ^ 1]) + item[1:] for item in proof]
    for place in range(len(proof)):
        yield [*proof[:place], flipped[place], *proof[place + 1 :]]
        yield [*proof[:place], *proof[place + 1 :]]
        yield [*proof[: place + 1], proof[place], *proof[place + 1 :]]
        yield [*proof[:place], proof[place][:31], *proof[place + 1 :]]
    yield [*proof, bytes(32)]
    yield [bytes(32), *proof]


def test_inclusion_proofs(reference):
    size, made = reference
    root = base64.b64decode(made["root"])
    assert len(made["inclusion"]) == size
    for item in made["inclusion"]:
        index, proof = item["index"], decoded(item["hashes"])
        leaf = leaf_hash(index.to_bytes(8))
        check_inclusion(index, size, leaf, proof, root)
        for wrong in spoilt(proof):
            with pytest.raises(MerkleError):
                check_inclusion(index, size, leaf, wrong, root)
        for claim in (
            (index + 1, size, leaf, root),
            (index, size, leaf_hash(b""), root),
            (index, size, leaf, bytes(32)),
        ):
            with pytest.raises(MerkleError):
                check_inclusion(claim[0], claim[1], claim[2], proof, claim[3])


def test_consistency_proofs(reference):
    size, made = reference
    root = base64.b64decode(made["root"])
    for item in made["consistency"]:
        first, proof, earlier = item["first"], decoded(item["hashes"]), base64.b64decode(item["root"])
        assert earlier == tree_hash(leaf_hash(index.to_bytes(8)) for index in range(first))
        check_consistency(first, size, earlier, root, proof)
        for wrong in spoilt(proof):
            with pytest.raises(MerkleError):
                check_consistency(first, size, earlier, root, wrong)
        for roots in ((bytes(32), root), (earlier, bytes(32))):
            with pytest.raises(MerkleError):
                check_consistency(first, size, *roots, proof)


def test_we_read_the_log_that_tessera_ships_for_its_own_tests(go_module):
    log = go_module("github.com/transparency-dev/tessera") / "testdata" / "log"
    heads = [read_unverified((log / f"checkpoint.{number}").read_bytes()) for number in range(16)]
    assert {head.size for head in heads} == set(range(16))
    for head in heads:
        if head.size == 0:
            continue
        hashes = [leaf_hash(entry) for entry in read_raw_entries(log, 0, head.size)]
        assert tree_hash(hashes) == load_tree(log, head.size).root() == head.root
        assert TileNodes(log, head.size)(0, head.size - 1) == hashes[-1]
