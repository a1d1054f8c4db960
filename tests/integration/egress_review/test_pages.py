"""The pages: a researcher's markup never becomes the portal's, both languages, every route declared."""

from __future__ import annotations

import base64
import json
from contextlib import ExitStack
from typing import Any

import pytest
from django.core.management import call_command
from django.utils.translation import override as language
from egress_review_house import GOOD_CSV, SMALL_CSV

from egress_review.actions import reading
from egress_review.actions.check import check_outbox
from egress_review.actions.submit import submit
from egress_review.domain.snapshots import sha256
from egress_review.models import OutputRequest
from egress_review.parsing.helper import Helper
from egress_review.parsing.turns import Turns
from egress_review.vault import Vault
from egress_review.web.urls import urlpatterns
from enclave.domain.decisions import RefusedError
from enclave.portal.permissions import find_access

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"
NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {},
    "cells": [
        {"cell_type": "markdown", "id": "m", "metadata": {}, "source": f"# Title {EVIL}"},
        {
            "cell_type": "code",
            "id": "c",
            "metadata": {},
            "execution_count": 1,
            "source": "plot()",
            "outputs": [
                {
                    "output_type": "display_data",
                    "metadata": {},
                    "data": {
                        "text/html": f"<table><tr><td>{EVIL}cell</td></tr></table>",
                        "image/png": base64.b64encode(PNG).decode(),
                        "image/svg+xml": f"<svg xmlns='http://www.w3.org/2000/svg'>{EVIL}</svg>",
                        "application/javascript": "alert(3)",
                    },
                }
            ],
        },
    ],
}


@pytest.fixture(scope="module")
def hostile(house: Any) -> OutputRequest:
    house.put("a.csv", f'"{EVIL}",n\nx,50\n'.encode())
    house.put("b.ipynb", json.dumps(NOTEBOOK).encode())
    house.put("c.svg", f"<svg xmlns='http://www.w3.org/2000/svg'>{EVIL}</svg>".encode())
    house.put("d.md", EVIL.encode())
    house.put("e.png", PNG)
    house.put("f.png", b"<html>" + EVIL.encode())
    names = ["a.csv", "b.ipynb", "c.svg", "d.md", "e.png", "f.png"]
    row = submit(house.people["amelie"], house.project, names, f"Title {EVIL}", f"Context {EVIL}")
    return OutputRequest.objects.get(pk=row.pk)


def test_nothing_a_researcher_wrote_is_markup_of_the_portal(house: Any, hostile: OutputRequest) -> None:
    for username in ("sofia", "amelie"):
        page = house.client(username).get(f"/outputs/{hostile.pk}/").content.decode()
        assert "<script" not in page
        assert "onerror=alert" not in page.replace("onerror=alert(2)&gt;", "")
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    for username in ("sofia", "amelie", "victor"):
        assert "<script" not in house.client(username).get("/outputs/").content.decode()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("files/1/text", "text/plain; charset=utf-8"),
        ("files/2/text", "text/plain; charset=utf-8"),
        ("files/3/text", "text/plain; charset=utf-8"),
        ("files/3/picture", "image/svg+xml"),
        ("files/5/picture", "image/png"),
        ("files/2/cells/2/1/png", "image/png"),
        ("files/2/cells/2/1/svg+xml", "image/svg+xml"),
    ],
)
def test_bytes_go_out_locked_down(house: Any, hostile: OutputRequest, path: str, kind: str) -> None:
    answer = house.client("sofia").get(f"/outputs/{hostile.pk}/{path}")
    assert answer.status_code == 200
    assert answer["Content-Type"] == kind
    assert answer["X-Content-Type-Options"] == "nosniff"
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert house.client("amelie").get(f"/outputs/{hostile.pk}/{path}").status_code == 403
    assert house.client("victor").get(f"/outputs/{hostile.pk}/{path}").status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "files/6/picture",
        "files/1/picture",
        "files/2/cells/2/1/html",
        "files/2/cells/9/1/png",
        "files/5/cells/1/1/png",
    ],
)
def test_what_is_no_picture_is_not_served_as_one(house: Any, hostile: OutputRequest, path: str) -> None:
    assert house.client("sofia").get(f"/outputs/{hostile.pk}/{path}").status_code == 404


def test_every_view_of_bytes_is_recorded(house: Any, hostile: OutputRequest) -> None:
    def seen() -> int:
        return len([e for e in house.events("output-request:viewed") if e["subject"] == hostile.pk])

    before = seen()
    house.client("paul").get(f"/outputs/{hostile.pk}/")
    house.client("paul").get(f"/outputs/{hostile.pk}/files/1/text")
    assert seen() == before + 2


def test_every_route_declares_its_permission() -> None:
    for pattern in urlpatterns:
        assert find_access(pattern.callback, f"egress_review:{pattern.name}") is not None, pattern.name


def test_nobody_without_a_login(house: Any, hostile: OutputRequest) -> None:
    anonymous = type(house.client("sofia"))(headers={"host": house.settings.portal_name})
    for path in ("", f"{hostile.pk}/", f"{hostile.pk}/files/1/text", f"{hostile.pk}/download.zip", "new/gut-study/"):
        assert anonymous.get(f"/outputs/{path}").status_code == 302


def test_pages_in_french(house: Any) -> None:
    house.put("klein.csv", SMALL_CSV)
    row = submit(house.people["amelie"], house.project, ["klein.csv"], "Tableau", "")
    client = house.client("sofia")
    client.cookies["django_language"] = "fr"
    page = client.get(f"/outputs/{row.pk}/").content.decode()
    assert "Un effectif inférieur à 11." in page
    assert "ligne 3, colonne 2" in page
    assert "Votre décision" in page
    answer = client.post(f"/outputs/{row.pk}/approve", {"snapshot_sha256": row.snapshot_sha256})
    assert "justification écrite" in answer.content.decode()
    conflict = client.post(
        f"/outputs/{row.pk}/approve", {"snapshot_sha256": "0" * 64, "comment": "Regardé chaque cellule du tableau."}
    )
    assert conflict.status_code == 409
    assert "Les fichiers diffèrent de ceux qui vous ont été montrés" in conflict.content.decode()
    researcher = house.client("amelie")
    researcher.cookies["django_language"] = "fr"
    refused = researcher.post("/outputs/new/gut-study/", {"files": ["rien.csv"], "title": "x"})
    assert refused.status_code == 422
    assert "rien.csv était attendu dans le dossier « outbox »" in refused.content.decode()


def test_choosing_a_project(house: Any) -> None:
    assert house.client("amelie").get("/outputs/new/")["Location"] == "/outputs/new/gut-study/"
    assert house.client("sofia").get("/outputs/new/").status_code == 403
    house.put("list.csv", GOOD_CSV)
    assert "list.csv" in house.client("amelie").get("/outputs/new/gut-study/").content.decode()
    assert house.client("amelie").get("/outputs/new/other-study/").status_code == 404


def test_migrations_are_complete(house: Any) -> None:
    with language("en"):
        call_command("makemigrations", "egress_review", check=True, dry_run=True, verbosity=0)


class UnsafeLiar(Helper):
    """A reader that answers what no reader says."""

    def ask(self, *_task: Any, **_limits: Any) -> bytes:
        return b'[{"check": "picture"}]'


@pytest.mark.parametrize(("spoken", "sentence"), [("en", "is not believed"), ("fr", "n’est pas crédible")])
def test_a_file_that_cannot_be_shown_says_why_and_its_bytes_are_there(
    house: Any, hostile: OutputRequest, monkeypatch: pytest.MonkeyPatch, spoken: str, sentence: str
) -> None:
    monkeypatch.setattr(reading, "HELPER", UnsafeLiar())
    client = house.client("sofia")
    client.cookies["django_language"] = spoken
    page = client.get(f"/outputs/{hostile.pk}/")
    assert page.status_code == 200
    assert page.content.decode().count(sentence) == 6
    assert client.get(f"/outputs/{hostile.pk}/files/5/picture").status_code == 404
    assert client.get(f"/outputs/{hostile.pk}/files/4/text").content == EVIL.encode()


def test_a_request_that_is_not_believed_is_in_quarantine(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "HELPER", UnsafeLiar())
    name = house.put("quarantine.csv", GOOD_CSV)
    row = submit(house.people["amelie"], house.project, [name], "Table", "")
    assert row.as_facts().is_quarantined
    assert [finding.check for finding in row.all_findings()] == ["unreadable"]


@pytest.mark.parametrize("obstacle", ["busy", "no-sandbox"])
def test_who_cannot_have_files_read_is_refused_on_record_and_nothing_is_kept(
    house: Any, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    turns = Turns(own=0, all_waiting=0)
    monkeypatch.setattr("egress_review.actions.submit.ASKING", turns)
    monkeypatch.setattr("egress_review.actions.check.ASKING", turns)
    before, requests = len(house.events("output-request:refused")), OutputRequest.objects.count()
    name = house.put("refused.csv", b"a,b\nnobody,else\n")
    with ExitStack() as held:
        if obstacle == "busy":
            held.enter_context(turns.turn(house.people["amelie"].person_id, 1))
        else:
            monkeypatch.setattr(reading, "HELPER", Helper())
            monkeypatch.setenv("PATH", "/nowhere")
        expected = "Files of yours are being read" if obstacle == "busy" else "No sandbox can be made"
        for ask in (
            lambda: submit(house.people["amelie"], house.project, [name], "Table", ""),
            lambda: check_outbox(house.people["amelie"], house.project),
        ):
            with pytest.raises(RefusedError, match=expected):
                ask()
    refused = house.events("output-request:refused")[before:]
    assert [expected in leaf["data"]["reasons"][0] for leaf in refused] == [True, True]
    assert OutputRequest.objects.count() == requests
    assert not Vault(house.settings.vault_dir).current_sha256(sha256(b"a,b\nnobody,else\n"))
