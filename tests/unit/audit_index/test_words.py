"""Text is found by words and rare pieces exactly where a plain search of the folded leaf finds it."""

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from audit.index.wanted import joined_names
from audit.index.words import QUOTE, could_be_rare, fold, map_words, places_with, word_table, write_words

characters = st.sampled_from('abcdefz019:-., "\\{}[]éÉßİ\x1f')
leaf_texts = st.dictionaries(
    st.text(characters, max_size=8),
    st.text(characters, max_size=30) | st.integers(0, 10**12) | st.lists(st.text(characters, max_size=9), max_size=3),
    max_size=5,
).map(lambda leaf: json.dumps(leaf, ensure_ascii=False))


def places(leaves, needle):
    """What the finder finds, without DuckDB."""
    rare, words = word_table(leaves)
    found = set(places_with(words, fold(needle), len(leaves)).to_pylist())
    if could_be_rare(fold(needle)):
        found |= {place for place, pieces in enumerate(rare) if fold(needle) in pieces}
    return found


@settings(deadline=None, max_examples=300)
@given(st.lists(leaf_texts, min_size=1, max_size=40), st.data())
@example(['{"a":"0123456789abcdef"}'], None)
def test_a_text_without_quotes_is_found_exactly(leaves, data):
    if data is None:
        needle = "9abc"
    else:
        source = data.draw(st.sampled_from(leaves))
        start = data.draw(st.integers(0, len(source)))
        needle = source[start : start + data.draw(st.integers(1, 10))].replace(QUOTE, "") or "a"
    expected = {place for place, leaf in enumerate(leaves) if fold(needle) in fold(leaf)}
    assert places(leaves, needle) == expected


def test_words_read_back_from_their_file(tmp_path):
    leaves = ['{"a":"one"}', '{"a":"two"}'] * 20 + ['{"a":"three"}']
    _, table = word_table(leaves)
    write_words(tmp_path / "w.arrow", table)
    mapped = map_words(tmp_path / "w.arrow")
    assert mapped.equals(table)
    assert places_with(mapped, "three", len(leaves)).to_pylist() == [40]
    assert sorted(places_with(mapped, "one", len(leaves)).to_pylist()) == [*range(0, 40, 2)]
    assert sorted(places_with(mapped, "a", len(leaves)).to_pylist()) == [*range(41)]
    assert places_with(mapped, "four", len(leaves)).to_pylist() == []


@given(st.lists(st.text("ab\x1e\x1f,"), max_size=4), st.text("ab\x1e\x1f,"))
def test_joined_names_contain_a_name_only_if_it_is_one_of_them(names, name):
    assert (joined_names([name]) in joined_names(names)) == (name in names)
