"""What falls away without root is a table; what of it holds here depends on machine and settings."""

from __future__ import annotations

import os
from typing import Any

import pytest

from enclave.cli.doctor import _say_losses
from enclave.rights import GIVEN_UP, WITHOUT_ROOT, given_up, losses
from enclave.settings import Settings
from enclave.workspaces import cgroups

ALWAYS = ["one-account", "audit-account", "shared-folder-quota", "writing-again"]


@pytest.mark.parametrize(
    ("uid", "groups", "workers", "wanted"),
    [
        (0, [], 4, []),
        (1000, [], 0, [*ALWAYS, "control-groups"]),
        (1000, ["memory, pids, cpu"], 0, ALWAYS),  # handed to the account by systemd
        (1000, [], 4, [*ALWAYS, "control-groups", "clusters"]),
    ],
)
def test_what_falls_away(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    uid: int,
    groups: list[str],
    workers: int,
    wanted: list[str],
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(cgroups, "usable_groups", lambda: groups)
    settings = Settings(cluster_workers=workers)
    found = losses(settings)
    assert sorted(loss.name for loss in found) == sorted(wanted)
    _say_losses(settings)
    said = capsys.readouterr().out
    assert all(f"weaker   {name}: " in said for name in wanted)
    assert said.count("instead: ") == len(wanted) and ("stays" in said) == bool(wanted)


def test_every_loss_says_what_stands_in_its_place() -> None:
    table = (*WITHOUT_ROOT, *GIVEN_UP)
    assert len({loss.name for loss in table}) == len(table)
    assert all(loss.gone.startswith("no ") and len(loss.instead) > 40 for loss in table)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, []),
        ({"host": "0.0.0.0", "scheme": "https"}, []),
        ({"host": "10.0.0.5", "passwords_in_clear_over_the_network": True}, ["plain-http"]),
        ({"passwords_in_clear_over_the_network": True}, []),  # on loopback nothing is given up
    ],
)
def test_what_settings_give_up_as_root_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], settings: dict[str, Any], wanted: list[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    asked = Settings(**settings)
    assert [loss.name for loss in given_up(asked)] == wanted
    _say_losses(asked)
    assert ("weaker   plain-http: " in capsys.readouterr().out) == bool(wanted)
