"""Who was admitted before: what is remembered between two calls, and what ends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from admission_world import PERMIT, TODAY, World  # type: ignore[import-not-found]

from enclave.domain.ids import ProjectId, WorkspaceId
from enclave.domain.projects import ProjectState
from enclave.gateway.admission import CallRefusedError
from enclave.policy import PolicyAction
from enclave.tokens import TokenError


def _close(world: World) -> None:
    world.access.write_project(replace(world.record, state=ProjectState.CLOSED))


def _change_permit(world: World) -> None:
    (world.folder / "permit.yaml").write_text(PERMIT + "# more\n")


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("person-revoked", lambda w: w.access.write_people([replace(w.person, active=False)])),
        ("token-withdrawn", lambda w: w.access.write_people([replace(w.person, tokens_valid_from=2**40)])),
        ("person-unknown", lambda w: w.access.write_people([])),
        ("policy", _close),
        ("policy", lambda w: w.access.write_project(replace(w.record, members=frozenset()))),
        ("project-unknown", lambda w: (w.folder / "project.json").unlink()),
        ("project-files", _change_permit),
        ("project-files", lambda w: (w.folder / "extracts" / "v1" / "manifest.json").unlink()),
    ],
)
def test_who_was_admitted_before_is_refused_as_soon_as_a_file_says_so(
    world: World, rule: str, change: Callable[[World], object]
) -> None:
    admission, header = world.remembering()
    change(world)
    with pytest.raises(CallRefusedError) as refusal:
        admission.admit(world.door, header, PolicyAction.QUERY)
    assert refusal.value.rule == rule


def test_what_is_remembered_ends_with_the_token_and_the_day(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    today, now = [TODAY], [world.issued_at.timestamp()]
    admission, header = world.remembering(today=lambda: today[0], clock=lambda: now[0])
    today[0] = world.record.expires_on + timedelta(days=1)
    with pytest.raises(CallRefusedError, match="permit"):
        admission.admit(world.door, header, PolicyAction.QUERY)
    today[0] = TODAY
    admission.admit(world.door, header, PolicyAction.QUERY)

    def expired(*_: object) -> None:
        raise TokenError("This token has expired.")

    monkeypatch.setattr("enclave.gateway.remembered.verify", expired)
    now[0] += world.ttl.total_seconds() - 2
    admission.admit(world.door, header, PolicyAction.QUERY)
    now[0] += 3
    with pytest.raises(CallRefusedError, match="expired"):
        admission.admit(world.door, header, PolicyAction.QUERY)


def test_what_is_remembered_is_the_whole_question(world: World) -> None:
    admission, header = world.remembering()
    elsewhere = replace(world.door, workspace=WorkspaceId("w-ffffffffffff"))
    with pytest.raises(CallRefusedError, match="another workspace"):
        admission.admit(elsewhere, header, PolicyAction.QUERY)
    with pytest.raises(CallRefusedError, match="another project"):
        admission.admit(replace(world.door, project=ProjectId("lung-study")), header, PolicyAction.QUERY)
    with pytest.raises(CallRefusedError):
        admission.admit(world.door, header[:-9] + "AAAAAAAAA", PolicyAction.QUERY)


def test_a_file_that_changes_while_it_is_read_is_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stamps are of before: a newer file with the older answer is never taken for the older file."""
    admission, header = world.remembering()
    revoked = replace(world.person, active=False)
    world.access.write_people([world.person])  # changed, so the next call reads
    read = admission._examine

    def read_and_change(*question: Any) -> Any:
        found = read(*question)
        world.access.write_people([revoked])
        return found

    monkeypatch.setattr(admission, "_examine", read_and_change)
    admission.admit(world.door, header, PolicyAction.QUERY)
    monkeypatch.setattr(admission, "_examine", read)
    with pytest.raises(CallRefusedError, match="revoked"):
        admission.admit(world.door, header, PolicyAction.QUERY)
