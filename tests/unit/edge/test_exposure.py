"""How much counts as shown, and what follows from it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_messages import FORMS, frame, message, protocol_of  # type: ignore[import-not-found]

from enclave.edge.exposure import (
    OVERHEAD_PER_DAY,
    OVERHEAD_PER_MESSAGE,
    Budget,
    ExposureState,
    Volume,
    count_lines,
    count_rows,
    decide_state,
    measure_contents,
    measure_message,
)
from enclave.edge.kernel_frames import parse_frame
from enclave.edge.throttle import Throttle

TABLE = "<table>" + "<tr><td>1</td></tr>" * 5 + "</table>"
FILE = Volume(50, 2, 1)
CONTENTS: list[tuple[str, dict[str, Any], int]] = [
    ("stream", {"name": "stdout", "text": "a\nb\n\nc\n"}, 3),
    ("stream", {"name": "stdout", "text": "no end of line"}, 1),
    ("display_data", {"data": {"text/html": TABLE, "text/plain": "a\nb"}, "metadata": {}}, 5),
    ("display_data", {"data": {"text/html": TABLE.upper(), "text/plain": "x"}, "metadata": {}}, 5),
    ("display_data", {"data": {"text/html": ["<tr>", "<tr>"]}, "metadata": {}}, 2),
    ("execute_result", {"data": {"text/plain": "1\n2\n3"}, "metadata": {}, "execution_count": 1}, 3),
    ("update_display_data", {"data": {"application/json": [{"a": 1}] * 7}, "metadata": {}}, 7),
    ("display_data", {"data": {"application/vnd.plotly.v1+json": {"data": [{"x": list(range(9))}]}}}, 9),
    ("display_data", {"data": {"image/png": "iVBOR\nw0KG\n", "text/plain": "<Figure>"}, "metadata": {}}, 1),
    ("error", {"ename": "E", "evalue": "v", "traceback": ["line\nline", "line"]}, 3),
    ("comm_msg", {"comm_id": "c", "data": {"state": {"x": {"text/plain": "1\n2"}}}}, 2),
    ("comm_open", {"comm_id": "c", "target_name": "t", "data": {}}, 0),
    ("a-type-of-their-own", {"x": 1}, 0),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("kind", "content", "rows"), CONTENTS)
def test_outputs_count_with_every_byte(form: str, kind: str, content: dict[str, Any], rows: int) -> None:
    data = frame(message(kind, content), form)
    volume = measure_message(parse_frame(data, protocol_of(form)), len(data))
    assert volume == Volume(len(data), rows, 1, 0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["status", "execute_input", "execute_reply", "kernel_info_reply", "complete_reply"])
def test_messages_that_drive_the_notebook_count_above_an_allowance(form: str, kind: str) -> None:
    for filler in (0, 10_000):
        data = frame(message(kind, {"x": "y" * filler}), form)
        volume = measure_message(parse_frame(data, protocol_of(form)), len(data))
        assert volume.bytes == max(0, len(data) - OVERHEAD_PER_MESSAGE)
        assert volume.bytes + volume.overhead == len(data)


@given(st.binary(max_size=400) | st.text(max_size=400), st.sampled_from(FORMS))
def test_no_bytes_count_as_less_than_they_are(data: bytes | str, form: str) -> None:
    volume = measure_message(parse_frame(data, protocol_of(form)), len(data))
    assert volume.bytes + volume.overhead >= len(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.sampled_from(["stream", "display_data", "status", "execute_reply", "comm_msg", "", "Status"]),
    st.dictionaries(st.sampled_from(["data", "text", "name", "payload", "x"]), JSON, max_size=4),
    st.sampled_from(FORMS),
    st.lists(st.binary(max_size=50), max_size=3),
)
def test_no_frame_counts_as_less_than_it_is(kind: str, content: Any, form: str, buffers: list[bytes]) -> None:
    """Whatever a kernel puts into a message: every byte is in one of the two sums."""
    data = frame(message(kind, content), form, () if form == "text" else tuple(buffers))
    volume = measure_message(parse_frame(data, protocol_of(form)), len(data))
    assert volume.bytes + volume.overhead == len(data)
    assert volume.overhead <= OVERHEAD_PER_MESSAGE
    assert volume.rows >= (count_lines(content["text"]) if kind == "stream" and type(content.get("text")) is str else 0)


@pytest.mark.parametrize(
    ("model", "volume"),
    [
        ({"type": "directory", "content": [{"name": "a"}]}, Volume(overhead=50)),
        ({"type": "notebook", "content": None}, Volume(overhead=50)),
        ({"type": "file", "content": "a\nb"}, Volume(50, 2, 1)),
        ({"type": "file", "content": [{"name": "a"}]}, Volume(50, 0, 1)),
        (
            {"type": "notebook", "content": {"cells": [{"outputs": [{"data": {"text/plain": "1\n2"}}]}]}},
            Volume(50, 2, 1),
        ),
        ({"type": "notebook", "content": {"cells": [{"outputs": [{"text": ["1\n", "2\n"]}]}]}}, FILE),
    ],
)
def test_files_count_and_listings_are_overhead(model: Any, volume: Volume) -> None:
    assert measure_contents(model, 50) == volume


@pytest.mark.parametrize(
    ("shown", "state"),
    [
        (Volume(), ExposureState.OK),
        (Volume(799, 0), ExposureState.OK),
        (Volume(800, 0), ExposureState.WARNED),
        (Volume(1000, 10), ExposureState.WARNED),
        (Volume(1001, 0), ExposureState.SLOWED),
        (Volume(0, 11), ExposureState.SLOWED),
        (Volume(1499, 14), ExposureState.SLOWED),
        (Volume(1500, 0), ExposureState.STOPPED),
        (Volume(0, 15), ExposureState.STOPPED),
        (Volume(overhead=OVERHEAD_PER_DAY), ExposureState.OK),
        (Volume(overhead=OVERHEAD_PER_DAY + 1500), ExposureState.STOPPED),
    ],
)
def test_states_of_a_budget_of_1000_bytes_and_10_rows(shown: Volume, state: ExposureState) -> None:
    assert decide_state(shown, Budget(1000, 10)) is state


def test_rows_of_odd_values() -> None:
    assert count_rows(None) == count_rows("x\ny") == count_rows(3) == 0
    assert count_rows({"data": {"text/html": {"a": 1}, "text/plain": 3}}) == 0


def test_the_throttle_lets_a_burst_through_and_then_the_rate() -> None:
    throttle = Throttle(rate=100, burst=300)
    assert throttle.delay(300, 1000.0) == 0
    assert throttle.delay(100, 1000.0) == pytest.approx(1.0)
    assert throttle.delay(0, 1001.0) == 0
    assert throttle.delay(300, 1004.0) == 0
    assert Throttle(rate=100, burst=300).delay(1300, 5.0) == pytest.approx(10.0)
