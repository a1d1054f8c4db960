"""A log with everything an auditor may hold: witnesses, time stamps, receipts, payloads. Built without a daemon, so
that an attacker can rebuild it too.
"""

from __future__ import annotations

import copy
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from running_authority import RunningAuthority

from audit.canonical import canonical_json
from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.cosignature import Cosigner
from audit.event import AuditEvent, Envelope, Peer, event_fields, leaf_of, timestamp
from audit.merkle import consistency_proof, leaf_hash, tree_hash
from audit.note import NoteSigner, SignedNote, parse_note
from audit.own_events import OWN_ACTOR, OWN_WRITER
from audit.payload_segments import PayloadItem, PayloadSegments
from audit.payloads import PayloadVault, key_of
from audit.policy import Policy, parse_policy
from audit.proof import prove
from audit.publisher import Publisher
from audit.tiles import TileTree
from audit.timestamps import build_request
from audit.witness.messages import encode_request, parse_signatures
from audit.witness.service import Answer, Witness
from audit.witness.state import WitnessState

ORIGIN = "log.example.test/house"
SIZE, COSIGNED, SAVED, RECEIPT_AT = 700, (300, 560, 690), 401, 560
PROVEN, LATE = 7, 695
"""Indexes: the record with a receipt, and one written after the last checkpoint that left the house."""
CANARY_AT, CANARY_QUERY = 201, 115
BEGUN = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
STEP = timedelta(seconds=2)
TEMPLATE = hashlib.sha256(b"template").hexdigest()
CANARY = hashlib.sha256(b"canary").hexdigest()


def at_index(index: int) -> datetime:
    """When the record at ``index`` was taken."""
    return BEGUN + STEP * index


NOW = at_index(SIZE) + timedelta(minutes=1)


@dataclass
class House:
    """One log and what was kept outside of it. ``home`` may be copied; keys stay in memory."""

    home: Path
    signer: NoteSigner
    witnesses: list[Cosigner]
    policy: Policy
    entries: list[bytes] = field(default_factory=list)
    saved: str = ""
    receipt: str = ""
    authority: bytes = b""

    @property
    def log_dir(self) -> Path:
        return self.home / "log"

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def vkey(self) -> str:
        return str(self.signer.verifier)

    def checkpoint(self, entries: list[bytes], signer: NoteSigner | None = None) -> bytes:
        """A checkpoint over these entries, by the log's own key unless told otherwise."""
        root = tree_hash([leaf_hash(entry) for entry in entries])
        return sign_checkpoint(Checkpoint(ORIGIN, len(entries), root), signer or self.signer)

    def publish(self, entries: list[bytes], sizes: tuple[int, ...] = (), signer: NoteSigner | None = None) -> None:
        """Write checkpoint, tiles and bundles anew; what else stands in the log directory stays."""
        shutil.rmtree(self.log_dir / "tile", ignore_errors=True)
        (self.home / "staging").mkdir(exist_ok=True)
        self.log_dir.mkdir(exist_ok=True)
        publisher = Publisher(self.log_dir, self.home / "staging", TileTree(), [])
        done = 0
        for size in (*sizes, len(entries)):
            part = entries[done:size]
            publisher.publish(part, [leaf_hash(entry) for entry in part], self.checkpoint(entries[:size], signer))
            done = size

    def ask_witness(self, number: int, note: bytes, old: list[bytes], new: list[bytes], at: datetime) -> Answer:
        """Send a checkpoint over ``new`` to a real witness that should have seen one over ``old``."""
        state = WitnessState(self.home / f"witness-{number}", [self.witnesses[number]])
        try:
            witness = Witness(state, [self.witnesses[number]], [self.signer.verifier], lambda: at)
            hashes = [leaf_hash(entry) for entry in new]

            def node(level: int, index: int) -> bytes:
                return tree_hash(hashes[index << level : (index + 1) << level])

            proof = consistency_proof(len(old), len(new), node) if len(old) <= len(new) else []
            return witness.add_checkpoint(encode_request(len(old), proof, note))
        finally:
            state.close()

    def copy(self, home: Path) -> House:
        """The same house in another folder, its files as new as if it had just been built.

        How old a time stamp's file is tells the verifier whether the record about it may still be on its way.
        """
        shutil.copytree(self.home, home, copy_function=shutil.copyfile)
        other = copy.copy(self)
        other.home, other.entries = home, list(self.entries)
        return other


def build_house(home: Path) -> House:
    """700 records, two witnesses, one time stamp, a canary, payloads."""
    names = ("witness.example.test/hospital", "witness.example.test/university")
    witnesses = [Cosigner(name, Ed25519PrivateKey.generate()) for name in names]
    signer = NoteSigner(ORIGIN, Ed25519PrivateKey.generate())
    house = House(home, signer, witnesses, parse_policy(policy_text(signer, witnesses)))
    home.mkdir(exist_ok=True)
    (home / "policy.txt").write_bytes(policy_text(signer, witnesses))
    house.entries = write_entries(house)
    for size in COSIGNED:
        house.publish(house.entries[:size])
        add_cosigned(house, size, at_index(size))
        if size == RECEIPT_AT:
            house.receipt = prove(house.log_dir, PROVEN)
    house.publish(house.entries, (100, 300, 530, 560, 600, 690))
    house.saved = house.checkpoint(house.entries[:SAVED]).decode()
    return house


def policy_text(signer: NoteSigner, witnesses: list[Cosigner]) -> bytes:
    """Both witnesses are needed."""
    lines = [f"log {signer.verifier}", *(f"witness w{at} {cosigner.key}" for at, cosigner in enumerate(witnesses))]
    names = " ".join(f"w{at}" for at in range(len(witnesses)))
    return "\n".join([*lines, f"group both all {names}", "quorum both", ""]).encode()


def add_cosigned(house: House, size: int, at: datetime) -> None:
    """Have both witnesses cosign the checkpoint of this size and put it into the log directory."""
    note = (house.log_dir / "checkpoint").read_bytes()
    before = max((item for item in COSIGNED if item < size), default=0)
    lines = []
    for number in range(len(house.witnesses)):
        answer = house.ask_witness(number, note, house.entries[:before], house.entries[:size], at)
        assert answer.status == 200, answer
        lines += parse_signatures(answer.body)
    parsed = parse_note(note)
    (house.log_dir / "cosigned").mkdir(exist_ok=True)
    (house.log_dir / "cosigned" / str(size)).write_bytes(SignedNote(parsed.text, (*parsed.signatures, *lines)).encode())


def write_entries(house: House) -> list[bytes]:
    """The records; their payloads go into the state directory."""
    vault, items, entries = PayloadVault(house.state / "keys"), [], []
    counters = {OWN_WRITER: 0, "gateway": 0}
    for index, event in enumerate(plan(house)):
        if event.type == "anchor:received":
            event = stamped(house, entries[:RECEIPT_AT])
        writer = OWN_WRITER if event.actor == OWN_ACTOR else "gateway"
        counters[writer] += 1
        commitment = None
        if event.payload is not None:
            sealed = vault.seal(str(event.payload["sql"]).encode(), event.project, at_index(index))
            commitment = sealed.commitment
            items.append(PayloadItem(index, key_of(sealed.blob), sealed.blob))
        envelope = Envelope(f"e-{index}", writer, f"boot-{writer}", counters[writer])
        entries.append(canonical_json(leaf_of(event_fields(event), envelope, Peer(9, 42), at_index(index), commitment)))
    PayloadSegments(house.state / "payloads").add(0, SIZE, items)
    return entries


def stamped(house: House, entries: list[bytes]) -> AuditEvent:
    """Have a checkpoint stamped by a real authority (openssl) and put it beside the log; return the record about it."""
    note = house.checkpoint(entries)
    authority = RunningAuthority()
    try:
        token = authority.reply(build_request(note)[0])
        house.authority = authority.root.read_bytes()
    finally:
        authority.remove()
    folder = house.log_dir / "anchors"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{len(entries)}.note").write_bytes(note)
    (folder / f"{len(entries)}.tsr").write_bytes(token)
    data = {"tsr_sha256": hashlib.sha256(token).hexdigest(), "note_sha256": hashlib.sha256(note).hexdigest()}
    return AuditEvent("anchor:received", OWN_ACTOR, counts={"size": len(entries)}, data=data)


def plan(house: House) -> Iterator[AuditEvent]:
    """What happens: the log's own life, a canary, and otherwise queries with their outcomes."""
    due = timestamp(at_index(CANARY_AT) + timedelta(minutes=2))
    canary = {"template_sha256": CANARY, "due": due, "by": "u-auditor"}
    special = {
        0: AuditEvent("audit:started", OWN_ACTOR),
        CANARY_AT: AuditEvent("canary:scheduled", "u-auditor", "heart", subject="canary:1", data=canary),
        RECEIPT_AT + 5: AuditEvent("anchor:received", OWN_ACTOR),
        SIZE - 1: AuditEvent("audit:stopped", OWN_ACTOR),
    }
    for at, cosigner in enumerate(house.witnesses, 1):
        data = {"name": cosigner.key.name, "vkey": str(cosigner.key)}
        special[at] = AuditEvent("witness:configured", OWN_ACTOR, data=data)
    query, running = 0, False
    for index in range(SIZE):
        if index in special:
            yield special[index]
        elif index % 30 == 0:
            yield AuditEvent("audit:heartbeat", OWN_ACTOR, counts={"seconds": 60})
        elif running:
            running = False
            yield query_event("query:outcome", query, counts={"rows": 1}, data={"status": "ok"})
        else:
            query, running = query + 1, True
            template = CANARY if query == CANARY_QUERY else TEMPLATE
            payload = {"sql": f"SELECT {query}"} if query % 5 == 0 else None
            data = {"template_sha256": template, "tables": ["person"], "verb": "select"}
            yield query_event("query:intent", query, counts={"n": query}, data=data, payload=payload)


def query_event(kind: str, query: int, **fields: Any) -> AuditEvent:
    """A record of the gateway."""
    return AuditEvent(kind, f"u-{query % 9}", project="heart", request_id=f"r-{query}", **fields)
