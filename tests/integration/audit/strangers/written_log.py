"""Logs for strangers to judge: one written by the real daemon, and what an attacker may make of a copy."""

from __future__ import annotations

import base64
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from running_log import RunningLog, event

from audit.checkpoint import Checkpoint, read_unverified, sign_checkpoint
from audit.merkle import leaf_hash
from audit.note import NoteSigner
from audit.publisher import Publisher
from audit.reader import read_checkpoint, read_raw_entries
from audit.tiles import TileTree

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[3]
EARLIER_SIZES = (1, 255, 256, 300, 1000)


@dataclass(frozen=True)
class WrittenLog:
    """A log's public directory, its key, the signer an insider would hold, and checkpoints kept from earlier."""

    directory: Path
    vkey: str
    signer: NoteSigner
    earlier: dict[int, Path]

    @property
    def size(self) -> int:
        return read_checkpoint(self.directory)[1].size

    @property
    def root(self) -> str:
        return base64.b64encode(read_checkpoint(self.directory)[1].root).decode()

    def entries(self) -> list[bytes]:
        return list(read_raw_entries(self.directory, 0, self.size))

    def copy(self, home: Path) -> WrittenLog:
        """A copy to break."""
        shutil.copytree(self.directory, home / "log")
        return WrittenLog(home / "log", self.vkey, self.signer, self.earlier)

    def write_checkpoint(self, checkpoint: Checkpoint, signer: NoteSigner | None = None) -> None:
        (self.directory / "checkpoint").write_bytes(sign_checkpoint(checkpoint, signer or self.signer))

    def rewrite(self, entries: list[bytes], signer: NoteSigner | None = None) -> None:
        """Replace the whole log by another history, flawless in itself."""
        shutil.rmtree(self.directory)
        self.directory.mkdir()
        write_entries(self.directory, entries, signer or self.signer)


def write_by_daemon(home: Path, count: int) -> WrittenLog:
    """Let a real daemon write ``count`` records or more; keep the first receipt at each of :data:`EARLIER_SIZES`."""
    running = RunningLog()
    try:
        running.start()
        client = running.client()
        earlier: dict[int, Path] = {}
        for number in range(count):
            receipt = client.record(event(number, data={"text": "é" * (number % 50)}, payload={"n": number}))
            reached = read_unverified(receipt.checkpoint.encode()).size
            for size in EARLIER_SIZES:
                if size <= reached and size not in earlier:
                    earlier[size] = home / f"earlier-{size}"
                    earlier[size].write_text(receipt.checkpoint)
        vkey = running.vkey
        client.close()
        assert running.stop() == 0
        private = load_pem_private_key((running.state_dir / "signing.key").read_bytes(), None)
        assert isinstance(private, Ed25519PrivateKey)
        shutil.copytree(running.log_dir, home / "log")
        return WrittenLog(home / "log", vkey, NoteSigner(vkey.split("+")[0], private), earlier)
    finally:
        running.remove()


def write_entries(directory: Path, entries: list[bytes], signer: NoteSigner) -> None:
    """Publish entries as one signed log, with our own publisher."""
    staging = directory.with_name(directory.name + ".staging")
    staging.mkdir(exist_ok=True)
    hashes = [leaf_hash(entry) for entry in entries]
    tree = TileTree()
    for hashed in hashes:
        tree.append(hashed)
    head = Checkpoint(signer.verifier.name, len(entries), tree.root())
    Publisher(directory, staging, TileTree(), []).publish(entries, hashes, sign_checkpoint(head, signer))


def changed_entry(entry: bytes) -> bytes:
    """The same record with another actor."""
    return json.dumps({**json.loads(entry), "actor": "u-2"}, sort_keys=True, separators=(",", ":")).encode()


def flip(path: Path, at: int) -> None:
    """Change one byte of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0x01
    path.write_bytes(data)
