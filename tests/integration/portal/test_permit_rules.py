"""A permit's rules on the pages of its project: in plain words, and without counts for those whose rows they hide."""

from __future__ import annotations

import json
import re
from typing import Any

from portal_house import permit_text

from enclave.domain.people import Role
from enclave.portal.actions import projects
from enclave.portal.models import User


def person(username: str) -> User:
    return User.objects.get(username=username)


RULES = """rules:
  - {people: [karim], table: person, columns: [year_of_birth], rows: "year_of_birth < 2000"}
"""


def write_manifest(house: Any, project: str) -> None:
    folder = house.settings.projects_dir / project / "extracts" / "v1"
    folder.mkdir(parents=True)
    table = {"name": "person", "rows": 777, "source_rows": 888, "person": "person_id"}
    dropped = {
        "dropped_columns": [],
        "dropped_rows_filter": 11,
        "dropped_rows_opt_out": 22,
        "dropped_rows_no_person": 0,
    }
    column = {"name": "year_of_birth", "type": "INTEGER", "treatment": "band"}
    texts = ("project", "extract_version", "dataset", "dataset_version", "permit_sha256", "built_at", "source_kind")
    numbers = ("people", "opt_outs_listed", "opt_outs_matched", "date_shift_days")
    manifest = {**dict.fromkeys(texts, "x"), **dict.fromkeys(numbers, 0), "dropped_tables": [], "files": []}
    (folder / "manifest.json").write_text(
        json.dumps({**manifest, "tables": [{**table, **dropped, "columns": [column]}]})
    )


def test_a_permit_s_rules_are_shown_and_hide_counts_from_those_they_name(house: Any) -> None:
    amelie, karim = house.logged_in("amelie"), house.logged_in("karim")
    projects.submit_application(person("amelie"), permit_text("ruled-one") + RULES)
    page = amelie.words("/projects/ruled-one/")
    assert "Narrower for some people" in page
    assert re.search("karim · person ?: only the columns year_of_birth ?; only rows with year_of_birth < 2000", page)
    french = amelie.get("/projects/ruled-one/", headers={"Accept-Language": "fr"}).text
    assert "Plus étroit pour certaines personnes" in french and "seulement les colonnes" in french
    projects.approve_project(person("sofia"), "ruled-one", Role.DATA_STEWARD)
    projects.approve_project(person("diane"), "ruled-one", Role.DATA_PROTECTION_OFFICER)
    projects.provision_project(person("ines"), "ruled-one")
    write_manifest(house, "ruled-one")
    projects.activate_project("ruled-one", "v1")
    assert "777" in amelie.words("/projects/ruled-one/")
    of_karim = karim.words("/projects/ruled-one/")
    assert "hidden by a rule" in of_karim and "777" not in of_karim and "888" not in of_karim
