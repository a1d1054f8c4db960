"""Frames of all three forms are read as the browser reads them, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_messages import FORMS, V1, frame, message, protocol_of  # type: ignore[import-not-found]

from enclave.edge.account import Account
from enclave.edge.exposure import Budget
from enclave.edge.kernel_frames import encode_frame, parse_frame, sentence_message
from enclave.edge.shown import Screen


class UnsafeNoPace:
    """A meter that never waits."""

    archive = None

    async def pace(self, account: Account, size: int) -> None:
        return None


async def clean_frame(data: str | bytes, protocol: str | None) -> Sequence[str | bytes]:
    account = Account("p", "u", Path("/nowhere"), lambda: date(2026, 1, 1), lambda: Budget(10**9, 10**9))
    meter: Any = UnsafeNoPace()
    return await Screen(meter, account, "en").frame(data, protocol)


@pytest.mark.parametrize("form", FORMS)
def test_a_message_is_read_and_written_again(form: str) -> None:
    buffers = () if form == "text" else (b"abc", b"", b"\x00\xff")
    given_message = message("display_data", {"data": {"text/plain": "é"}})
    read = parse_frame(frame(given_message, form, buffers), protocol_of(form))
    assert read is not None
    assert (read.msg_type, read.parent_id, read.buffers) == ("display_data", "request-1", buffers)
    again = parse_frame(encode_frame(read), protocol_of(form))
    assert again == read


@pytest.mark.parametrize("form", FORMS)
def test_html_is_cleaned_on_the_way(form: str) -> None:
    shown = message("display_data", {"data": {"text/html": "<link rel=prefetch href=//x><b>y</b>"}, "metadata": {}})
    (passed,) = asyncio.run(clean_frame(frame(shown, form), protocol_of(form)))
    read = parse_frame(passed, protocol_of(form))
    assert read is not None and read.content["data"] == {"text/html": "<b>y</b>"}


@pytest.mark.parametrize("escape", ["\\u002f", "\\/", "/"])
def test_a_type_written_with_escapes_is_found(escape: str) -> None:
    text = str(frame(message("display_data", {"data": {"text/html": "<meta>"}}), "text")).replace("/", escape)
    (passed,) = asyncio.run(clean_frame(text, None))
    assert "meta>" not in str(passed)


@pytest.mark.parametrize(
    ("data", "protocol"),
    [
        ("", None),
        ("[]", None),
        ('{"header": 1}', None),
        ("{" * 2000, None),
        (b"", V1),
        (b"\xff" * 64, V1),
        (b"\x00" * 64, V1),
        (b"\x00" * 64, None),
        ((1).to_bytes(8, "little") + (16).to_bytes(8, "little"), V1),
        (frame(message("status", {}), "v1-binary") + b"x", V1),  # type: ignore[operator]
        (frame(message("status", {}), "v1-binary")[:-1], V1),
        (frame(message("status", {}), "v1-binary"), None),
        (frame(message("status", {}), "old-binary"), V1),
    ],
)
def test_what_cannot_be_read_does_not_go_on(data: str | bytes, protocol: str | None) -> None:
    assert parse_frame(data, protocol) is None
    assert list(asyncio.run(clean_frame(data, protocol))) == []


def test_deep_nesting_does_not_go_on() -> None:
    deep = str(frame(message("comm_msg", {"data": 0}), "text")).replace(
        '"data": 0', '"data": ' + "[" * 1000 + "]" * 1000
    )
    assert list(asyncio.run(clean_frame(deep.replace("iopub", "a/b"), None))) == []


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([V1, None]))
def test_random_bytes_never_raise(data: bytes, protocol: str | None) -> None:
    asyncio.run(clean_frame(data, protocol))


@pytest.mark.parametrize("form", FORMS)
def test_the_edges_own_words_answer_the_same_cell(form: str) -> None:
    asked = parse_frame(frame(message("stream", {"name": "stdout", "text": "x"}), form), protocol_of(form))
    assert asked is not None
    said = parse_frame(encode_frame(sentence_message(asked, "No.")), protocol_of(form))
    assert said is not None
    assert (said.msg_type, said.parent_id, said.content) == ("stream", "request-1", {"name": "stderr", "text": "No.\n"})
