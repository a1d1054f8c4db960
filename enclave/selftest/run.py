"""One self-test from beginning to end: on record first, then carried out, reported, and its outcome on record.

Contract: a run that was begun ends with ``selftest:finished``, also when it could not be carried out or was stopped
(then without a report); only a killed process leaves a start without an end, which the alert sees. Non-goal: deciding
when (``enclave.selftest.schedule``).
"""

from __future__ import annotations

import fcntl
import platform
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from audit.client import AuditClient
from audit.event import AuditEvent
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.processes import accepts_connections
from enclave.sandbox import SandboxError
from enclave.selftest.bundle import bundle_sha256
from enclave.selftest.furniture import furnished
from enclave.selftest.installation import find_targets, own_address
from enclave.selftest.report import PLACES, Finding, Report, folder_of, judge, store
from enclave.selftest.surroundings import Surroundings
from enclave.selftest.workspace import SelftestError, opened, run_probes, tokens_to_show
from enclave.settings import REPOSITORY, Settings
from enclave.workspaces.engines import check_engine, clear_away
from enclave.workspaces.launch import ImageMissingError
from enclave.workspaces.services import PartnerAwayError

ACTOR = "system:selftest"
WRITER = "selftest"
Outcomes = dict[str, dict[str, list[str]]]


@dataclass(frozen=True)
class Conditions:
    """What an outcome depends on; when one of them is another one, an old report says little."""

    engine: str
    kernel: str
    code: str


def conditions(settings: Settings) -> Conditions:
    """As they are now."""
    return Conditions(settings.engine, platform.release(), code_version())


def code_version() -> str:
    """Version and, in a checkout, its commit; with what was changed since, it says so."""
    try:
        found = version("enclave-tre")
    except PackageNotFoundError:
        found = "unknown"
    if not (REPOSITORY / ".git").exists():
        return found
    asked = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):  # no git on this machine, or a busy one
        return found
    return f"{found}+{done.stdout.strip()}" if done.returncode == 0 else found


def run_selftest(settings: Settings, reason: str, attack: Callable[[Settings], Outcomes] | None = None) -> Report:
    """Record, attack, report, record. Raises RefusedError when it cannot begin, AuditUnavailable without the log."""
    _check_it_runs(settings)
    with _alone(settings), closing(AuditClient(settings.audit_socket, WRITER)) as client:
        begun = _begin(client, settings, reason)
        subject = _subject(begun.started_at)
        try:
            findings, problem = _carry_out(settings, attack or attack_this_installation)
        except BaseException as error:
            _record_outcome(client, subject, replace(begun, problem=f"It ended early ({type(error).__name__})."))
            raise
        report = replace(begun, finished_at=datetime.now(UTC), findings=tuple(findings), problem=problem)
        _record_outcome(client, subject, report)
        store(settings, report)
    return report


def _subject(at: datetime) -> str:
    return f"selftest:{at:%Y%m%dT%H%M%SZ}"


def _begin(client: AuditClient, settings: Settings, reason: str) -> Report:
    """On record; what is known of its report so far."""
    now, at, catalogue = datetime.now(UTC), conditions(settings), bundle_sha256()
    data = {"engine": at.engine, "kernel": at.kernel, "code": at.code, "catalogue": catalogue, "why": reason}
    begun = client.record(AuditEvent(EventType.SELFTEST_STARTED.value, ACTOR, subject=_subject(now), data=data))
    return Report(
        started_at=now,
        finished_at=now,
        engine=at.engine,
        kernel=at.kernel,
        code=at.code,
        catalogue_sha256=catalogue,
        reason=reason,
        findings=(),
        started_index=begun.index,
    )


def _record_outcome(client: AuditClient, subject: str, report: Report) -> None:
    bad = sorted({f.probe for f in (*report.of("open"), *report.of("error"))})
    outcome = AuditEvent(
        EventType.SELFTEST_FINISHED.value,
        ACTOR,
        subject=subject,
        decision="allow" if report.is_good else "deny",
        counts={verdict.replace("-", "_"): number for verdict, number in report.counts().items()},
        data={"engine": report.engine, "open": bad[:40], "problem": report.problem[:300]},
    )
    client.record(outcome)


def _carry_out(settings: Settings, attack: Callable[[Settings], Outcomes]) -> tuple[list[Finding], str]:
    try:
        outcomes = attack(settings)
    except (SelftestError, SandboxError, PartnerAwayError, RefusedError, ImageMissingError, OSError) as error:
        return [], str(error) or type(error).__name__
    return [finding for place in PLACES for finding in judge(place, outcomes.get(place, {}))], ""


def attack_this_installation(settings: Settings, groups: tuple[str, ...] = ()) -> Outcomes:
    """Sandbox of server, kernel and terminal → probe → outcome; of all groups, or of some."""
    check_engine(settings)
    with (
        closing(AuditClient(settings.audit_socket, WRITER)) as client,
        furnished(settings, client.record) as furniture,
        opened(settings) as running,
        Surroundings(own_address()) as around,
    ):
        targets: dict[str, Any] = {**around.targets, **find_targets(settings, running), "groups": groups}
        try:
            return run_probes(settings, running, targets | tokens_to_show(settings, running), furniture)
        finally:
            clear_away(settings, running.workspace)


def with_engine(settings: Settings, engine: str) -> Settings:
    """The same installation with another engine. Raises RefusedError for one there is not."""
    if engine not in ("bubblewrap", "docker"):
        raise RefusedError(f"Expected an engine (bubblewrap or docker), found {engine[:40]!r}. Change --engine.")
    return settings.model_copy(update={"engine": engine})


def _check_it_runs(settings: Settings) -> None:
    for name, socket in (("audit daemon", settings.audit_socket), ("gateway", settings.gateway_control_socket)):
        if not accepts_connections(socket):
            raise RefusedError(
                f"Expected a running enclave, found no {name}. Start it (enclave serve), or set ENCLAVE_HOME."
            )


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One self-test at a time. Raises RefusedError."""
    folder = folder_of(settings)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RefusedError("A self-test is running already. Wait for its report.") from error
        yield
