"""Messages on the socket, and the answer that is put together by hand."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.wire import MAX_MESSAGE_BYTES, WireError, decode_body, encode_body, encode_message, take_messages

text = st.text(max_size=30)
messages = st.dictionaries(text, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text, max_size=5)


@settings(deadline=None)
@given(st.lists(messages, max_size=4), st.integers(0, 400))
def test_messages_survive_in_any_pieces(items, cut):
    data = b"".join(encode_message(item) for item in items)
    buffer = bytearray(data[:cut])
    found = take_messages(buffer)
    buffer += data[cut:]
    assert found + take_messages(buffer) == items
    assert not buffer


def test_a_lone_surrogate_survives_although_utf8_has_none():
    assert decode_body(encode_body({"payload": "\ud800 and more"})) == {"payload": "\ud800 and more"}


@settings(deadline=None)
@given(messages)
def test_any_json_reader_understands_it(message):
    assert json.loads(encode_body(message)) == message


def test_the_limit_is_kept_on_both_sides():
    with pytest.raises(WireError):
        encode_message({"a": "x" * MAX_MESSAGE_BYTES})
    with pytest.raises(WireError, match="announced"):
        take_messages(bytearray((MAX_MESSAGE_BYTES + 1).to_bytes(4, "big")))
