"""Whatever making a set can say, a steward reads in their language."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import django

import enclave.packages

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "enclave.portal.django_settings")
django.setup()

from enclave.packages import jobs  # noqa: E402
from enclave.portal.sentences import translated_sentence  # noqa: E402

_SAID_BY = {"IngressError", "WheelRefusedError", "MirrorError"}
_FOLDER = Path(enclave.packages.__file__).parent


def sentences() -> Iterator[str]:
    yield from (jobs._NOT_ACTIVE, jobs._UNFORESEEN)
    for source in sorted(_FOLDER.glob("*.py")):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _SAID_BY:
                yield from (said for argument in node.args if (said := _text(argument)))


def _text(node: ast.expr) -> str | None:
    """A literal, gaps filled with a number; None: words of somebody else, passed on."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in parts)
    return None


def test_every_sentence_about_packages_is_translated() -> None:
    from django.utils.translation import override

    found = set(sentences())
    assert len(found) > 20
    with override("fr"):
        assert sorted(said for said in found if translated_sentence(said) == said) == []
