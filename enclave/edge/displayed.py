"""What a message or a notebook may show: MIME bundles by a positive list, their markup cleaned. Pure.

A bundle is any JSON object with a MIME type among its keys, wherever it stands, so that a new kind of message is not a
way around. ``application/javascript`` is on no list: JupyterLab evaluates it, and the content policy must allow eval.
Non-goals: the text of code cells, and files that JupyterLab opens in an editor.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from enclave.edge.html_cleaning import clean_html, clean_markdown, clean_svg

NOT_SHOWN = (
    "This output has a type that workspaces do not show. Plots as PNG or SVG, tables, HTML without scripts, "
    "Markdown, LaTeX and JSON are shown."
)

MIME_TYPE = re.compile(r"\s*(text|image|application|audio|video|model|font|message|multipart|chemical)/", re.IGNORECASE)
_AS_IT_IS = re.compile(
    r"text/(plain|latex)|image/(png|jpeg|gif|webp|bmp)|application/(json|geo\+json|vnd\.[a-z0-9.-]+\+json)"
    r"|application/vnd\.jupyter\.(stdout|stderr|error)"
)
_CLEANED: dict[str, Callable[[str], str]] = {
    "text/html": clean_html,
    "text/markdown": clean_markdown,
    "image/svg+xml": clean_svg,
}


def clean_tree(value: Any) -> Any:
    """The same JSON value with every bundle in it cleaned; the argument is not changed."""
    if isinstance(value, dict):
        if any(MIME_TYPE.match(key) for key in value):
            return _clean_bundle(value)
        return {key: clean_tree(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [clean_tree(inner) for inner in value]
    return value


def _clean_bundle(bundle: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in bundle.items():
        if key in _CLEANED:
            kept |= _clean_markup(key, value)
        elif _AS_IT_IS.fullmatch(key) or not MIME_TYPE.match(key):
            kept[key] = value if isinstance(value, str) else clean_tree(value)
    return kept or {"text/plain": NOT_SHOWN}


def _clean_markup(key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {key: clean_tree(value)}  # metadata about a bundle, such as a size
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        value = "".join(value)
    cleaned = _CLEANED[key](value) if isinstance(value, str) else ""
    return {key: cleaned} if cleaned or value in ("", []) else {}


def clean_contents(model: Any) -> Any:
    """An answer of the contents API (Jupyter Server REST API, ``Contents``): notebooks' outputs and Markdown cleaned.

    A source file that JupyterLab can preview as Markdown is cleaned as Markdown; others are text in an editor.
    """
    if not isinstance(model, dict):
        return clean_tree(model)
    content = model.get("content")
    if isinstance(content, str):
        is_markdown = str(model.get("path", "")).lower().endswith((".md", ".markdown"))
        return {**model, "content": clean_markdown(content) if is_markdown else content}
    if isinstance(content, dict) and isinstance(content.get("cells"), list):
        cells = [_clean_cell(cell) for cell in content["cells"]]
        return {**model, "content": {**clean_tree({**content, "cells": []}), "cells": cells}}
    return clean_tree(model)


def _clean_cell(cell: Any) -> Any:
    cleaned = clean_tree(cell)
    if not isinstance(cleaned, dict) or cleaned.get("cell_type") != "markdown":
        return cleaned
    source = cleaned.get("source", "")
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    return {**cleaned, "source": clean_markdown(text)}
