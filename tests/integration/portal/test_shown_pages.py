"""Archives of displayed output as auditors see them: which there are, until when, and whether they hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from portal_house import permit_text

from enclave.domain.events import EventType
from enclave.portal.actions import projects
from enclave.portal.models import User
from enclave.portal.record import record
from enclave.shown.sealing import Place, Shown, fingerprint, make_key, read_public_key, seal
from enclave.shown.writer import ArchiveFile

PROJECT = "kept-screens"
TODAY = datetime.now(UTC).date()
DAYS = [TODAY - timedelta(days=back) for back in (2, 1, 0)]


@pytest.fixture(scope="module")
def key(house: Any) -> str:
    """Three days of amelie's, each with a commitment in the log; its fingerprint."""
    ordered = "workspace: {archive_shown: true, archive_days: 400}\n"
    amelie = User.objects.get(username="amelie")
    projects.submit_application(amelie, permit_text(PROJECT) + ordered)
    house.settings.shown_key.write_bytes(make_key(None)[1])
    public = read_public_key(house.settings.shown_key)
    for day in DAYS:
        place = Place(PROJECT, "amelie", day.isoformat())
        path = place.path(house.settings.shown_dir)
        path.parent.mkdir(parents=True, exist_ok=True)
        file = ArchiveFile(path)
        for _ in range(3):
            file.append(f"{day}T10:00:00Z", fingerprint(public), seal(Shown("stream", "SECRET"), place, public))
        head = file.commit()
        file.close()
        record(
            EventType.SCREEN_SHOWN,
            amelie,
            project=PROJECT,
            counts={"archived": head.lines},
            data={"day": day.isoformat(), "archive": head.digest},
        )
    return fingerprint(public)


def test_auditors_see_that_they_exist_and_whether_they_hold_and_never_what_they_are(house: Any, key: str) -> None:
    victor = house.logged_in("victor")
    assert 'href="/audit/shown/"' in victor.get("/audit/").text
    listed = victor.words("/audit/shown/")
    for word in (PROJECT, DAYS[0].isoformat(), (DAYS[0] + timedelta(days=400)).isoformat(), "400 days", key):
        assert word in listed
    assert f"enclave shown read {PROJECT} USERNAME DAY --key archive.pem --by victor" in victor.words(
        f"/audit/shown/{PROJECT}/"
    )
    house.events()  # what was recorded is published
    page = victor.words(f"/audit/shown/{PROJECT}/?compare=1")
    assert "Every day is what the audit log says it was." in page and page.count("Holds") == 3

    folder = house.settings.shown_dir / PROJECT / "amelie"
    (folder / f"{DAYS[0]}.jsonl").unlink()
    changed = folder / f"{DAYS[1]}.jsonl"
    changed.write_bytes(b"".join(changed.read_bytes().splitlines(keepends=True)[1:]))
    page = victor.words(f"/audit/shown/{PROJECT}/?compare=1")
    assert "Something is missing or was changed." in page
    for word in ("The file is gone", "Changed or incomplete", "Holds"):
        assert page.count(word) == 1
    assert "SECRET" not in page
    assert len(house.events(EventType.SHOWN_ARCHIVE_LISTED)) == 4


def test_in_french_and_for_nobody_else(house: Any, key: str) -> None:
    diane = house.logged_in("diane")
    page = diane.get(f"/audit/shown/{PROJECT}/?compare=1", headers={"Accept-Language": "fr"}).text
    assert "Face au journal d’audit" in page and "empreintes du journal" in page
    assert "jours" in diane.get("/audit/shown/", headers={"Accept-Language": "fr"}).text
    home = diane.get("/", headers={"Accept-Language": "fr"}).text
    assert 'href="/audit/shown/"' in home and "Archives de l’écran" in home, "her way to it"
    assert 'href="/audit/"' not in diane.get("/audit/shown/").text, "the log itself is not hers to read"
    assert 'href="/audit/"' in house.logged_in("victor").get("/audit/shown/").text
    for name in ("ines", "amelie", "sofia"):
        assert house.logged_in(name).get("/audit/shown/").status_code == 403
    assert house.logged_in("victor").get("/audit/shown/never-was/").status_code == 404
