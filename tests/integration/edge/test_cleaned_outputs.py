"""Outputs on their way through the real edge, over real sockets: messages in all forms, notebooks, odd encodings."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from kernel_messages import FORMS, frame, message, protocol_of  # type: ignore[import-not-found]
from stand_in_workspace import StandInWorkspace  # type: ignore[import-not-found]

from enclave.edge.kernel_frames import parse_frame

EVIL = "<link rel=dns-prefetch href=//outside.example><b>bold</b>"


@pytest.fixture(scope="module")
def workspace(edge: Any) -> Iterator[Any]:
    with StandInWorkspace(edge) as workspace:
        yield workspace


@pytest.mark.parametrize("form", FORMS)
def test_a_message_arrives_without_its_link(workspace: Any, form: str) -> None:
    unreadable: list[str | bytes] = ["not json", b"\x00\x01"]
    shown = message("display_data", {"data": {"text/html": EVIL, "text/plain": "bold"}, "metadata": {}})
    workspace.frames = [*unreadable, frame(shown, form, () if form == "text" else (b"\x01",))]
    (received,) = workspace.ask_kernel(1, v1=form == "v1-binary")
    read = parse_frame(received, protocol_of(form))
    assert read is not None
    assert read.content["data"] == {"text/html": "<b>bold</b>", "text/plain": "bold"}
    assert read.buffers == (() if form == "text" else (b"\x01",))


def test_a_notebook_is_opened_without_its_links(workspace: Any) -> None:
    cells = [{"cell_type": "code", "source": "1", "outputs": [{"data": {"text/html": EVIL}}]}]
    model = {"type": "notebook", "path": "a.ipynb", "content": {"cells": cells}}
    workspace.pages["/api/contents/a.ipynb"] = ("application/json", json.dumps(model).encode())
    answer = workspace.call("GET", "/api/contents/a.ipynb", params={"content": "1"})
    assert answer.status_code == 200
    assert answer.json()["content"]["cells"][0]["outputs"][0]["data"] == {"text/html": "<b>bold</b>"}


def test_an_answer_that_cannot_be_looked_into_does_not_pass(workspace: Any) -> None:
    workspace.pages["/api/contents/b.ipynb"] = ("application/json", b"<html>" + EVIL.encode())
    assert workspace.call("GET", "/api/contents/b.ipynb").status_code == 502
    seen = next(headers for path, headers in reversed(workspace.seen) if path.endswith("b.ipynb"))
    assert "Accept-Encoding" not in seen


def test_a_packed_answer_does_not_pass(workspace: Any) -> None:
    workspace.pages["/api/contents/c.ipynb"] = ("application/json", gzip.compress(b"{}"))
    workspace.packed = True
    try:
        assert workspace.call("GET", "/api/contents/c.ipynb").status_code == 502
    finally:
        workspace.packed = False
