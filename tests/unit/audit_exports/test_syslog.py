"""RFC 5424: every type, the escapes, the frames; read back by a parser of its own."""

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from records import ALL_TYPES, ORIGIN, SITE, entry
from rfc5424 import read_frames, read_message

from audit.exports.formats.syslog import MAX_OCTETS, SyslogFormat, element, escape_value, frame

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize("event_type", ALL_TYPES)
def test_every_type_is_a_well_formed_message(event_type):
    found = entry(event_type, 41)
    message = SyslogFormat().encode(found, ORIGIN, SITE)
    (framed,) = read_frames(message.body)
    assert framed == message.line and b"\n" not in framed
    parsed = read_message(framed)
    assert parsed.priority // 8 == 13
    assert (parsed.time, parsed.host, parsed.msgid) == ("2026-11-22T02:03:04.567Z", "audit.example.test", event_type)
    data = dict(parsed.data["enclave@32473"])
    assert (data["origin"], data["index"], data["leafHash"]) == (ORIGIN, "41", found.leaf_hash)
    assert parsed.has_bom
    assert json.loads(parsed.text) == found.leaf


@given(st.lists(st.tuples(st.from_regex(r"[a-zA-Z.]{1,32}", fullmatch=True), TEXT), max_size=5))
@example([("a", 'quote " backslash \\ bracket ] é 漢 \\"')])
@example([("a", "\\"), ("b", "]")])
def test_values_come_back_as_they_went_in(parameters):
    raw = f"<110>1 2026-11-22T02:03:04.5Z h a - m {element('x@32473', parameters)} ".encode() + b"text"
    shown = re.compile(r"[\x00-\x1f\x7f]")
    expected = [(key, shown.sub(lambda found: f"#{ord(found[0]):03o}", value)) for key, value in parameters]
    assert read_message(raw).data["x@32473"] == expected


@given(TEXT)
def test_nothing_else_is_escaped(text):
    escaped = escape_value(text)
    assert escaped.count("\\") == sum(text.count(one) for one in '"\\]') + text.count("\\")


@given(st.lists(st.binary(max_size=300).filter(bool), max_size=8))
def test_frames_are_cut_where_they_were_joined(messages):
    assert read_frames(b"".join(map(frame, messages))) == messages


@given(TEXT.filter(bool), TEXT.filter(bool))
def test_a_hostile_subject_cannot_end_its_parameter(subject, actor):
    found = entry("query:refused", subject=subject, actor=actor)
    parsed = read_message(SyslogFormat().encode(found, ORIGIN, SITE).line)
    assert list(parsed.data) == ["enclave@32473"]
    assert json.loads(parsed.text)["subject"] == subject


def test_a_long_record_is_shortened_and_says_so():
    found = entry("action:refused", data={"reasons": ["x" * 500] * 40}, counts={"n": 1})
    message = SyslogFormat().encode(found, ORIGIN, SITE)
    parsed = read_message(message.line)
    assert len(message.line) <= MAX_OCTETS
    assert [value for key, value in parsed.data["enclave@32473"] if key == "shortened"] == ["data"]
    assert "data" not in json.loads(parsed.text)
