"""How often a person may have their outbox checked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from enclave.gateway.admission import Caller, CallRefusedError
from enclave.gateway.outbox_checks import MAXIMUM_PER_MINUTE, OutboxChecks, parse_language
from enclave.gateway.release import ReleaseClient, ReleaseRefusedError


class FakePortal:
    """Counts; ``during`` is called while a check is under way."""

    def __init__(self) -> None:
        self.checks = 0
        self.during: Any = lambda: None

    def check(self, token: str, language: str) -> dict[str, Any]:
        self.checks += 1
        self.during()
        return {"files": []}


def caller(person: str = "u-000000000001") -> Caller:
    return cast(Caller, SimpleNamespace(person=SimpleNamespace(id=person), claims=None, policies=(), token="t"))


def test_a_minute_later_it_may_be_asked_again() -> None:
    portal, now = FakePortal(), [100.0]
    checks = OutboxChecks(cast(ReleaseClient, portal), lambda: now[0])
    for _ in range(MAXIMUM_PER_MINUTE):
        checks.check(caller(), b"{}")
    with pytest.raises(CallRefusedError, match="times a minute"):
        checks.check(caller(), b"{}")
    checks.check(caller("u-000000000002"), b"{}")
    now[0] += 60.0
    checks.check(caller(), b"{}")
    assert portal.checks == MAXIMUM_PER_MINUTE + 2


def test_a_person_has_one_check_at_a_time_and_a_failed_one_frees_the_place() -> None:
    portal = FakePortal()
    checks = OutboxChecks(cast(ReleaseClient, portal))

    def ask_again() -> None:
        checks.check(caller(), b"{}")

    portal.during = ask_again
    with pytest.raises(CallRefusedError, match="still running"):
        checks.check(caller(), b"{}")
    portal.during = lambda: None
    assert checks.check(caller(), b"{}") == {"files": []}


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b'{"files": []}', b'{"language": 1}', b'{"language": "de"}', b"[" * 2000]
)
def test_another_body_is_refused_with_a_sentence(body: bytes) -> None:
    with pytest.raises(ReleaseRefusedError, match="Expected"):
        parse_language(body)


def test_english_is_the_language_unless_another_is_named() -> None:
    assert [parse_language(body) for body in (b"", b"{}", b'{"language": "fr"}')] == ["en", "en", "fr"]
