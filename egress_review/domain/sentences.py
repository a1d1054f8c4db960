"""Sentences for readers that can be said in another language later.

A ``Sentence`` is an ordinary English ``str`` that remembers its template and values, so the web layer can look the
template up in its catalogue. Values are numbers, file names and words of ours; never a row value.
"""

from __future__ import annotations

from collections.abc import Mapping

Value = str | int


class Sentence(str):
    """``template % values`` that still knows both. ``template`` uses named places: ``%(limit)s``."""

    __slots__ = ("template", "values")

    template: str
    values: Mapping[str, Value]

    def __new__(cls, template: str, **values: Value) -> Sentence:
        """Values are filled in even when there are none, so ``%%`` always means a percent sign."""
        text = str.__new__(cls, template % values)
        text.template = template
        text.values = values
        return text
