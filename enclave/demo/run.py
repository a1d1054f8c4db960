"""Starting, showing and stopping a demo. The steps of the journey are in ``enclave.journey``."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from enclave.before_start import check_before_start
from enclave.demo.guarding import Guarded, find_guardian
from enclave.demo.install import install_people, install_source, prepare_home
from enclave.demo.options import DemoOptions
from enclave.demo.people import DemoPerson, people_file
from enclave.demo.witness import policy_path
from enclave.domain.decisions import RefusedError
from enclave.domain.people import Role
from enclave.domain.permits import Permit
from enclave.extracts.permit_file import PermitError, read_permit
from enclave.files import write_atomically
from enclave.journey.browser import JourneyError
from enclave.journey.steps import SEED_STEPS, Journey
from enclave.processes import accepts_connections, service_specs
from enclave.rights import losses
from enclave.settings import Settings, get_settings
from enclave.supervisor import StopSignal
from enclave.workspaces.shared_folder import release_all

MARKER = "demo.json"
_START_SECONDS = 120.0


class DemoError(Exception):
    """The demo cannot start or a step failed; the sentence says what to do."""


def run_demo(options: DemoOptions) -> None:
    """Start the enclave; then go through the journey, or wait until interrupted. Leaves nothing behind unless kept."""
    permit = _read(options.permit)
    settings = _settings(options)
    check_before_start(settings)
    started = time.monotonic()
    _claim_home(settings, fresh=options.journey or options.seed)
    guarded: Guarded | None = None
    kept = False
    stop = StopSignal()
    try:
        people = prepare_home(settings, permit)
        guarded = Guarded(settings)
        watch = _watch(guarded, stop)
        _await_services(settings, guarded, watch)
        _install_source(settings, permit, options.source)
        install_people(settings, people, permit, options.source)
        _say(f"The enclave is up ({time.monotonic() - started:.1f} s): {settings.portal_url}")
        if weaker := losses(settings):
            _say(f"Not root, so {len(weaker)} walls are weaker; `enclave doctor` names them.")
        if options.journey:
            _go(Journey(settings, permit, options.permit, people), watch)
        if options.seed:
            _go(Journey(settings, permit, options.permit, people, SEED_STEPS), watch)
        if options.keep:
            guarded.cut_loose()
            kept = True
        _show(settings, permit, people, options)
        if not options.journey and not kept:
            _wait(watch)
    finally:
        if guarded is not None and not kept:
            guarded.end()


def _watch(guarded: Guarded, stop: StopSignal) -> Callable[[], bool]:
    """True when it is time to end; looks after the guardian each time it is asked."""
    return lambda: guarded.has_given_up() or stop()


def _install_source(settings: Settings, permit: Permit, source: str) -> None:
    try:
        install_source(settings, permit, source)
    except RefusedError as error:
        raise DemoError(" ".join(error.reasons)) from error


def _read(path: Path) -> Permit:
    try:
        return read_permit(path)
    except PermitError as error:
        raise DemoError(f"The data permit {path} is not valid:\n{error}") from error
    except OSError as error:
        raise DemoError(f"Expected a data permit at {path}, found {error.strerror}.") from error


def _settings(options: DemoOptions) -> Settings:
    """The settings of this demo, put into the environment for the processes it starts."""
    os.environ["ENCLAVE_DEMO"] = "true"
    wanted = get_settings()
    if "ENCLAVE_PORT" not in os.environ:
        os.environ["ENCLAVE_PORT"] = str(_free_port(wanted.host, wanted.port))
    os.environ["ENCLAVE_HOME"] = str(wanted.root)
    if wanted.audit_policy is None:
        os.environ["ENCLAVE_DEMO_WITNESS_PORT"] = str(_free_port("127.0.0.1", 0))
        os.environ["ENCLAVE_AUDIT_POLICY"] = str(policy_path(wanted.root))
    return get_settings()


def _free_port(host: str, preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoError(f"Expected a free port on {host}, found none.")


def _claim_home(settings: Settings, fresh: bool) -> None:
    root = settings.root
    if (pid := find_guardian(root)) is not None:
        raise DemoError(
            f"Expected no running enclave on {root}, found process {pid}. "
            "End it with `enclave demo --stop`, or set ENCLAVE_HOME to another folder."
        )
    if root.exists() and any(root.iterdir()) and not (root / MARKER).exists():
        raise DemoError(f"Expected {root} to be empty or an earlier demo, found something else. Set ENCLAVE_HOME.")
    if fresh and root.exists():
        release_all(settings)
        shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True, mode=0o755)
    write_atomically(root / MARKER, json.dumps({"started_by": "enclave demo"}).encode())


def _await_services(settings: Settings, guarded: Guarded, should_end: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    waiting = [spec for spec in service_specs(settings) if spec.ready is not None]
    while waiting:
        waiting = [spec for spec in waiting if spec.ready is not None and not accepts_connections(spec.ready)]
        if guarded.has_given_up():
            raise DemoError("The enclave did not come up. Its last words:\n" + guarded.last_words())
        if should_end():
            raise DemoError("Interrupted while starting; everything was stopped.")
        if time.monotonic() > deadline:
            raise DemoError(
                f"Expected all processes within {_START_SECONDS:.0f} s, still waiting for {waiting[0].name}."
            )
        time.sleep(0.05)


def _go(journey: Journey, should_end: Callable[[], bool]) -> None:
    try:
        asyncio.run(journey.run(_say, should_end))
    except (JourneyError, OSError, ValueError) as error:
        raise DemoError(f"{type(error).__name__}: {error}") from error


def _wait(should_end: Callable[[], bool]) -> None:
    _say("Press Ctrl-C to stop.")
    while not should_end():
        time.sleep(0.2)


def stop_demo() -> None:
    """``enclave demo --stop``: end a running demo and wait until all its processes are gone."""
    root = get_settings().root
    pid = find_guardian(root)
    if pid is None:
        _say(f"No demo is running on {root}.")
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 90
    while find_guardian(root) == pid:
        if time.monotonic() > deadline:
            raise DemoError(f"Expected process {pid} to end within 90 s, found it still there.")
        time.sleep(0.05)
    _say("Stopped.")


def _show(settings: Settings, permit: Permit, people: tuple[DemoPerson, ...], options: DemoOptions) -> None:
    if not options.journey:
        _say(f"\n  Portal      {settings.portal_url}\n  Workspaces  {settings.hub_url}")
        _say(f"  Log         {settings.log_dir}")
        _say("\n  Sample people (second factor: a TOTP secret for any authenticator app)")
        for person in people:
            roles = ", ".join(person.roles)
            _say(f"  {person.username:10} {roles:32} {person.password:42} {person.totp_secret}")
        _say("")
    if options.as_json:
        _say(json.dumps(describe(settings, permit, people)))


def describe(settings: Settings, permit: Permit, people: tuple[DemoPerson, ...]) -> dict[str, object]:
    """The object that ``--json`` ends with (DESIGN.md, fixed interfaces)."""
    users: dict[str, str] = {}
    for role in Role:
        holders = [person.username for person in people if role in person.roles]
        only = [person.username for person in people if person.roles == (role,)]
        if holders:
            users[role] = (only or holders)[0]
    return {
        "home": str(settings.root),
        "project": permit.project,
        "users": users,
        "portal": settings.portal_url,
        "hub": settings.hub_url,
        "gateway_socket": str(settings.run_dir / permit.project / "gateway.sock"),
        "log_dir": str(settings.log_dir),
        "verifier_key": (settings.audit_dir / "log.vkey").read_text().strip(),
        "people_file": str(people_file(settings)),
    }


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this module is the demo's voice
