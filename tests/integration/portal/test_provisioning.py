"""The first admin and the first data set, from the machine: ``enclave person`` and ``enclave dataset``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.domain.source_outline import OutlinedColumn, OutlinedTable
from enclave.extracts.producer import read_dataset
from enclave.portal.actions.datasets import put_in_catalogue
from enclave.portal.models import Dataset, User
from enclave.portal.provision_datasets import register_source

ENCLAVE = Path(sys.executable).with_name("enclave")


def _enclave(home: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ENCLAVE_")}
    return subprocess.run(
        [ENCLAVE, *arguments],
        env={**kept, "ENCLAVE_HOME": str(home)},
        cwd=home,  # where no enclave.toml is
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DuckDB file, an empty one, a text, and lists of opt-outs, one of them of another form."""
    folder = tmp_path_factory.mktemp("warehouse")
    with duckdb.connect(str(folder / "hips.duckdb")) as connection:
        connection.execute("CREATE TABLE person AS SELECT i AS person_id FROM range(20) t(i)")
        connection.execute("CREATE TABLE fracture AS SELECT i AS person_id, 'hip' AS place FROM range(20) t(i)")
    duckdb.connect(str(folder / "empty.duckdb")).close()
    (folder / "notes.duckdb").write_text("no database")
    (folder / "opt-outs.csv").write_text("person_id\n3\n5\n")
    (folder / "two-columns.csv").write_text("person_id,name\n3,x\n")
    return folder


def test_the_first_admin_and_the_first_data_set(house: Any, warehouse: Path) -> None:
    home = house.settings.root
    made = _enclave(home, "person", "create", "ines-first", "--name", "Inès Martin", "--role", "admin")
    assert made.returncode == 0, made.stderr
    password = re.search(r"First password, shown only here: (\S+)", made.stdout)
    assert password
    user = User.objects.get(username="ines-first")
    assert user.check_password(password[1])
    assert (user.display_name, user.roles) == ("Inès Martin", ["admin"])
    record = next(e for e in house.events(EventType.PERSON_CREATED) if e["subject"] == user.person_id)
    assert record["data"]["roles"] == ["admin"]
    assert password[1] not in str(house.events())

    source, refused = warehouse / "hips.duckdb", warehouse / "opt-outs.csv"
    registered = _enclave(
        home, "dataset", "register", "hips", "2026-1", "-", "--title", "Hips since 2010", "--opt-outs", str(refused),
        given=f"{source}\n",
    )  # fmt: skip
    assert registered.returncode == 0, registered.stderr
    assert "hips 2026-1: duckdb, 2 tables: fracture, person" in registered.stdout
    assert "Opt-outs: 2" in registered.stdout
    assert read_dataset(house.settings, "hips").source == str(source)
    assert _enclave(home, "dataset", "list").stdout.splitlines()[-1] == "hips\t2026-1\tduckdb\tHips since 2010"


def test_nothing_without_a_running_enclave(tmp_path: Path) -> None:
    made = _enclave(tmp_path, "person", "create", "ines", "--name", "Inès", "--role", "admin")
    assert made.returncode == 1
    assert "Refused: Expected a running enclave on" in made.stderr
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True)
class Bad:
    """Arguments of ``register_source`` that differ from good ones, and the beginning of the refusal."""

    says: str
    name: str = "knees"
    version: str = "2026-1"
    source: str = "hips.duckdb"
    title: str = "Knees"
    opt_outs: str | None = None


BAD = [
    Bad("Expected a name of 2 to 41", name="../knees"),
    Bad("Expected a name of 2 to 41", name="Knees"),
    Bad("Expected a version of", version="2026/1"),
    Bad("Expected a title", title="  "),
    Bad("Expected a readable source at gone.duckdb", source="gone.duckdb"),
    Bad("Expected a DuckDB file at notes.duckdb", source="notes.duckdb"),
    Bad("Expected tables in the source, found none", source="empty.duckdb"),
    Bad("Expected the opt-out list gone.csv", opt_outs="gone.csv"),
    Bad("Expected one column with a header in two-columns.csv", opt_outs="two-columns.csv"),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.says[:40]}-{bad.name}")
def test_what_is_refused_is_recorded_and_changes_nothing(house: Any, warehouse: Path, bad: Bad) -> None:
    before = len(house.events(EventType.ACTION_REFUSED))
    lists = warehouse / bad.opt_outs if bad.opt_outs else None
    with pytest.raises(RefusedError, match=re.escape(bad.says)):
        register_source(bad.name, bad.version, str(warehouse / bad.source), bad.title, lists)
    assert len(house.events(EventType.ACTION_REFUSED)) == before + 1
    assert not Dataset.objects.filter(name=bad.name).exists()
    assert not (house.settings.producer_dir / "datasets" / f"{bad.name}.yaml").exists()


def test_the_catalogue_is_shown_to_people_with_an_account(house: Any) -> None:
    stay = OutlinedTable("stay", (OutlinedColumn("person_id", "BIGINT"), OutlinedColumn("came", "DATE")))
    put_in_catalogue("hip-registry", "2026-2", "Fractures of the hip since 2010", "postgresql", (stay,))
    karim = house.logged_in("karim")
    page = karim.words("/datasets/")
    assert all(words in page for words in ("hip-registry", "2026-2", "Fractures of the hip since 2010"))
    page = karim.words("/datasets/hip-registry/2026-2/")
    assert all(words in page for words in ("1 table", "stay", "2 columns", "person_id", "BIGINT", "came", "DATE"))
    draft = karim.get("/datasets/hip-registry/2026-2/permit.yaml")
    assert draft.headers["content-disposition"] == 'attachment; filename="hip-registry-permit.yaml"'
    assert "#      came: shift-date  # DATE" in draft.text
    assert karim.get("/datasets/hip-registry/2027-1/").status_code == 404
    assert house.browser().get("/datasets/hip-registry/2026-2/").headers["location"].startswith("/accounts/login/")
    assert house.events(EventType.DATASET_REGISTERED)[-1]["subject"] == "hip-registry@2026-2"
    assert house.browser().get("/datasets/").headers["location"].startswith("/accounts/login/")
