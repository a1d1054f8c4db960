"""A record as a line on a terminal."""

from __future__ import annotations

import json

from audit.cli.lines import text_line
from audit.index.mapping import row_of


def test_an_outcome_s_line_says_what_was_read() -> None:
    data = {"status": "ok", "columns_read": ["person.label", "person.yob"], "filters": ["person.yob >="], "x": ["y"]}
    line = text_line(row_of(3, json.dumps({"type": "query:outcome", "data": data}).encode()))
    assert "columns_read=person.label,person.yob  filters=person.yob >=" in line
    assert "tables_scanned" not in line


def test_lists_of_the_wrong_form_are_left_out() -> None:
    for data in ({"columns_read": "person"}, {"columns_read": [1]}, "text", ["columns_read"]):
        assert "columns_read" not in text_line(row_of(3, json.dumps({"type": "query:outcome", "data": data}).encode()))
