"""Audit first, then commit: no version without its record, and a failed commit has a record of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from audit.client import AuditClient, AuditUnavailable
from audit.event import AuditEvent, Receipt
from enclave.domain.events import EventType
from enclave.domain.ids import ExtractVersion, ProjectId
from enclave.extracts.build import BuildOrder, build_extract

ORDER = BuildOrder(ProjectId("stays"), ExtractVersion("v1"))


def test_an_extract_that_cannot_be_recorded_does_not_come_to_exist(house, small_source) -> None:
    house.register(small_source)
    house.daemon.terminate()
    house.daemon.wait(60)
    with pytest.raises(AuditUnavailable):
        build_extract(house.settings, ORDER, AuditClient(house.settings.audit_socket, "test"), datetime.now(UTC))
    assert house.left_behind() == []


def test_a_failed_rename_is_recorded(house, small_source) -> None:
    """Somebody puts a folder in the version's place between the record and the rename."""

    class DisturbedClient(AuditClient):
        def record(self, event: AuditEvent, **options: Any) -> Receipt:
            receipt = super().record(event, **options)
            if event.type == EventType.EXTRACT_BUILT:
                (house.extract() / "in the way").mkdir(parents=True)
            return receipt

    house.register(small_source)
    with pytest.raises(OSError, match="not empty"):
        build_extract(house.settings, ORDER, DisturbedClient(house.settings.audit_socket, "test"), datetime.now(UTC))
    assert house.left_behind() == ["v1"]
    assert [p.name for p in house.extract().iterdir()] == ["in the way"]
    kinds = [kind for kind, _ in house.records() if kind != "test:asked"]
    assert kinds == ["extract:built", "action:failed"]
