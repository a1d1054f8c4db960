"""Go's checksum-database packages and Tessera's fsck accept our log, and reject every broken copy of it."""

import base64
import dataclasses
import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from written_log import EARLIER_SIZES, changed_entry, flip

from audit.merkle import leaf_hash
from audit.note import NoteSigner
from audit.reader import read_checkpoint
from audit.tiles import decode_bundle, encode_bundle

# the first test of a run builds the program, on a clean machine after fetching its modules
pytestmark = pytest.mark.timeout(900)

FULL_BUNDLE = "tile/entries/002"
LAST_BUNDLE = "tile/entries/011.p"
FULL_TILE = "tile/0/002"
LAST_TILE = "tile/0/011.p"
UPPER_TILE = "tile/1/000.p"


def widest(folder):
    """The partial file that the newest checkpoint needs."""
    return max(folder.iterdir(), key=lambda path: int(path.name))


def test_both_accept_the_log_a_daemon_wrote(strangers, written_log):
    verdict = strangers.accepts("sumdb", written_log.directory, written_log.vkey)
    assert (verdict["size"], verdict["root"], verdict["proofs"]) == (written_log.size, written_log.root, 300)
    assert written_log.size % 256
    assert strangers.accepts("fsck", written_log.directory, written_log.vkey) == {
        "size": written_log.size,
        "root": written_log.root,
    }


@pytest.mark.parametrize("size", EARLIER_SIZES)
def test_sumdb_proves_the_log_consistent_with_an_earlier_receipt(strangers, written_log, size):
    earlier = written_log.earlier[size]
    assert strangers.accepts("sumdb", written_log.directory, written_log.vkey, earlier)["earlier"] >= size


def test_both_accept_three_levels_of_tiles(strangers, large_log):
    assert (large_log.directory / "tile/2/000.p/1").stat().st_size == 32
    for judge in ("sumdb", "fsck"):
        verdict = strangers.accepts(judge, large_log.directory, large_log.vkey)
        assert (verdict["size"], verdict["root"]) == (66_000, large_log.root)


def edit_bundle(log):
    flip(log.directory / FULL_BUNDLE, 200)


def edit_last_bundle(log):
    flip(widest(log.directory / LAST_BUNDLE), 200)


def edit_tile(log):
    flip(log.directory / FULL_TILE, 40)


def edit_last_tile(log):
    flip(widest(log.directory / LAST_TILE), 40)


def edit_upper_tile(log):
    flip(widest(log.directory / UPPER_TILE), 40)


def reorder_bundle(log):
    path = log.directory / FULL_BUNDLE
    first, second, *rest = decode_bundle(path.read_bytes(), 256)
    path.write_bytes(encode_bundle([second, first, *rest]))


def edit_bundle_and_tile_alike(log):
    path = log.directory / FULL_BUNDLE
    first, *rest = decode_bundle(path.read_bytes(), 256)
    path.write_bytes(encode_bundle([changed_entry(first), *rest]))
    tile = log.directory / FULL_TILE
    tile.write_bytes(leaf_hash(changed_entry(first)) + tile.read_bytes()[32:])


def cut_bundle(log):
    path = log.directory / FULL_BUNDLE
    path.write_bytes(path.read_bytes()[:-10])


def cut_tile(log):
    path = log.directory / FULL_TILE
    path.write_bytes(path.read_bytes()[:-32])


def remove_last_bundle(log):
    widest(log.directory / LAST_BUNDLE).unlink()


def remove_tile(log):
    (log.directory / FULL_TILE).unlink()


def edit_root(log):
    """The root changed in the text; the signature stays."""
    checkpoint = read_checkpoint(log.directory)[1]
    raw = (log.directory / "checkpoint").read_text()
    (log.directory / "checkpoint").write_text(
        raw.replace(log.root, base64.b64encode(bytes(reversed(checkpoint.root))).decode())
    )


def sign_wrong_root(log):
    """A root that is not the tree's, signed by the log itself."""
    log.write_checkpoint(dataclasses.replace(read_checkpoint(log.directory)[1], root=secrets.token_bytes(32)))


def sign_greater_size(log):
    checkpoint = read_checkpoint(log.directory)[1]
    log.write_checkpoint(dataclasses.replace(checkpoint, size=checkpoint.size + 1))


def spoil_signature(log):
    path = log.directory / "checkpoint"
    text, line = path.read_text().split("\n\n")
    dash, name, encoded = line.split()
    blob = bytearray(base64.b64decode(encoded))
    blob[20] ^= 1
    path.write_text(f"{text}\n\n{dash} {name} {base64.b64encode(blob).decode()}\n")


def sign_with_another_key(log):
    other = NoteSigner(log.signer.verifier.name, Ed25519PrivateKey.generate())
    log.rewrite(log.entries(), other)


def sign_as_another_log(log):
    checkpoint = read_checkpoint(log.directory)[1]
    log.write_checkpoint(dataclasses.replace(checkpoint, origin="log.example.test/other"))


BREAKAGES = [
    edit_bundle,
    edit_last_bundle,
    edit_tile,
    edit_last_tile,
    edit_upper_tile,
    reorder_bundle,
    edit_bundle_and_tile_alike,
    cut_bundle,
    cut_tile,
    remove_last_bundle,
    remove_tile,
    edit_root,
    sign_wrong_root,
    sign_greater_size,
    spoil_signature,
    sign_with_another_key,
    sign_as_another_log,
]


@pytest.mark.parametrize("judge", ["sumdb", "fsck"])
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_both_reject_every_broken_copy(strangers, broken_log, breakage, judge):
    breakage(broken_log)
    strangers.rejects(judge, broken_log.directory, broken_log.vkey)


def edit_entry(entries):
    return [*entries[:100], changed_entry(entries[100]), *entries[101:]]


def delete_entry(entries):
    return entries[:100] + entries[101:]


def cut_entries(entries):
    return entries[:900]


@pytest.mark.parametrize("rewrite", [edit_entry, delete_entry, cut_entries])
def test_what_an_insider_with_the_key_rewrote_needs_a_checkpoint_kept_outside(strangers, broken_log, rewrite):
    broken_log.rewrite(rewrite(broken_log.entries()))
    for judge in ("sumdb", "fsck"):
        strangers.accepts(judge, broken_log.directory, broken_log.vkey)
    strangers.rejects("sumdb", broken_log.directory, broken_log.vkey, broken_log.earlier[1000])
