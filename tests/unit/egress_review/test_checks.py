"""The disclosure checks on files as researchers really write them: what is found, where, and what is left alone."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from egress_review.cli import app
from egress_review.domain.findings import Finding, Location, Severity
from egress_review.sdc import run_checks
from egress_review.sdc.tables import find_integer
from enclave.domain.manifest import Manifest, ManifestColumn, ManifestTable
from enclave.domain.permits import OutputRules, Treatment

MANIFEST = Manifest(
    project="gut-study", extract_version="v1", dataset="gibleed", dataset_version="1", permit_sha256="0" * 64,
    built_at="2026-01-01T00:00:00Z", source_kind="duckdb", people=2694, opt_outs_listed=0, opt_outs_matched=0,
    date_shift_days=0, dropped_tables=(), files=(),
    tables=(ManifestTable(
        name="person", rows=2694, source_rows=2694, person="person_id", dropped_columns=(), dropped_rows_filter=0,
        dropped_rows_opt_out=0, dropped_rows_no_person=0,
        columns=tuple(ManifestColumn(name=n, type="VARCHAR", treatment=t) for n, t in (
            ("person_id", Treatment.PERSON_PSEUDONYM), ("visit_id", Treatment.PSEUDONYM),
            ("year_of_birth", Treatment.BAND), ("gender", Treatment.KEEP)))),),
)  # fmt: skip


def found(name: str, text: str, check: str, manifest: Manifest | None = MANIFEST) -> list[Finding]:
    findings = run_checks({name: text.encode()}, OutputRules(), manifest)
    return [finding for finding in findings if finding.check == check]


def places(name: str, text: str, severity: Severity = Severity.BLOCKING) -> list[tuple[int | None, int | None]]:
    hits = [f for f in found(name, text, "small-count") if f.severity is severity]
    return [(f.location.line, f.location.column) for f in hits]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sex,n_patients\nF,1373\nM,4\n", [(3, 2)]),
        ("sex;effectif\nF;10\nM;11\n", [(2, 2)]),
        ("sex\tcount\nF\t1\nM\t0\n", [(2, 2)]),
        ("sex,n\nF,5.0\nM,NaN\n", [(2, 2)]),
        ('sex,patientCount\nF,"1,234"\nM,7\n', [(3, 2)]),
        ('"sex, at birth",n\n"F",3\n', [(2, 2)]),
        ('label,n\n"two\nlines",3\n', [(3, 2)]),
        ("year,F,M\n2020,5,12\n2021,14,33\n", [(2, 2)]),
        ("sex,deaths_per_month\nF,3\n", []),
        ("sex,mean_age\nF,3.2\nM,5.1\n", []),
        ("age,year\n5,3\n", []),
        ("sex,n\nF,<11\nM,200\n", []),
        ("", []),
        ("n\n", []),
    ],
)
def test_small_counts_in_csv(text: str, expected: list[tuple[int, int]]) -> None:
    assert places("t.csv", text) == expected


def test_a_single_column_of_small_whole_numbers_is_a_warning() -> None:
    assert places("t.csv", "sex,grade\nF,3\nM,5\n") == []
    assert places("t.csv", "sex,grade\nF,3\nM,5\n", Severity.WARNING) == [(2, 2), (3, 2)]
    assert places("t.csv", "sex,deaths_per_month\nF,3\n", Severity.WARNING) == [(2, 2)]


def test_the_threshold_is_the_permits() -> None:
    rules = OutputRules(minimum_count=5)
    assert run_checks({"t.csv": b"sex,n\nF,5\n"}, rules, None) == ()
    assert len(run_checks({"t.csv": b"sex,n\nF,4\n"}, rules, None)) == 1


@pytest.mark.parametrize(
    ("text", "hidden_at"),
    [
        ("sex,n\nF,20\nM,\ntotal,25\n", 3),
        ("sex,n\nF,20\nM,<11\nTotal,25\n", 3),
        ("sex,n\nF,*\nM,20\nEnsemble,22\n", 2),
        ("sex,n\nF,20\nM,\ntotal,400\n", None),
        ("sex,n\nF,\nM,\ntotal,25\n", None),
        ("sex,n\nF,20\nM,\n", None),
    ],
)
def test_a_hidden_cell_beside_a_total(text: str, hidden_at: int | None) -> None:
    assert [f.location.line for f in found("t.csv", text, "subtraction")] == ([hidden_at] if hidden_at else [])


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("t.md", "# Result\n\n| sex | n |\n|---|---|\n| F | 12 |\n| M | 3 |\n", 6),
        ("t.txt", "gender\nF    1373\nM       3\nName: count, dtype: int64\n", 3),
        ("t.txt", "    drug    n\n0   coxib  841\n1   other   6\n", 3),
        ("t.json", '{"n": 4}', 1),
        ("t.json", '[{"sex": "F", "n": 40}, {"sex": "M", "n": 4}]', 2),
    ],
)
def test_small_counts_in_other_texts(name: str, text: str, line: int) -> None:
    assert line in [place[0] for place in places(name, text)]


def notebook(**data: str) -> str:
    outputs = [{"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": data}]
    cell = {"cell_type": "code", "id": "a", "source": "df", "metadata": {}, "execution_count": 1, "outputs": outputs}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]})


def test_small_counts_in_a_data_frame_of_a_notebook() -> None:
    html = ("<div><style scoped>.dataframe tbody {}</style><table border='1' class=\"dataframe\"><thead><tr><th></th>"
            "<th>sex</th><th>n</th></tr></thead><tbody><tr><th>0</th><td>F</td><td>841</td></tr>"
            "<tr><th>1</th><td>M</td><td>6</td></tr></tbody></table></div>")  # fmt: skip
    hits = found("a.ipynb", notebook(**{"text/html": html}), "small-count")
    assert [(f.location, f.severity) for f in hits] == [(Location(3, 3, 1, 1), Severity.BLOCKING)]
    pivot = (
        html.replace(">sex<", ">F<").replace(">n<", ">M<").replace(">F</td>", ">77</td>").replace(">M</td>", ">5</td>")
    )
    assert len(found("a.ipynb", notebook(**{"text/html": pivot}), "small-count")) == 2


def test_html_and_text_of_the_same_data_frame_are_one_finding() -> None:
    html = "<table><thead><tr><th></th><th>n</th></tr></thead><tr><th>F</th><td>6</td></tr></table>"
    both = notebook(**{"text/html": html, "text/plain": "   n\nF  6"})
    assert len(found("a.ipynb", both, "small-count")) == 1


def test_a_clean_notebook_has_only_remarks() -> None:
    content = notebook(**{"text/plain": "sex    n\nF    841\nM    766\n"})
    assert run_checks({"a.ipynb": content.encode()}, OutputRules(), MANIFEST) == ()


def test_pictures_need_eyes() -> None:
    tiny = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
    findings = run_checks({"a.ipynb": notebook(**{"image/png": tiny}).encode()},
                          OutputRules(), None)  # fmt: skip
    assert [(f.check, f.severity) for f in findings] == [("picture", Severity.INFO)]


def test_pseudonym_columns_come_from_the_manifest() -> None:
    text = "Person_ID,x\n1,2.5\n"
    hits = found("t.csv", text, "pseudonym-column")
    assert [f.location.column for f in hits] == [1]
    assert found("t.csv", text, "pseudonym-column", None) == []
    assert found("q.ipynb", notebook(**{"text/plain": "SELECT person_id FROM person"}), "pseudonym-column") == []


def test_rows_of_single_people() -> None:
    rows = "".join(f"{1950 + n % 50},{n % 2},{n}.5\n" for n in range(5))
    hits = found("t.csv", "year_of_birth,gender,visit_id\n" + rows, "row-level")
    assert [f.severity for f in hits] == [Severity.BLOCKING]
    listing = "code,label\n" + "".join(f"K{n},bleeding {n}\n" for n in range(60))
    assert [f.severity for f in found("t.csv", listing, "row-level")] == [Severity.WARNING]
    counted = "code,n\n" + "".join(f"K{n},{n + 20}\n" for n in range(60))
    assert found("t.csv", counted, "row-level") == []
    measures = "x,y\n" + "".join(f"{n}.25,{n}.5\n" for n in range(60))
    assert found("t.csv", measures, "row-level") == []


@pytest.mark.parametrize(
    ("text", "number"),
    [("5", 5), (" 7 ", 7), ("5.0", 5), ("1,234", 1234), ("1\u202f234", 1234), ("1 234", 1234), ("-3", None), ("", None),
     ("3.5", None), ("1,23", None), ("\uff15", 5), ("1e3", None), ("9" * 40, None)],
)  # fmt: skip
def test_integers_as_people_write_them(text: str, number: int | None) -> None:
    assert find_integer(text) == number


def test_command_line(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("out")
    (folder / "good.csv").write_text("sex,n\nF,50\n")
    (folder / "small.csv").write_text("sex,n\nF,15\n")
    run = CliRunner().invoke
    assert run(app, ["check", str(folder)]).exit_code == 0
    strict = run(app, ["check", str(folder), "--profile", "strict", "--json"])
    assert strict.exit_code == 1
    (finding,) = json.loads(strict.stdout)["findings"]
    assert (finding["check"], finding["severity"], finding["line"]) == ("small-count", "blocking", 2)
    assert run(app, ["check", str(folder / "none.csv")]).exit_code == 2
    assert run(app, ["check", str(folder), "--profile", "../x"]).exit_code == 2
    monkeypatch.setenv("PATH", "/nowhere")
    without = run(app, ["check", str(folder)])
    assert (without.exit_code, "No sandbox can be made" in without.stderr) == (2, True)
