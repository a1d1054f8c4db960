"""The attacks on the log, as a table: who does what, what catches it, and which verdict of the verifier fails.

Each row runs as a test (``test_attacks.py``), and the page of the documentation is made from the same rows. An
``outsider`` can write the log directory; an ``insider`` has the signing key as well. ``given`` is what the auditor
holds besides the log directory and the verifier key. No failing verdict means: not caught, which is asserted as such.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import attack_actions as act
from house import NOW, House

from audit.report import Question


class Attacker(StrEnum):
    """What the attacker has."""

    OUTSIDER = "outsider"
    INSIDER = "insider"


class Given(StrEnum):
    """What the auditor holds besides the directory and the key."""

    CHECKPOINT = "saved checkpoint"
    POLICY = "trust policy"
    RECEIPT = "receipt"
    STATE = "payload store"
    AUTHORITY = "time-stamping authority's certificate"


@dataclass(frozen=True)
class Attack:
    """One row. ``attack`` changes the house; ``caught`` are the verdicts that fail, exactly these."""

    name: str
    what: str
    by: Attacker
    mechanism: str
    given: tuple[Given, ...]
    caught: frozenset[Question]
    attack: Callable[[House], None]


Q = Question


def row(
    name: str,
    what: str,
    by: Attacker,
    given: tuple[Given, ...],
    caught: tuple[Question, ...],
    mechanism: str,
    attack: Callable[[House], None],
) -> Attack:
    """A row, with the verdicts as a set."""
    return Attack(name, what, by, mechanism, given, frozenset(caught), attack)


NOBODY: tuple[Question, ...] = ()
OUT, IN = Attacker.OUTSIDER, Attacker.INSIDER
SAVED, POLICY, RECEIPT, STATE = (Given.CHECKPOINT,), (Given.POLICY,), (Given.RECEIPT,), (Given.STATE,)
AUTHORITY = (Given.AUTHORITY,)
REHASH = "every record is hashed again and compared with tile and signed root"
OUTSIDE = "a checkpoint that left the house"
SEEN = "a checkpoint that witnesses cosigned"
HELD = "the proof that a researcher was given with the answer"
COMMITTED = "the commitment in the record"

ATTACKS: tuple[Attack, ...] = (
    row("edit a record", "one bundle changed", OUT, (), (Q.TREE, Q.ENTRIES), REHASH, act.bundle_edited),
    row(
        "delete a bundle",
        "256 records gone",
        OUT,
        (),
        (Q.ENTRIES,),
        "the bundle is missing, no record prunes it",
        act.bundle_deleted,
    ),
    row("reorder records", "two neighbours swapped", OUT, (), (Q.TREE, Q.ENTRIES), REHASH, act.bundle_reordered),
    row("truncate a bundle", "the last record gone", OUT, (), (Q.ENTRIES,), REHASH, act.bundle_cut),
    row(
        "swap two bundles",
        "tiles left as they are",
        OUT,
        (),
        (Q.TREE, Q.ENTRIES, Q.WITNESSES),
        REHASH,
        act.bundles_swapped,
    ),
    row("change a tile, not its bundle", "proofs would fail or lie", OUT, (), (Q.FILES,), REHASH, act.tile_edited),
    row(
        "edit a record and rebuild the tiles",
        "the old checkpoint stays",
        OUT,
        (),
        (Q.TREE, Q.WITNESSES, Q.TIMESTAMPS),
        "the signed root, and those that witnesses and time stamps signed",
        act.rebuilt_under_old_checkpoint,
    ),
    row(
        "sign with another key",
        "a whole new log",
        OUT,
        (),
        (Q.SIGNATURE, Q.FILES),
        "the log's verifier key",
        act.signed_by_another_key,
    ),
    row(
        "replay an old directory",
        "a copy of last month",
        OUT,
        POLICY,
        (Q.WITNESSES,),
        "the age of the newest cosignatures",
        act.cut_back,
    ),
    row("replay an old directory", "a copy of last month", OUT, SAVED, (Q.CONSISTENCY,), OUTSIDE, act.cut_back),
    row(
        "edit and sign anew",
        "seen by somebody who kept a checkpoint",
        IN,
        SAVED,
        (Q.CONSISTENCY,),
        OUTSIDE,
        act.insider(act.edited),
    ),
    row(
        "delete and sign anew",
        "seen by somebody who kept a checkpoint",
        IN,
        SAVED,
        (Q.CONSISTENCY,),
        OUTSIDE,
        act.insider(act.deleted),
    ),
    row(
        "reorder and sign anew",
        "seen by somebody who kept a checkpoint",
        IN,
        SAVED,
        (Q.CONSISTENCY,),
        OUTSIDE,
        act.insider(act.reordered),
    ),
    row(
        "cut and sign anew",
        "seen by somebody who kept a checkpoint",
        IN,
        SAVED,
        (Q.CONSISTENCY,),
        OUTSIDE,
        act.insider(act.cut),
    ),
    row(
        "edit and sign anew",
        "the cosigned checkpoints left",
        IN,
        POLICY,
        (Q.WITNESSES,),
        SEEN,
        act.insider_leaves_cosigned(act.edited),
    ),
    row(
        "delete and sign anew",
        "the cosigned checkpoints left",
        IN,
        POLICY,
        (Q.WITNESSES,),
        SEEN,
        act.insider_leaves_cosigned(act.deleted),
    ),
    row(
        "reorder and sign anew",
        "the cosigned checkpoints left",
        IN,
        POLICY,
        (Q.WITNESSES,),
        SEEN,
        act.insider_leaves_cosigned(act.reordered),
    ),
    row(
        "cut and sign anew",
        "the cosigned checkpoints left",
        IN,
        POLICY,
        (Q.WITNESSES,),
        SEEN,
        act.insider_leaves_cosigned(act.cut),
    ),
    row(
        "edit and sign anew",
        "the cosigned checkpoints removed",
        IN,
        POLICY,
        (Q.WITNESSES,),
        "the quorum is missing",
        act.insider(act.edited),
    ),
    row("edit and sign anew", "a researcher kept a receipt", IN, RECEIPT, (Q.RECEIPTS,), HELD, act.insider(act.edited)),
    row(
        "delete and sign anew",
        "a researcher kept a receipt",
        IN,
        RECEIPT,
        (Q.RECEIPTS,),
        HELD,
        act.insider(act.deleted),
    ),
    row(
        "cut and sign anew",
        "a researcher kept a receipt",
        IN,
        RECEIPT,
        (Q.RECEIPTS,),
        HELD,
        act.insider(lambda entries: entries[:5]),
    ),
    row(
        "edit and sign anew",
        "nobody kept anything",
        IN,
        (),
        NOBODY,
        "nothing: without memory outside there is no proof",
        act.insider(act.edited),
    ),
    row(
        "edit after the last outside checkpoint",
        "the open window",
        IN,
        (*SAVED, *POLICY, *RECEIPT),
        NOBODY,
        "nothing: the verdict on witnesses says how long the window is",
        act.late_edited,
    ),
    row(
        "split view", "two heads of one size, both seen", IN, SAVED, (Q.CONSISTENCY,), "the other head", act.split_view
    ),
    row(
        "split view",
        "the other head never seen",
        IN,
        (*SAVED, *POLICY, *RECEIPT),
        NOBODY,
        "nothing, until the heads meet: a witness refuses the second",
        act.split_view_unseen,
    ),
    row(
        "remove all cosignatures of a checkpoint",
        "the line of the log stays",
        OUT,
        POLICY,
        (Q.WITNESSES,),
        "a cosigned checkpoint carries cosignatures",
        act.cosignatures_removed,
    ),
    row(
        "remove one witness's cosignatures",
        "the other's stay",
        OUT,
        POLICY,
        (Q.WITNESSES,),
        "the quorum",
        act.one_cosignature_removed,
    ),
    row(
        "cosign with a key of one's own",
        "under a witness's name",
        OUT,
        (),
        (Q.WITNESSES,),
        "known keys: the policy's, and those in the log",
        act.cosigned_by_a_stranger,
    ),
    row(
        "cosigned checkpoint of another log",
        "in place of ours",
        OUT,
        (),
        (Q.WITNESSES,),
        "the origin line",
        act.cosigned_of_another_log,
    ),
    row(
        "rename a cosigned checkpoint",
        "so that it seems newer",
        OUT,
        (),
        (Q.WITNESSES,),
        "the size inside",
        act.cosigned_renamed,
    ),
    row("change a time stamp", "another token", OUT, (), (Q.TIMESTAMPS,), "its hash in the log", act.stamp_changed),
    row(
        "remove a time stamp",
        "token and checkpoint",
        OUT,
        (),
        (Q.TIMESTAMPS,),
        "its record in the log",
        act.stamp_removed,
    ),
    row(
        "forge a time stamp",
        "by an authority of the attacker's own, with its record",
        IN,
        AUTHORITY,
        (Q.TIMESTAMPS,),
        "the certificate of the authority agreed on",
        act.stamp_forged,
    ),
    row("swap two payloads", "each under its key", OUT, STATE, (Q.PAYLOADS,), COMMITTED, act.payloads_swapped),
    row("change a payload", "one bit of the ciphertext", OUT, STATE, (Q.PAYLOADS,), COMMITTED, act.payload_changed),
    row(
        "remove a payload", "the record stays", OUT, STATE, (Q.PAYLOADS,), "no record explains it", act.payload_removed
    ),
    row(
        "delete a payload key",
        "without a record of the erasure",
        OUT,
        STATE,
        (Q.PAYLOADS,),
        "no audit:redacted record",
        act.key_deleted,
    ),
)
"""All rows. Several ways to catch one attack are several rows."""

AUDIT_AT = NOW
FRESH = timedelta(minutes=10)
"""The auditor's limit for the age of the newest cosignatures; the house's newest are two minutes old."""
