"""A permit and an extract for it, as the extract builder writes them. Imported as ``enclave_test_extract``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import duckdb

PERMIT = """permit: 1
project: {project}
title: A study
purpose: Test the gateway.
legal_basis: Regulation (EU) 2025/327 (EHDS), article 53(1)(e)
dataset: {{name: sample, version: "1"}}
people: {{researchers: [alice]}}
expires_on: 2099-12-31
pseudonyms: {{domain: {project}}}
dates: {{shift_days: 30}}
tables:
  person:
    person: person_id
    columns: {{person_id: person-pseudonym}}
caps:
  {{rows: {rows}, bytes: {bytes}, rows_per_day: {rows}0, bytes_per_day: {bytes}0, seconds: {seconds},
   statement_characters: {characters}}}
"""

SAMPLE_SQL = (
    "CREATE TABLE person AS SELECT i::BIGINT AS person_id, 'name-' || i AS label, 1950 + i % 60 AS year_of_birth,"
    " DATE '2020-01-01' + (i % 700)::INTEGER AS seen_on FROM range(1000) r(i)",
    "CREATE TYPE sex AS ENUM ('F', 'M')",
    "CREATE TABLE visit AS SELECT i AS visit_id, i % 1000 AS person_id, (['F', 'M'])[1 + i % 2]::sex AS sex"
    " FROM range(5000) r(i)",
)


def build_extract(folder: Path, project: str, statements: tuple[str, ...], permit_sha256: str) -> None:
    """A DuckDB extract with its manifest, as the extract builder writes them."""
    folder.mkdir(parents=True)
    file = folder / "extract.duckdb"
    connection = duckdb.connect(str(file))
    for statement in statements:
        connection.execute(statement)
    tables = []
    for (name,) in connection.execute("SELECT table_name FROM information_schema.tables").fetchall():
        described = connection.execute(f'DESCRIBE "{name}"').fetchall()
        rows = connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()
        tables.append(
            {
                "name": name,
                "rows": rows[0] if rows else 0,
                "source_rows": rows[0] if rows else 0,
                "columns": [{"name": r[0], "type": r[1], "treatment": "keep"} for r in described],
                "person": None,
                "dropped_columns": [],
                "dropped_rows_filter": 0,
                "dropped_rows_opt_out": 0,
                "dropped_rows_no_person": 0,
            }
        )
    connection.close()
    file.chmod(0o444)
    manifest = {
        "project": project,
        "extract_version": folder.name,
        "dataset": "sample",
        "dataset_version": "1",
        "permit_sha256": permit_sha256,
        "built_at": "2026-01-01T00:00:00Z",
        "source_kind": "duckdb",
        "people": 1000,
        "opt_outs_listed": 0,
        "opt_outs_matched": 0,
        "date_shift_days": 30,
        "tables": tables,
        "dropped_tables": [],
        "files": [
            {
                "path": file.name,
                "sha256": sha256_of(file),
                "bytes": file.stat().st_size,
            }
        ],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def sha256_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
