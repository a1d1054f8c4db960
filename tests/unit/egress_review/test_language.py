"""Everything a reader sees is there in French: pages, labels, and every sentence of rules, checks and actions."""

from __future__ import annotations

import ast
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.extract import extract
from babel.messages.pofile import read_po

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "enclave.portal.django_settings")
from django.utils.translation.template import templatize

PACKAGE = Path(__file__).resolve().parents[3] / "egress_review"
CATALOGUE = PACKAGE / "locale/fr/LC_MESSAGES/django.po"


def _from_templates() -> Iterator[str]:
    keywords = {"gettext": None, "_": None, "gettext_noop": None, "ngettext": (1, 2), "pgettext": ((1, "c"), 2)}
    for path in PACKAGE.glob("templates/**/*.html"):
        source = io.BytesIO(templatize(path.read_text()).encode())
        for _line, message, _comments, _context in extract("python", source, keywords=keywords):
            yield message if isinstance(message, str) else message[0]


def _from_code() -> Iterator[str]:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.func, ast.Name):
                continue
            first = node.args[0]
            named = node.func.id in ("Sentence", "gettext", "_")
            if named and isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def _messages() -> list[str]:
    # Templates of small-count messages are chosen from a table, so they are no literal argument.
    from egress_review.sdc.small_counts import MESSAGES

    return sorted({*_from_templates(), *_from_code(), *MESSAGES.values()})


@pytest.mark.parametrize("message", _messages())
def test_every_message_has_french(message: str) -> None:
    with CATALOGUE.open("rb") as file:
        catalogue = read_po(file)
    found = catalogue.get(message)
    assert found is not None, f"missing in {CATALOGUE.name}: {message!r}"
    assert found.string
    assert all(found.string)
    assert not found.fuzzy


def test_every_check_has_a_label() -> None:
    from egress_review.domain.wordings import CHECK_IDS
    from egress_review.web.language import CHECKS

    assert set(CHECKS) == CHECK_IDS


def test_places_for_values_are_the_same_in_french() -> None:
    with CATALOGUE.open("rb") as file:
        catalogue = read_po(file)
    for message in catalogue:
        if message.id:
            places = re.compile(r"%\(\w+\)s")
            assert sorted(places.findall(str(message.id))) == sorted(places.findall(str(message.string))), message.id


def test_no_message_is_left_over() -> None:
    with CATALOGUE.open("rb") as file:
        known = {message.id if isinstance(message.id, str) else message.id[0] for message in read_po(file)} - {""}
    assert known - set(_messages()) == set()
