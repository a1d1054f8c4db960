"""What attackers do to the house, one function each: the column ``attack`` of the table."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from house import COSIGNED, LATE, NOW, ORIGIN, PROVEN, SIZE, House
from running_authority import RunningAuthority

from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.cosignature import Cosigner
from audit.merkle import leaf_hash
from audit.note import NoteSigner, SignedNote, parse_note
from audit.payload_segments import PayloadItem, PayloadSegments
from audit.payloads import key_of
from audit.tiles import TileId, encode_bundle
from audit.timestamps import build_request

Change = Callable[[list[bytes]], list[bytes]]

# what is done to the records


def edited(entries: list[bytes], index: int = PROVEN) -> list[bytes]:
    """Another person did it."""
    return [*entries[:index], entries[index].replace(b'"actor":"u-', b'"actor":"x-'), *entries[index + 1 :]]


def deleted(entries: list[bytes], index: int = PROVEN) -> list[bytes]:
    return entries[:index] + entries[index + 1 :]


def reordered(entries: list[bytes], index: int = PROVEN) -> list[bytes]:
    return [*entries[:index], entries[index + 1], entries[index], *entries[index + 2 :]]


# what is done to the files


def bundle_edited(house: House) -> None:
    path = house.log_dir / TileId(-1, 0).path
    path.write_bytes(encode_bundle(edited(house.entries)[:256]))


def bundle_deleted(house: House) -> None:
    (house.log_dir / TileId(-1, 1).path).unlink()


def bundle_reordered(house: House) -> None:
    (house.log_dir / TileId(-1, 0).path).write_bytes(encode_bundle(reordered(house.entries)[:256]))


def bundle_cut(house: House) -> None:
    path = house.log_dir / TileId(-1, 2, SIZE % 256).path
    path.write_bytes(encode_bundle(house.entries[512 : SIZE - 1]))


def bundles_swapped(house: House) -> None:
    first, second = (house.log_dir / TileId(-1, number).path for number in (0, 1))
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def tile_edited(house: House) -> None:
    path = house.log_dir / TileId(0, 0).path
    hashes = [leaf_hash(entry) for entry in edited(house.entries)[:256]]
    path.write_bytes(b"".join(hashes))


def rebuilt_under_old_checkpoint(house: House) -> None:
    old = (house.log_dir / "checkpoint").read_bytes()
    house.publish(edited(house.entries))
    (house.log_dir / "checkpoint").write_bytes(old)


def cut_back(house: House) -> None:
    """To a state that was signed once: the outsider needs no key for that."""
    shutil.rmtree(house.log_dir / "anchors")
    for size in COSIGNED[1:]:
        (house.log_dir / "cosigned" / str(size)).unlink()
    house.publish(house.entries[:300])


def signed_by_another_key(house: House) -> None:
    shutil.rmtree(house.log_dir / "cosigned")
    shutil.rmtree(house.log_dir / "anchors")
    entries = [entry for entry in edited(house.entries) if b"anchor:received" not in entry]
    house.publish(entries, signer=NoteSigner(ORIGIN, Ed25519PrivateKey.generate()))


def insider(change: Change) -> Callable[[House], None]:
    """Everything rebuilt and signed anew, what would show it removed."""

    def attack(house: House) -> None:
        shutil.rmtree(house.log_dir / "cosigned")
        shutil.rmtree(house.log_dir / "anchors")
        # the record of the time stamp would tell that one is missing
        house.publish([entry for entry in change(house.entries) if b"anchor:received" not in entry])

    return attack


def insider_leaves_cosigned(change: Change) -> Callable[[House], None]:
    """Rebuilt and signed anew; the cosigned checkpoints stay, because a log without any would be noticed."""

    def attack(house: House) -> None:
        shutil.rmtree(house.log_dir / "anchors")
        house.publish([entry for entry in change(house.entries) if b"anchor:received" not in entry])

    return attack


def cut(entries: list[bytes]) -> list[bytes]:
    return entries[:300]


def late_edited(house: House) -> None:
    house.publish(edited(house.entries, LATE))


def split_view(house: House) -> None:
    """Another log of the same size, shown to this auditor only."""
    insider(lambda entries: edited(entries, LATE))(house)
    house.saved = house.checkpoint(house.entries[: SIZE - 1]).decode()


def split_view_unseen(house: House) -> None:
    """Another log that parts from the first after everything the auditor holds."""
    late_edited(house)


# what is done to the witnesses' files


def cosignatures_removed(house: House) -> None:
    path = house.log_dir / "cosigned" / str(COSIGNED[-1])
    note = parse_note(path.read_bytes())
    path.write_bytes(SignedNote(note.text, note.signatures[:1]).encode())


def one_cosignature_removed(house: House) -> None:
    for size in COSIGNED:
        path = house.log_dir / "cosigned" / str(size)
        note = parse_note(path.read_bytes())
        path.write_bytes(SignedNote(note.text, note.signatures[:2]).encode())


def cosigned_by_a_stranger(house: House) -> None:
    path = house.log_dir / "cosigned" / str(COSIGNED[-1])
    note = parse_note(path.read_bytes())
    stranger = Cosigner(house.witnesses[0].key.name, Ed25519PrivateKey.generate())
    root = house.entries[: COSIGNED[-1]]
    line = stranger.cosign(Checkpoint(ORIGIN, len(root), bytes(32)), NOW)
    path.write_bytes(SignedNote(note.text, (*note.signatures[:1], line)).encode())


def cosigned_of_another_log(house: House) -> None:
    other = NoteSigner("log.example.test/other", Ed25519PrivateKey.generate())
    checkpoint = Checkpoint(other.verifier.name, COSIGNED[-1], bytes(32))
    note = parse_note(sign_checkpoint(checkpoint, other))
    lines = [cosigner.cosign(checkpoint, NOW) for cosigner in house.witnesses]
    raw = SignedNote(note.text, (*note.signatures, *lines)).encode()
    (house.log_dir / "cosigned" / str(COSIGNED[-1])).write_bytes(raw)


def cosigned_renamed(house: House) -> None:
    folder = house.log_dir / "cosigned"
    (folder / str(COSIGNED[0])).rename(folder / "650")


def stamp_changed(house: House) -> None:
    path = house.log_dir / "anchors" / "560.tsr"
    path.write_bytes(path.read_bytes()[::-1])


def stamp_removed(house: House) -> None:
    shutil.rmtree(house.log_dir / "anchors")


def stamp_forged(house: House) -> None:
    """The insider stamps a checkpoint himself, under an authority of his own, before the witnesses see the record."""
    for size in COSIGNED[1:]:
        (house.log_dir / "cosigned" / str(size)).unlink()
    authority = RunningAuthority()
    try:
        token = authority.reply(build_request((house.log_dir / "anchors" / "560.note").read_bytes())[0])
    finally:
        authority.remove()
    path = house.log_dir / "anchors" / "560.tsr"
    before, after = (hashlib.sha256(item).hexdigest().encode() for item in (path.read_bytes(), token))
    path.write_bytes(token)
    house.publish([entry.replace(before, after) for entry in house.entries])


# what is done to the payloads


def payload_items(house: House) -> list[PayloadItem]:
    kept = PayloadSegments(house.state / "payloads")
    return [PayloadItem(index, key_of(blob), blob) for index, blob in kept.items(0)]


def payloads_swapped(house: House) -> None:
    first, second, *others = payload_items(house)
    swapped = [PayloadItem(first.index, second.key, second.blob), PayloadItem(second.index, first.key, first.blob)]
    PayloadSegments(house.state / "payloads").add(0, SIZE, [*swapped, *others])


def payload_changed(house: House) -> None:
    first, *others = payload_items(house)
    blob = first.blob[:-1] + bytes([first.blob[-1] ^ 1])
    PayloadSegments(house.state / "payloads").add(0, SIZE, [PayloadItem(first.index, first.key, blob), *others])


def payload_removed(house: House) -> None:
    PayloadSegments(house.state / "payloads").add(0, SIZE, payload_items(house)[1:])


def key_deleted(house: House) -> None:
    for path in (house.state / "keys").rglob("*.key"):
        path.unlink()
