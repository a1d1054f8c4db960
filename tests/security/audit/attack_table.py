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


Evidence = tuple[Given, ...]
Verdicts = tuple[Question, ...]
Action = Callable[[House], None]


def outsider(name: str, what: str, given: Evidence, caught: Verdicts, mechanism: str, attack: Action) -> Attack:
    """A row: somebody who can write the files."""
    return Attack(name, what, Attacker.OUTSIDER, mechanism, given, frozenset(caught), attack)


def insider(name: str, what: str, given: Evidence, caught: Verdicts, mechanism: str, attack: Action) -> Attack:
    """A row: somebody who has the signing key as well."""
    return Attack(name, what, Attacker.INSIDER, mechanism, given, frozenset(caught), attack)


def anew(
    what: str, given: Evidence, caught: Question, mechanism: str, sign: Callable[[act.Change], Action]
) -> list[Attack]:
    """Four rows: history changed, and everything signed anew."""
    changes = {"edit": act.edited, "delete": act.deleted, "reorder": act.reordered, "cut": act.cut}
    return [
        insider(f"{name} and sign anew", what, given, (caught,), mechanism, sign(change))
        for name, change in changes.items()
    ]


NOBODY: tuple[Question, ...] = ()
SAVED, POLICY, RECEIPT, STATE = (Given.CHECKPOINT,), (Given.POLICY,), (Given.RECEIPT,), (Given.STATE,)
AUTHORITY = (Given.AUTHORITY,)
REHASH = "every record is hashed again and compared with tile and signed root"
OUTSIDE = "a checkpoint that left the house"
SEEN = "a checkpoint that witnesses cosigned"
HELD = "the proof that a researcher was given with the answer"
COMMITTED = "the commitment in the record"

ATTACKS: tuple[Attack, ...] = (
    outsider("edit a record", "one bundle changed", (), (Q.TREE, Q.ENTRIES), REHASH, act.bundle_edited),
    outsider(
        "delete a bundle",
        "256 records gone",
        (),
        (Q.ENTRIES,),
        "the bundle is missing, no record prunes it",
        act.bundle_deleted,
    ),
    outsider("reorder records", "two neighbours swapped", (), (Q.TREE, Q.ENTRIES), REHASH, act.bundle_reordered),
    outsider("truncate a bundle", "the last record gone", (), (Q.ENTRIES,), REHASH, act.bundle_cut),
    outsider(
        "swap two bundles", "tiles left as they are", (), (Q.TREE, Q.ENTRIES, Q.WITNESSES), REHASH, act.bundles_swapped
    ),
    outsider("change a tile, not its bundle", "proofs would fail or lie", (), (Q.FILES,), REHASH, act.tile_edited),
    outsider(
        "edit a record and rebuild the tiles",
        "the old checkpoint stays",
        (),
        (Q.TREE, Q.WITNESSES, Q.TIMESTAMPS),
        "the signed root, and those that witnesses and time stamps signed",
        act.rebuilt_under_old_checkpoint,
    ),
    outsider(
        "sign with another key",
        "a whole new log",
        (),
        (Q.SIGNATURE, Q.FILES),
        "the log's verifier key",
        act.signed_by_another_key,
    ),
    outsider(
        "replay an old directory",
        "a copy of last month",
        POLICY,
        (Q.WITNESSES,),
        "the age of the newest cosignatures",
        act.cut_back,
    ),
    outsider("replay an old directory", "a copy of last month", SAVED, (Q.CONSISTENCY,), OUTSIDE, act.cut_back),
    *anew("seen by somebody who kept a checkpoint", SAVED, Q.CONSISTENCY, OUTSIDE, act.insider),
    *anew("the cosigned checkpoints left", POLICY, Q.WITNESSES, SEEN, act.insider_leaves_cosigned),
    insider(
        "edit and sign anew",
        "the cosigned checkpoints removed",
        POLICY,
        (Q.WITNESSES,),
        "the quorum is missing",
        act.insider(act.edited),
    ),
    insider("edit and sign anew", "a researcher kept a receipt", RECEIPT, (Q.RECEIPTS,), HELD, act.insider(act.edited)),
    insider(
        "delete and sign anew", "a researcher kept a receipt", RECEIPT, (Q.RECEIPTS,), HELD, act.insider(act.deleted)
    ),
    insider(
        "cut and sign anew",
        "a researcher kept a receipt",
        RECEIPT,
        (Q.RECEIPTS,),
        HELD,
        act.insider(lambda entries: entries[:5]),
    ),
    insider(
        "edit and sign anew",
        "nobody kept anything",
        (),
        NOBODY,
        "nothing: without memory outside there is no proof",
        act.insider(act.edited),
    ),
    insider(
        "edit after the last outside checkpoint",
        "the open window",
        (*SAVED, *POLICY, *RECEIPT),
        NOBODY,
        "nothing: the verdict on witnesses says how long the window is",
        act.late_edited,
    ),
    insider(
        "split view", "two heads of one size, both seen", SAVED, (Q.CONSISTENCY,), "the other head", act.split_view
    ),
    insider(
        "split view",
        "the other head never seen",
        (*SAVED, *POLICY, *RECEIPT),
        NOBODY,
        "nothing, until the heads meet: a witness refuses the second",
        act.split_view_unseen,
    ),
    outsider(
        "remove all cosignatures of a checkpoint",
        "the line of the log stays",
        POLICY,
        (Q.WITNESSES,),
        "a cosigned checkpoint carries cosignatures",
        act.cosignatures_removed,
    ),
    outsider(
        "remove one witness's cosignatures",
        "the other's stay",
        POLICY,
        (Q.WITNESSES,),
        "the quorum",
        act.one_cosignature_removed,
    ),
    outsider(
        "cosign with a key of one's own",
        "under a witness's name",
        (),
        (Q.WITNESSES,),
        "known keys: the policy's, and those in the log",
        act.cosigned_by_a_stranger,
    ),
    outsider(
        "cosigned checkpoint of another log",
        "in place of ours",
        (),
        (Q.WITNESSES,),
        "the origin line",
        act.cosigned_of_another_log,
    ),
    outsider(
        "rename a cosigned checkpoint",
        "so that it seems newer",
        (),
        (Q.WITNESSES,),
        "the size inside",
        act.cosigned_renamed,
    ),
    outsider("change a time stamp", "another token", (), (Q.TIMESTAMPS,), "its hash in the log", act.stamp_changed),
    outsider(
        "remove a time stamp", "token and checkpoint", (), (Q.TIMESTAMPS,), "its record in the log", act.stamp_removed
    ),
    insider(
        "forge a time stamp",
        "by an authority of the attacker's own, with its record",
        AUTHORITY,
        (Q.TIMESTAMPS,),
        "the certificate of the authority agreed on",
        act.stamp_forged,
    ),
    outsider("swap two payloads", "each under its key", STATE, (Q.PAYLOADS,), COMMITTED, act.payloads_swapped),
    outsider("change a payload", "one bit of the ciphertext", STATE, (Q.PAYLOADS,), COMMITTED, act.payload_changed),
    outsider(
        "remove a payload", "the record stays", STATE, (Q.PAYLOADS,), "no record explains it", act.payload_removed
    ),
    outsider(
        "delete a payload key",
        "without a record of the erasure",
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
