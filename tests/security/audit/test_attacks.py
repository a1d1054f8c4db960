"""Every row of the table of attacks, and what the auditor would have missed without the thing that caught it."""

import pytest
from attack_actions import deleted, edited, insider
from attack_table import ATTACKS, AUDIT_AT, FRESH, Given
from house import COSIGNED, LATE, ORIGIN, SIZE

from audit.report import Question, Status
from audit.verify import verify_log


@pytest.fixture
def victim(house, tmp_path):
    return house.copy(tmp_path / "house")


def audit(house, *given, **more):
    """The auditor's command with what she holds."""
    return verify_log(
        house.log_dir,
        house.vkey,
        house.saved if Given.CHECKPOINT in given else None,
        policy=house.policy if Given.POLICY in given else None,
        max_age=FRESH,
        receipts=[house.receipt] if Given.RECEIPT in given else [],
        payloads=house.state if Given.STATE in given else None,
        tsa_certificate=house.authority if Given.AUTHORITY in given else None,
        now=AUDIT_AT,
        **more,
    )


def failed(report):
    return {question for question, verdict in report.verdicts.items() if verdict.status is Status.FAILED}


def test_the_house_is_in_order(house):
    report = audit(house, *Given)
    assert report.ok, report.lines()
    assert {verdict.status for verdict in report.verdicts.values()} == {Status.OK}
    (window,) = report.verdicts[Question.WITNESSES].notices
    assert str(window).startswith(f"{SIZE - COSIGNED[-1]} record(s) lie after the newest cosigned checkpoint")
    assert not report.verdicts[Question.COMPLETENESS].notices


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda row: f"{row.by} {row.name}: {row.what} ({', '.join(row.given)})")
def test_attack(attack, victim):
    attack.attack(victim)
    report = audit(victim, *attack.given)
    assert failed(report) == attack.caught, report.lines()


@pytest.mark.parametrize(
    "attack",
    [row for row in ATTACKS if row.given and row.caught],
    ids=lambda row: f"{row.by} {row.name}: {row.what} ({', '.join(row.given)})",
)
def test_it_is_that_evidence_which_catches_it(attack, victim):
    attack.attack(victim)
    # cosigned notes in the directory are held against the log even without a policy
    expected = {Question.WITNESSES} & attack.caught if attack.what == "the cosigned checkpoints left" else set()
    expected |= {Question.WITNESSES} if attack.name == "remove all cosignatures of a checkpoint" else set()
    assert failed(audit(victim)) == expected


def test_the_open_window_is_exactly_what_came_after_the_last_cosignature(house, tmp_path):
    """One record earlier, and the witnesses' checkpoint shows it."""
    given = (Given.CHECKPOINT, Given.POLICY, Given.RECEIPT)
    for index, caught in ((COSIGNED[-1] - 1, {Question.WITNESSES}), (COSIGNED[-1] + 1, set()), (LATE, set())):
        victim = house.copy(tmp_path / f"at-{index}")
        victim.publish(edited(victim.entries, index))
        assert victim.entries != edited(victim.entries, index)
        assert failed(audit(victim, *given)) == caught, index


def test_a_witness_refuses_rewritten_history_and_keeps_the_evidence(victim):
    """422 for another past, 409 for a shorter one; the honest next checkpoint is still cosigned."""
    seen = victim.entries[: COSIGNED[-1]]
    rewritten = edited(victim.entries)
    answer = victim.ask_witness(0, victim.checkpoint(rewritten), rewritten[: len(seen)], rewritten, AUDIT_AT)
    assert answer.status == 422
    shorter = victim.entries[:300]
    answer = victim.ask_witness(0, victim.checkpoint(shorter), [], shorter, AUDIT_AT)
    assert answer.status == 409
    assert list((victim.home / "witness-0" / "evidence").rglob("*"))
    answer = victim.ask_witness(0, victim.checkpoint(victim.entries), seen, victim.entries, AUDIT_AT)
    assert answer.status == 200


def test_a_witness_refuses_the_second_head_of_one_size(victim):
    seen = victim.entries[: COSIGNED[-1]]
    assert victim.ask_witness(0, victim.checkpoint(victim.entries), seen, victim.entries, AUDIT_AT).status == 200
    other = edited(victim.entries, LATE)
    assert victim.ask_witness(0, victim.checkpoint(other), other, other, AUDIT_AT).status == 422
    assert victim.ask_witness(0, victim.checkpoint(other), seen, other, AUDIT_AT).status == 409


def test_a_deleted_record_shows_as_a_gap_even_when_nobody_kept_anything(victim):
    insider(deleted)(victim)
    notices = [str(item) for item in audit(victim).verdicts[Question.COMPLETENESS].notices]
    assert any("1 number(s) missing from gateway" in notice for notice in notices)


def test_what_is_found_names_the_place(victim):
    insider(lambda entries: entries[:5])(victim)
    (problem,) = audit(victim, Given.RECEIPT).problems
    assert str(problem) == "entry 7: Receipt 1: a record that was proven is missing: the log holds 5 records."
    report = audit(victim, Given.POLICY)
    assert "witness.example.test" not in ORIGIN
    assert "No checkpoint in this log carries the cosignatures" in str(report.problems[0])
