"""The starter notebook runs top to bottom in the real image and sandbox, on full, odd and empty extracts.

The gateway is replaced by ``unsafe_test_client.py``: the same functions over an in-memory DuckDB, with no safeguard.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import nbformat
import pytest

from enclave.domain.permits import Treatment
from enclave.sandbox import Bind, SandboxProfile, popen
from enclave.settings import Settings
from enclave.workspaces import launch
from enclave.workspaces.starter import build_starter

CLIENT = """
import duckdb

_connection = duckdb.connect()
for _statement in {statements!r}:
    _connection.execute(_statement)
asked = []


class _Result:
    def __init__(self, table):
        self._table = table

    def df(self):
        return self._table.to_pandas()


def sql(query, params=None):
    return _Result(_connection.execute(query, params or []).to_arrow_table())


def tables():
    return _connection.execute("SHOW TABLES").fetchall()


def project():
    return "Test"


def request_release(files, *, title, context):
    from pathlib import Path

    assert files and title and context and "{{" not in context
    assert all((Path.home() / "outbox" / name).stat().st_size for name in files)
    asked.append(files)
    return len(files)
"""
FULL = [
    "CREATE TABLE person AS SELECT 'p' || i AS person_id, "
    "CASE i % 3 WHEN 0 THEN 'F' ELSE 'M' END AS gender FROM range(100) t(i)",
    'CREATE TABLE "odd ""name""\'s\\" AS SELECT \'v\' || (i % 3) AS "odd ""column""" FROM range(50) t(i)',
    "CREATE TABLE empty (person_id VARCHAR, x VARCHAR)",
]


def _unit() -> Any:
    path = Path(__file__).parents[2] / "unit" / "workspaces" / "test_starter.py"
    spec = importlib.util.spec_from_file_location("starter_tables", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


UNIT = _unit()
SMALL_PERSON = UNIT.table(
    "person",
    100,
    "person_id",
    ("person_id", "VARCHAR", Treatment.PERSON_PSEUDONYM),
    ("gender", "VARCHAR", Treatment.KEEP),
)
CASES = {
    "people": ((SMALL_PERSON,), ["first-distribution.csv", "first-distribution.png"], "value,n\nM,66\nF,34\n"),
    "no person table": ((UNIT.ODD,), ["first-distribution.csv", "first-distribution.png"], None),
    "all tables empty": ((UNIT.EMPTY,), ["first-distribution.csv"], None),
    "everything": ((UNIT.EMPTY, UNIT.ODD, SMALL_PERSON), ["first-distribution.csv", "first-distribution.png"], None),
}


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("case", CASES)
def test_it_runs_top_to_bottom(case: str, language: str, tmp_path: Path) -> None:
    tables, files, csv = CASES[case]
    notebook = nbformat.reads(build_starter(UNIT.manifest(*tables), UNIT.PERMIT, language), as_version=4)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    library = tmp_path / "library"
    library.mkdir()
    (library / "enclave_client.py").write_text(CLIENT.format(statements=FULL))
    (library / "run.py").write_text(
        "import json, os\nos.environ['MPLBACKEND'] = 'Agg'\nspace = {}\n"
        f"for cell in json.loads({json.dumps(json.dumps(cells))}):\n    exec(compile(cell, 'cell', 'exec'), space)\n"
        "print(space['request'])\n"
    )
    home = tmp_path / "home"
    (home / "outbox").mkdir(parents=True)
    settings = Settings(home=tmp_path)
    site = Path(duckdb.__file__).parent.parent
    natives = [Bind(found, Path("/opt/test") / found.name) for found in site.glob("*duckdb*")]
    profile = SandboxProfile(
        binds=(
            Bind(settings.image, Path("/opt/image")),
            Bind(launch.base_python(settings.image), Path("/opt/python")),
            Bind(library, Path("/opt/library")),
            Bind(home, launch.HOME, writable=True),
            *natives,
        ),
        env={"HOME": str(launch.HOME), "LD_LIBRARY_PATH": "/opt/python/lib", "PYTHONPATH": "/opt/library:/opt/test"},
        uid=os.getuid(),
    )
    argv = ["/opt/image/bin/python3.11", "/opt/library/run.py"]
    process = popen(profile, argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()[-2000:]
    assert out.decode().splitlines()[-1] == str(len(files))
    assert sorted(path.name for path in (home / "outbox").iterdir()) == files
    if csv is not None:
        assert (home / "outbox" / "first-distribution.csv").read_text() == csv
