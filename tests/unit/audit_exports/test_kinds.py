"""The table of meanings covers every type there is, and reads results from the record."""

import pytest
from records import ALL_TYPES, entry

from audit.exports.kinds import KINDS, Activity, Result, Severity, kind_of
from audit.own_events import OwnEvent
from enclave.domain.events import EventType


def test_every_type_stands_in_the_table():
    assert set(ALL_TYPES) <= set(KINDS)
    assert {str(event) for event in [*EventType, *OwnEvent]} <= set(KINDS)


def test_the_table_holds_no_type_that_nobody_writes():
    assert set(KINDS) <= set(ALL_TYPES)


@pytest.mark.parametrize(
    ("changed", "result"),
    [
        ({"data": {"status": "ok"}}, Result.DONE),
        ({"data": {"status": "cancelled"}}, Result.FAILED),
        ({"decision": "deny"}, Result.DENIED),
    ],
)
def test_the_result_is_read_from_the_record(changed, result):
    assert kind_of(entry("query:outcome", **changed).leaf).result is result


def test_an_alert_has_the_severity_it_was_raised_with():
    assert kind_of(entry("alert:raised").leaf).severity is Severity.ERROR


def test_a_type_from_a_newer_writer_is_not_dropped():
    assert kind_of(entry("moon:landed").leaf).activity is Activity.UPDATE
