"""The starter notebook is valid for any permit and never touches what a researcher put in the home."""

from __future__ import annotations

import ast
import errno
import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import nbformat
import pytest

from enclave.domain.ids import ProjectId, Username
from enclave.domain.manifest import Manifest, ManifestColumn, ManifestTable
from enclave.domain.permits import OutputRules, Permit, PermittedColumn, PermittedTable, Treatment, WorkspaceRules
from enclave.settings import Settings
from enclave.workspaces.launch import prepare_home
from enclave.workspaces.starter import NAME, build_starter, find_candidates, write_starter


def table(name: str, rows: int, person: str | None, *columns: tuple[str, str, Treatment]) -> ManifestTable:
    """A table of a manifest with nothing dropped."""
    return ManifestTable(
        name=name,
        rows=rows,
        source_rows=rows,
        columns=tuple(ManifestColumn(name=c, type=t, treatment=treatment) for c, t, treatment in columns),
        person=person,
        dropped_columns=(),
        dropped_rows_filter=0,
        dropped_rows_opt_out=0,
        dropped_rows_no_person=0,
    )


def manifest(*tables: ManifestTable) -> Manifest:
    return Manifest(
        project="gibleed-nsaids",
        extract_version="v1",
        dataset="gibleed",
        dataset_version="1",
        permit_sha256="0" * 64,
        built_at="2026-11-21T10:00:00Z",
        source_kind="duckdb",
        people=2694,
        opt_outs_listed=0,
        opt_outs_matched=0,
        date_shift_days=0,
        tables=tables,
        dropped_tables=(),
        files=(),
    )


PERMIT = Permit(
    project=ProjectId("gibleed-nsaids"),
    title="Bleeding and NSAIDs",
    purpose="x",
    legal_basis="x",
    researchers=(Username("alice"),),
    dataset="gibleed",
    dataset_version="1",
    tables=(PermittedTable("person", (PermittedColumn("person_id"),), "person_id"),),
    pseudonym_domain="d",
    date_shift_days=0,
    expires_on=date(2030, 1, 1),
    sha256="0" * 64,
    outputs=OutputRules(minimum_count=11),
)
PERSON = table(
    "person",
    2694,
    "person_id",
    ("person_id", "VARCHAR", Treatment.PERSON_PSEUDONYM),
    ("gender", "VARCHAR", Treatment.KEEP),
    ("birth", "DATE", Treatment.YEAR),
    ("visit", "BIGINT", Treatment.PSEUDONYM),
    ("seen", "TIMESTAMP", Treatment.SHIFT_DATE),
    ("weight", "DOUBLE", Treatment.BAND),
)
ODD = table('odd "name"\'s\\', 3, None, ('odd "column"', "VARCHAR", Treatment.KEEP))
EMPTY = table(
    "empty", 0, "person_id", ("person_id", "VARCHAR", Treatment.PERSON_PSEUDONYM), ("x", "VARCHAR", Treatment.KEEP)
)


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("tables", [(), (PERSON,), (PERSON, ODD, EMPTY), (EMPTY,), (ODD,)])
def test_it_is_a_valid_notebook_whose_cells_are_python(language: str, tables: tuple[ManifestTable, ...]) -> None:
    notebook = nbformat.reads(build_starter(manifest(*tables), PERMIT, language), as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            ast.parse(cell.source)


def test_dates_pseudonyms_and_empty_tables_are_never_counted_over() -> None:
    found = find_candidates(manifest(PERSON, ODD, EMPTY))
    assert [(c.table, c.columns) for c in found] == [("person", ("gender",)), (ODD.name, ('odd "column"',))]


def test_the_minimum_is_the_permits() -> None:
    code = "".join(c.source for c in nbformat.reads(build_starter(manifest(PERSON), PERMIT, "en"), as_version=4).cells)
    assert "minimum = 11" in code
    assert "request_release" in code


@pytest.mark.parametrize(("language", "words"), [("en", "is archived.**"), ("fr", "est archivé.**")])
def test_it_says_first_that_the_screen_is_archived_when_it_is(language: str, words: str) -> None:
    ordered = replace(PERMIT, workspace=WorkspaceRules(archive_shown=True, archive_days=400))
    told, untold = (nbformat.reads(build_starter(manifest(PERSON), p, language), 4).cells for p in (ordered, PERMIT))
    assert words in told[1].source and "400" in told[1].source
    assert not any(words in cell.source for cell in untold)


def test_an_existing_notebook_and_a_planted_link_stay_as_they_are(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    home = tmp_path / "home"
    home.mkdir()
    (home / NAME).symlink_to(target)
    assert not write_starter(home, manifest(PERSON), PERMIT, "en", os.getuid())
    assert not target.exists()
    (home / NAME).unlink()
    assert write_starter(home, manifest(PERSON), PERMIT, "en", os.getuid())
    (home / NAME).write_text("mine")
    assert not write_starter(home, manifest(PERSON), PERMIT, "en", os.getuid())
    assert (home / NAME).read_text() == "mine"


def test_a_full_disk_leaves_no_home_with_half_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, made = Settings(home=tmp_path), []

    def fill(home: Path) -> bool:
        made.append(home)
        return write_starter(home, manifest(PERSON), PERMIT, "en", os.geteuid())

    def prepare() -> Path:
        return prepare_home(settings, ProjectId("study"), Username("bob"), os.geteuid(), fill)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk, pytest.raises(OSError, match="No space left"):
        disk.setattr("enclave.workspaces.starter.os.fsync", full)
        prepare()
    assert not (settings.workspaces_dir / "study" / "bob").exists()
    home = prepare()
    assert nbformat.reads((home / NAME).read_text(), as_version=4).cells
    assert prepare() == home and len(made) == 2, "what is in a home that is there is its owner's"
