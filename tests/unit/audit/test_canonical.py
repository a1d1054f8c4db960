"""Canonical JSON: one value, one byte string."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.canonical import MAX_INTEGER, MAX_LEAF_BYTES, CanonicalError, canonical_json

keys = st.text(st.characters(max_codepoint=127), max_size=8)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | text
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=20)


@settings(deadline=None)
@given(values)
def test_it_reads_back_as_the_same_value_and_the_same_bytes(value):
    encoded = canonical_json(value)
    assert json.loads(encoded) == value
    assert canonical_json(json.loads(encoded)) == encoded


@settings(deadline=None)
@given(st.dictionaries(keys, scalars, max_size=6))
def test_the_order_of_keys_does_not_matter(value):
    assert canonical_json(dict(reversed(list(value.items())))) == canonical_json(value)


def test_compact_sorted_utf8():
    assert canonical_json({"b": [1, True, None], "a": "é\n€"}) == '{"a":"é\\n€","b":[1,true,null]}'.encode()


@pytest.mark.parametrize(
    "value",
    [1.0, float("nan"), {"a": {1, 2}}, {1: "a"}, {"é": 1}, MAX_INTEGER + 1, b"bytes", "\ud800", [object()]],
    ids=["float", "nan", "set", "number-key", "key-not-ascii", "too-great", "bytes", "surrogate", "object"],
)
def test_values_without_a_canonical_form_are_refused(value):
    with pytest.raises(CanonicalError):
        canonical_json(value)


def test_the_limit_is_exact_and_says_what_to_do():
    assert len(canonical_json("a" * (MAX_LEAF_BYTES - 2))) == MAX_LEAF_BYTES
    with pytest.raises(CanonicalError, match=r"may take 60000 bytes, found 60001; move long text"):
        canonical_json("a" * (MAX_LEAF_BYTES - 1))


@settings(deadline=None)
@given(values)
def test_the_bytes_are_those_of_the_standard_library_with_sorted_keys(value):
    """RFC 8785 for what is allowed here: another implementation gives the same bytes."""
    slow = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical_json(value) == slow.encode()
