"""``start-here.ipynb``: a notebook that runs top to bottom on any project, from its permit and manifest alone.

It names no table that the permit does not name and shows no group under the permit's minimum. Which column the first
distribution is over is found when it runs, by SQL. Contract of ``write_starter``: never replaces a file, never follows
a link that a researcher may have put into the home. Non-goal: taking back what a full disk has cut off; a home that is
being made is never given out then (``enclave.workspaces.launch.prepare_home``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from enclave.domain.manifest import Manifest, ManifestTable
from enclave.domain.permits import Permit, Treatment
from enclave.workspaces.starter_texts import text

NAME = "start-here.ipynb"
_TABLES_TRIED = 12
_COLUMNS_TRIED = 12
_HIDDEN = frozenset({Treatment.PERSON_PSEUDONYM, Treatment.PSEUDONYM, Treatment.SHIFT_DATE})
_PLAIN_TYPES = (
    "VARCHAR",
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "ENUM",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
)


@dataclass(frozen=True)
class Candidate:
    """A table and the columns whose values may be counted; ``person`` None: rows are counted."""

    table: str
    person: str | None
    columns: tuple[str, ...]


def find_candidates(manifest: Manifest) -> tuple[Candidate, ...]:
    """Tables with rows, those about people first, smaller ones first; without dates, pseudonyms and nested values."""
    ranked = sorted((t for t in manifest.tables if t.rows > 0), key=lambda t: (t.person is None, t.rows, t.name))
    found = (Candidate(t.name, t.person, _countable(t)) for t in ranked)
    return tuple(c for c in found if c.columns)[:_TABLES_TRIED]


def _countable(table: ManifestTable) -> tuple[str, ...]:
    names = [
        column.name
        for column in table.columns
        if column.treatment not in _HIDDEN
        and column.name != table.person
        and column.type.upper().split("(")[0] in _PLAIN_TYPES
    ]
    # Concept and text columns first: an identifier-like number rarely makes a readable first table.
    return tuple(names[:_COLUMNS_TRIED])


def build_starter(manifest: Manifest, permit: Permit, language: str) -> str:
    """The notebook as JSON text."""
    minimum = permit.outputs.minimum_count
    cells = [
        new_markdown_cell(_opening(manifest, permit, language)),
        *_archive_cell(permit, language),
        new_code_cell("import enclave_client as enclave\n\nenclave.project()"),
        new_markdown_cell(text("tables", language)),
        new_code_cell("enclave.tables()"),
        new_markdown_cell(text("counts", language)),
        new_code_cell(_counts_code(manifest)),
        new_markdown_cell(text("distribution", language, minimum=minimum)),
        new_code_cell(_distribution_code(manifest, permit, language)),
        new_markdown_cell(text("plot", language)),
        new_code_cell(_plot_code(minimum, language)),
        new_markdown_cell(text("outbox", language)),
        new_code_cell(_OUTBOX_CODE),
        new_markdown_cell(text("release", language)),
        new_code_cell(_release_code(permit, language)),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"start-{number:02d}"
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})
    nbformat.validate(notebook)
    return str(nbformat.writes(notebook))


def _archive_cell(permit: Permit, language: str) -> list[NotebookNode]:
    """Said where the work begins, if what is shown is kept."""
    if not permit.workspace.archive_shown:
        return []
    return [new_markdown_cell(text("archived", language, days=permit.workspace.archive_days))]


def _opening(manifest: Manifest, permit: Permit, language: str) -> str:
    return text(
        "opening",
        language,
        title=permit.title,
        project=permit.project,
        version=manifest.extract_version,
        built=manifest.built_at[:10],
        people=f"{manifest.people:,}".replace(",", " "),
        tables=len(manifest.tables),
        expires=permit.expires_on.isoformat(),
        minimum=permit.outputs.minimum_count,
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _counts_code(manifest: Manifest) -> str:
    parts = [
        f"SELECT '{table.name.replace(chr(39), chr(39) * 2)}' AS name, count(*) AS n FROM {_quoted(table.name)}"  # noqa: S608  (quoted)
        for table in manifest.tables
    ]
    query = "\nUNION ALL ".join(parts) + "\nORDER BY n DESC, name"
    return f"counts = enclave.sql({_literal(query)}).df()\ncounts"


def _literal(query: str) -> str:
    """SQL as a readable Python literal: triple quotes unless the text has some itself or a backslash."""
    return repr(query) if '"""' in query or "\\" in query or query.endswith('"') else f'"""\n{query}\n"""'


_CHOOSING = '''candidates = {candidates!r}
minimum = {minimum}


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def choose():
    """The first column with 2 to 40 different values: table, person column, column."""
    for table, person, columns in candidates:
        parts = ", ".join(f"approx_count_distinct({{quoted(c)}}) AS n{{i}}" for i, c in enumerate(columns))
        distinct = enclave.sql(f"SELECT {{parts}} FROM {{quoted(table)}}").df().iloc[0]
        for column, n in zip(columns, distinct):
            if 2 <= n <= 40:
                return table, person, column
    return None


chosen = choose()
if chosen is None:
    print({nothing!r})
    what, unit = "table", {rows!r}
    distribution = counts[counts["n"] >= minimum].rename(columns={{"name": "value"}})
else:
    table, person, column = chosen
    what = f"{{table}}.{{column}}"
    unit = {people!r} if person else {rows!r}
    counted = f"count(DISTINCT {{quoted(person)}})" if person else "count(*)"
    distribution = enclave.sql(
        f"SELECT {{quoted(column)}} AS value, {{counted}} AS n FROM {{quoted(table)}} "
        f"WHERE {{quoted(column)}} IS NOT NULL GROUP BY ALL HAVING {{counted}} >= {{minimum}} ORDER BY n DESC, value"
    ).df()
    print(f"{{unit}}: {{what}}")
distribution'''


def _distribution_code(manifest: Manifest, permit: Permit, language: str) -> str:
    return _CHOOSING.format(
        candidates=[(c.table, c.person, list(c.columns)) for c in find_candidates(manifest)],
        minimum=permit.outputs.minimum_count,
        nothing=text("nothing", language),
        people=text("unit-people", language),
        rows=text("unit-rows", language),
    )


def _plot_code(minimum: int, language: str) -> str:
    return f"""import matplotlib.pyplot as plt

from pathlib import Path

outbox = Path.home() / "outbox"
outbox.mkdir(exist_ok=True)
files = []
if len(distribution):
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.barh(distribution["value"].astype(str), distribution["n"])
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.set_title(what)
    figure.savefig(outbox / "first-distribution.png", dpi=120)
    files.append("first-distribution.png")
else:
    print({text("no-groups", language, minimum=minimum)!r})"""


_OUTBOX_CODE = """distribution.to_csv(outbox / "first-distribution.csv", index=False)
files.insert(0, "first-distribution.csv")
files"""


def _release_code(permit: Permit, language: str) -> str:
    context = text(
        "request-context",
        language,
        unit="{unit}",
        what="{what}",
        project=permit.project,
        minimum=permit.outputs.minimum_count,
    )
    return (
        "request = enclave.request_release(\n    files,\n"
        f'    title={text("request-title", language)!r} + f" ({{what}})",\n'
        f"    context={context!r}.format(unit=unit, what=what),\n)"
    )


def write_starter(home: Path, manifest: Manifest, permit: Permit, language: str, uid: int) -> bool:
    """Write the notebook into ``home``, owned by ``uid``; False when the name is taken. Raises OSError."""
    content = build_starter(manifest, permit, language).encode()
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            made = os.open(NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        except FileExistsError:
            return False
        with os.fdopen(made, "wb") as file:
            if os.geteuid() == 0:
                os.fchown(file.fileno(), uid, uid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    finally:
        os.close(folder)
    return True
