"""What falls away without root is a table; what of it holds here depends on machine and settings."""

from __future__ import annotations

import os

import pytest

from enclave.cli.doctor import _say_losses
from enclave.rights import WITHOUT_ROOT, losses
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
    assert len({loss.name for loss in WITHOUT_ROOT}) == len(WITHOUT_ROOT)
    assert all(loss.gone.startswith("no ") and len(loss.instead) > 40 for loss in WITHOUT_ROOT)
