"""Comparing the index with the plain filter over the log, for random questions."""

from __future__ import annotations

import random
from datetime import timedelta

from published_log import DATASETS, PEOPLE, PROJECTS, START, TABLES

from audit.cli.lines import read_rows
from audit.index import LogIndex, Wanted
from audit.index.wanted import passes

TEXTS = ("QUERY:out", "çelik", "note,1", "0000001", "no json", 'rule":"no \\"such', "member", '"actor"', "x-icu", "zzz")


def random_wanted(pick: random.Random, size: int) -> Wanted:
    """One to three filters at random."""
    moments = [START + timedelta(minutes=pick.randrange(size + 1)) for _ in range(2)]
    possible = {
        "persons": frozenset(pick.sample([*PEOPLE, "x-icu@v1", "nobody"], pick.randrange(1, 3))),
        "project": pick.choice(PROJECTS),
        "dataset": pick.choice([*DATASETS, "icu", "ic"]),
        "table": pick.choice([*TABLES, "perso", ","]),
        "verb": pick.choice(["select", "describe"]),
        "type": pick.choice(["query:intent", "query:outcome", "query:refused"]),
        "types": frozenset(pick.sample(["query:intent", "query:outcome", "x:y"], 2)),
        "decision": pick.choice(["allow", "deny"]),
        "since": min(moments),
        "until": max(moments),
        "text": pick.choice(TEXTS),
        "request_id": f"r-{pick.randrange(size):08x}",
        "template": f"{pick.randrange(5):064x}",
        "subject": f"x-{pick.choice(DATASETS)}",
        "workspace": "w-none",
    }
    return Wanted(**{name: possible[name] for name in pick.sample(sorted(possible), pick.randrange(1, 4))})


def check_answers(index: LogIndex, log_dir, rounds: int = 60, seed: int = 5) -> None:
    """Compare the index with the plain filter over the log, for random questions."""
    rows = list(read_rows(log_dir))
    pick = random.Random(seed)
    size = rows[-1]["index"] + 1
    for wanted in [
        Wanted(),
        *(Wanted(text=text) for text in TEXTS),
        *(random_wanted(pick, size) for _ in range(rounds)),
    ]:
        expected = [row["index"] for row in reversed(rows) if passes(row, wanted)]
        found = index.search(wanted, limit=20_000)
        assert [row.index for row in found] == expected, wanted
        assert index.count(wanted) == len(expected), wanted
        assert [row.leaf_hash for row in found] == [row["leaf_hash"] for row in reversed(rows) if passes(row, wanted)]
        dated = sum(1 for row in found if row.at is not None)
        assert sum(count for _, count in index.histogram(wanted).bars) == dated, wanted
