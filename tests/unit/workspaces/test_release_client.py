"""``enclave_client.request_release``: what it asks the gateway for, with and without a version to follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import enclave_client
import pytest
from enclave_client import for_r, releases

ANSWER = {"id": "r-0123456789ab", "url": "https://portal.test/outputs/r-0123456789ab/", "state": "submitted"}


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    calls: list[tuple[str, dict[str, Any]]] = []

    def call(name: str, body: dict[str, Any]) -> dict[str, Any]:
        calls.append((name, body))
        return {**ANSWER, "findings": 0, "version": 2 if "follows" in body else 1}

    (tmp_path / "table.csv").write_text("sex,n\nF,1373\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(releases, "call_action", call)
    return calls


def test_a_request_of_its_own(asked: list[tuple[str, dict[str, Any]]], capsys: pytest.CaptureFixture[str]) -> None:
    made = enclave_client.request_release(["table.csv"], title="Table", context="People")
    assert asked == [("enclave.request_release", {"files": ["table.csv"], "title": "Table", "context": "People"})]
    assert (made.id, made.version) == (ANSWER["id"], 1)
    assert "version" not in capsys.readouterr().out.partition("\n")[0]


def test_the_next_version(asked: list[tuple[str, dict[str, Any]]], capsys: pytest.CaptureFixture[str]) -> None:
    enclave_client.request_release("table.csv", title="Table", context="", follows="r-ba9876543210")
    assert asked[0][1]["follows"] == "r-ba9876543210"
    assert "Output request r-0123456789ab, version 2: submitted" in capsys.readouterr().out


@pytest.mark.parametrize(("given", "sent"), [({}, None), ({"follows": ""}, None), ({"follows": "r-1"}, "r-1")])
def test_from_r(
    asked: list[tuple[str, dict[str, Any]]], given: dict[str, str], sent: str | None, tmp_path: Path
) -> None:
    request = {"do": "request_release", "files": ["table.csv"], "title": "Table", "context": "", **given}
    with (tmp_path / "columns").open("wb") as file:
        assert for_r.answer(request, file)["id"] == ANSWER["id"]
    assert asked[0][1].get("follows") == sent
