"""Rules of one person: whom they name, what they leave of a manifest, and what kept tables they bar."""

from __future__ import annotations

import json

import duckdb

from enclave.domain.permits import TableRule
from enclave.domain.person_rules import NO_RULES, PersonRules
from enclave.gateway.scratch_gate import ScratchGate
from enclave.gateway.scratch_names import (
    ScratchKind,
    ScratchNames,
    ScratchObject,
    objects_from_json,
    objects_to_json,
    read_objects,
)
from enclave.gateway.scratch_statements import parse_scratch

WARD = PersonRules((TableRule((), "visit", ("visit_id",), "ward = 'a'"),))
OTHER = PersonRules((TableRule((), "visit", ("visit_id",), "ward = 'b'"),))


def kept(rules: PersonRules, *reads: str, name: str = "t", kind: ScratchKind = ScratchKind.TABLE) -> ScratchObject:
    return ScratchObject(name, kind, "scratch", reads, "v1", tuple(rules.digests_of(reads).items()))


def test_a_digest_stands_for_the_content_and_no_rules_have_none() -> None:
    assert NO_RULES.digest == "" and NO_RULES.digest_of("visit") == ""
    assert len({WARD.digest, OTHER.digest, WARD.digest_of("visit"), OTHER.digest_of("VISIT")}) == 4
    assert PersonRules.from_json(WARD.as_json()) == WARD
    assert WARD.digests_of(["person", "visit"]) == {"visit": WARD.digest_of("visit")}


def test_a_rule_without_columns_hides_none_and_one_without_rows_hides_no_rows() -> None:
    rules = PersonRules((TableRule((), "a", ("x",)), TableRule((), "b", (), "x = 1")))
    assert (rules.hides_rows("a"), rules.hides_rows("B"), rules.hides_rows("c")) == (False, True, False)


def test_tables_kept_under_other_rules_are_barred_and_nothing_else() -> None:
    assert not kept(WARD, "visit").is_barred(WARD)
    assert not kept(WARD, "visit").is_barred(NO_RULES)
    assert kept(NO_RULES, "visit").is_barred(WARD)
    assert kept(OTHER, "visit").is_barred(WARD)
    assert not kept(NO_RULES, "person").is_barred(WARD)
    assert not kept(NO_RULES, "visit", kind=ScratchKind.VIEW).is_barred(WARD)


def test_a_table_of_unknown_origin_is_barred_where_there_are_rules() -> None:
    (unknown,) = read_objects([("scratch", "t", "table", "not ours")])
    assert unknown.is_barred(WARD) and not unknown.is_barred(NO_RULES)


def test_what_is_made_over_a_barred_table_is_found_through_it() -> None:
    view = kept(NO_RULES, "scratch.t", "visit", name="v", kind=ScratchKind.VIEW)
    macro = kept(NO_RULES, "scratch.v", name="m", kind=ScratchKind.MACRO)
    names = ScratchNames((kept(NO_RULES, "visit"), view, macro))
    barred = names.under(WARD).find_barred(macro)
    assert barred is not None and barred.name == "t"
    assert names.find_barred(macro) is None


def test_a_comment_carries_the_rules() -> None:
    item = kept(WARD, "visit")
    (found,) = read_objects([("scratch", "t", "table", item.comment())])
    assert found == item
    assert objects_from_json(objects_to_json([item])).objects == (item,)


def test_a_table_that_takes_in_rows_without_a_rule_is_made_under_none() -> None:
    assert note_after("INSERT INTO t SELECT * FROM visit", WARD, NO_RULES) == {}
    assert note_after("INSERT INTO t SELECT * FROM visit", WARD, WARD) == {"visit": WARD.digest_of("visit")}
    assert note_after("INSERT INTO t SELECT * FROM person", WARD, NO_RULES) == {"visit": WARD.digest_of("visit")}
    assert note_after("CREATE OR REPLACE TABLE t AS FROM visit", WARD, OTHER) == {"visit": OTHER.digest_of("visit")}


def note_after(sql: str, made_under: PersonRules, now: PersonRules) -> dict[str, str]:
    """The rules in the comment that a statement leaves beside table ``t``, which holds rows of visit."""
    names = ScratchNames((kept(made_under, "visit"),)).under(now)
    statement = parse_scratch(sql)
    assert statement is not None
    found = ScratchGate(parse, frozenset({"visit", "person"}), names, "v1").examine(statement)
    assert found.write is not None
    rules: dict[str, str] = json.loads(found.write.follow_ups[0].partition(" IS '")[2].removesuffix("'"))["rules"]
    return rules


def parse(sql: str) -> str:
    with duckdb.connect() as connection:
        row = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    assert row is not None
    return str(row[0])
