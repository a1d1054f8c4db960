"""The runner: slow and outside effects, one job at a time, with the database as its queue.

Loop, order, error boundary and state are four things: ``run`` loops (its condition is injected), ``take_turn`` does one
turn, ``_carry_out`` is the error boundary (``_queue_expiries``, once a minute, has one for each of its parts), and the
``Job`` rows are the state. A runner that is killed leaves its job ``running``; the next one starts it again, so every
handler can be repeated. Non-goal: deciding anything; whoever queued the job was already allowed to, and it is on
record.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import django
import structlog
from django.utils.module_loading import import_string

from enclave.logs import configure
from enclave.selftest.schedule import SelftestSchedule
from enclave.settings import Settings, get_settings
from enclave.supervisor import StopSignal

log = structlog.get_logger()

Handler = Callable[[Settings, dict[str, Any]], None]

HANDLERS: dict[str, str] = {
    "build-extract": "enclave.jobs.build_extract",
    "stop-workspaces": "enclave.jobs.stop_workspaces",
    "ingress-packages": "enclave.packages.jobs.ingress",
    "send-canary": "enclave.jobs.send_canary",
    "release": "egress_review.actions.release.run_job",
}
"""Job kind → function, as text: the egress review sits above this package (DESIGN.md, dependency rule)."""

IDLE_SECONDS = 0.25
EXPIRY_SECONDS = 60.0


class Runner:
    """Takes jobs in order of creation. ``handlers`` is replaced in tests."""

    def __init__(self, settings: Settings, handlers: dict[str, str] | None = None) -> None:
        self._settings = settings
        self._handlers = handlers if handlers is not None else HANDLERS
        self._expiry_at = 0.0
        self._selftests = SelftestSchedule(settings)

    def recover(self) -> int:
        """Put back jobs that a killed runner left behind; returns how many."""
        from enclave.portal.models import Job

        return Job.objects.filter(state="running").update(state="queued")

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Loop until told to stop."""
        self.recover()
        try:
            while not should_stop():
                if time.monotonic() > self._expiry_at:
                    self._queue_expiries()
                self._selftests.look()
                if not self.take_turn():
                    time.sleep(IDLE_SECONDS)
        finally:
            self._selftests.end()

    def take_turn(self) -> bool:
        """Carry out the oldest queued job; False when there is none."""
        from enclave.portal.models import Job

        waiting = Job.objects.filter(state="queued", not_before__lte=datetime.now(UTC))
        job = waiting.order_by("not_before", "created_at", "pk").first()
        if job is None:
            return False
        taken = {"state": "running", "started_at": datetime.now(UTC), "attempts": job.attempts + 1}
        if not Job.objects.filter(pk=job.pk, state="queued").update(**taken):
            return True
        state, error = self._carry_out(job.kind, job.payload)
        Job.objects.filter(pk=job.pk).update(state=state, error=error, finished_at=datetime.now(UTC))
        return True

    def _carry_out(self, kind: str, payload: dict[str, Any]) -> tuple[str, str]:
        log.info("job-started", kind=kind)
        try:
            handler: Handler = import_string(self._handlers[kind])
            handler(self._settings, payload)
        except Exception as error:
            log.exception("job-failed", kind=kind)
            return "failed", f"{type(error).__name__}: {error}"[:2000]
        log.info("job-done", kind=kind)
        return "done", ""

    def _queue_expiries(self) -> None:
        """Workspaces of a project whose permit ended are stopped (the gateway refuses its queries already); archives
        of displayed output go when their time is over, and what a closed project left until nothing is left.

        What of it fails is tried again in a minute, and keeps no job from being carried out.
        """
        from enclave.jobs import destroy_expired_archives, queue_destructions, stop_expired

        self._expiry_at = time.monotonic() + EXPIRY_SECONDS
        for look in (stop_expired, destroy_expired_archives, queue_destructions):
            try:
                look(self._settings)
            except Exception:
                log.exception("look-failed", look=look.__name__)


def main() -> int:
    """``python -m enclave.runner``: until SIGTERM."""
    import os

    configure("runner")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "enclave.portal.django_settings")
    django.setup()
    Runner(get_settings()).run(StopSignal())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
