"""The access files: what is written is what is read, and a change is seen at the next call."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from enclave.access import AccessFiles
from enclave.domain.ids import ExtractVersion, PersonId, ProjectId, Username
from enclave.domain.people import Person, Role
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.settings import Settings

AMELIE = Person(PersonId("u-000000000001"), Username("amelie"), frozenset({Role.RESEARCHER}))
HEART = ProjectRecord(
    id=ProjectId("heart"),
    title="Hearts",
    state=ProjectState.ACTIVE,
    extract_version=ExtractVersion("v1"),
    permit_sha256="0" * 64,
    expires_on=date(2030, 1, 1),
    members=frozenset({AMELIE.id}),
)


@pytest.fixture
def files(tmp_path: Path) -> AccessFiles:
    return AccessFiles(Settings(home=tmp_path))


def test_nobody_and_nothing_before_the_first_write(files: AccessFiles) -> None:
    assert files.people() == {}
    assert files.projects() == []
    assert files.project(ProjectId("heart")) is None


def test_a_person_is_read_back_as_written(files: AccessFiles) -> None:
    files.write_people([AMELIE])
    assert files.find_person(AMELIE.id) == AMELIE


def test_a_project_is_read_back_as_written(files: AccessFiles) -> None:
    files.write_project(HEART)
    assert files.project(HEART.id) == HEART
    assert files.projects() == ["heart"]


def test_a_revocation_is_seen_at_the_next_call(files: AccessFiles, tmp_path: Path) -> None:
    files.write_people([AMELIE])
    assert AMELIE.id in files.people()
    revoked = Person(AMELIE.id, AMELIE.username, AMELIE.roles, active=False, tokens_valid_from=99)
    AccessFiles(Settings(home=tmp_path)).write_people([revoked])
    assert files.find_person(AMELIE.id) == revoked


@pytest.mark.parametrize("name", ["../heart", "HEART", "a", "", "heart/..", "h" * 40])
def test_a_project_id_is_never_a_path(files: AccessFiles, name: str) -> None:
    files.write_project(HEART)
    assert files.project(ProjectId(name)) is None


@pytest.mark.parametrize(
    "content",
    [
        *("{", "[]", "1", "null", '{"u-1": []}', '{"u-1": {"username": "x"}}', "[" * 90_000),
        '{"u-1": {"username": "x", "roles": [], "active": true, "tokens_valid_from": Infinity}, "extract_version": ""}',
    ],
)
def test_a_file_of_another_form_is_no_empty_one(files: AccessFiles, tmp_path: Path, content: str) -> None:
    """Whoever decides by it refuses then, and does so for one kind of error, whatever is wrong with the file."""
    files.write_people([AMELIE])
    files.write_project(HEART)
    for name in ("access/people.json", "projects/heart/project.json"):
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError):
        files.people()
    with pytest.raises(ValueError):
        files.project(HEART.id)
