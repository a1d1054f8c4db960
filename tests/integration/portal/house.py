"""A portal for tests: audit daemon, gunicorn on its unix socket, and the same database in this process.

``Browser`` is a person at the real HTTP interface, logged in with password and TOTP. Django is set up once for the
process; each house points its database and ``settings.ENCLAVE`` at a folder of its own under /tmp.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from django.core.management import call_command
from django.db import connections
from django.test.utils import override_settings
from django.utils.translation import override as language
from enclave_test_database import migrate, one_hash_for_all  # type: ignore[import-not-found]

from audit.reader import read_entries
from enclave.domain.events import EventType
from enclave.domain.people import Role
from enclave.keys import ensure_keys
from enclave.portal.database_address import database_settings
from enclave.portal.provision_people import create_person
from enclave.portal.record import audit_client, record
from enclave.settings import REPOSITORY, Settings

PASSWORD = "correct-horse-4-battery"
PEOPLE: dict[str, tuple[Role, ...]] = {
    "amelie": (Role.RESEARCHER,),
    "karim": (Role.RESEARCHER,),
    "sofia": (Role.DATA_STEWARD,),
    "tomas": (Role.DATA_STEWARD,),
    "diane": (Role.DATA_PROTECTION_OFFICER,),
    "victor": (Role.AUDITOR,),
    "ines": (Role.ADMIN,),
    "hugo": (Role.ADMIN,),
    "both": (Role.RESEARCHER, Role.DATA_STEWARD, Role.DATA_PROTECTION_OFFICER),
}
PERMIT = """\
permit: 1
project: {project}
title: Gastrointestinal bleeding
purpose: Compare bleeding under two drugs.
legal_basis: Regulation (EU) 2025/327, article 53(1)(e)
dataset: {{name: gibleed, version: "2026-1"}}
people:
  researchers: [{researchers}]
expires_on: {expires_on}
pseudonyms: {{domain: gut-study}}
dates: {{shift_days: 30}}
tables:
  person:
    person: person_id
    columns:
      person_id: person-pseudonym
      year_of_birth: band 5
"""


def permit_text(project: str, researchers: str = "amelie, karim", expires_on: str = "2099-12-31") -> str:
    return PERMIT.format(project=project, researchers=researchers, expires_on=expires_on)


def totp_secret(username: str) -> str:
    return base64.b32encode(hashlib.sha1(username.encode()).digest()).decode()


def totp_code(secret: str, counter: int) -> str:
    """RFC 6238 with SHA-1 and six digits."""
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", counter), hashlib.sha1).digest()
    offset = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[offset : offset + 4])[0] & 0x7FFFFFFF) % 10**6:06d}"


def wait_until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


@dataclass
class Browser:
    """Somebody at the portal's HTTP interface."""

    http: httpx.Client
    house: House

    def get(self, path: str, **kw: Any) -> httpx.Response:
        return self.http.get(path, **kw)

    def csrf(self, path: str = "/accounts/login/") -> str:
        found = re.search(
            r'name="csrfmiddlewaretoken" value="([^"]+)"', self.http.get(path, follow_redirects=True).text
        )
        assert found, f"no form token on {path}"
        return found[1]

    def post(self, path: str, data: dict[str, Any] | None = None, form: str = "/", **kw: Any) -> httpx.Response:
        """Send a form with the token of the page ``form``."""
        return self.http.post(path, data={**(data or {}), "csrfmiddlewaretoken": self.csrf(form)}, **kw)

    def password(self, username: str, password: str = PASSWORD, form: str = "/accounts/login/") -> httpx.Response:
        return self.post(form, {"login": username, "password": password}, form=form)

    def code(self, username: str) -> httpx.Response:
        return self.post(
            "/accounts/2fa/authenticate/",
            {"code": self.house.unused_code(username)},
            form="/accounts/2fa/authenticate/",
        )

    def words(self, path: str) -> str:
        """The page's text as a reader sees it."""
        return page_words(self.get(path))


def page_words(response: httpx.Response) -> str:
    body = re.sub(r"<(script|style)[\s\S]*?</\1>", " ", response.text)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


@dataclass
class House:
    """Handles for a test."""

    settings: Settings
    daemon: subprocess.Popen[bytes]
    portal: subprocess.Popen[bytes] | None = None
    used_codes: set[tuple[str, int]] = field(default_factory=set)
    clients: list[httpx.Client] = field(default_factory=list)
    browsers: dict[str, Browser] = field(default_factory=dict)

    def _client(self, base_url: str, headers: dict[str, str] | None = None) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self.settings.portal_socket))
        client = httpx.Client(transport=transport, base_url=base_url, headers=headers, timeout=60)
        self.clients.append(client)
        return client

    def unused_code(self, username: str) -> str:
        """A code that is valid now and was not used yet: each works once, one step of drift is allowed."""
        now = int(time.time()) // 30
        free = [c for c in (now, now + 1, now - 1) if (username, c) not in self.used_codes]
        while not free:
            time.sleep(0.2)
            now = int(time.time()) // 30
            free = [c for c in (now, now + 1, now - 1) if (username, c) not in self.used_codes]
        self.used_codes.add((username, free[0]))
        return totp_code(totp_secret(username), free[0])

    def browser(self) -> Browser:
        """Nobody yet."""
        return Browser(self._client(self.settings.portal_url), self)

    def logged_in(self, username: str) -> Browser:
        """This person's browser; the log-in is done once, because a code of the second factor works once."""
        if username not in self.browsers:
            self.browsers[username] = self.log_in(username)
        return self.browsers[username]

    def log_in(self, username: str) -> Browser:
        """A new session of this person."""
        browser = self.browser()
        asked = browser.password(username)
        assert asked.headers["location"] == "/accounts/2fa/authenticate/", asked.text
        code = {"code": self.unused_code(username)}
        done = browser.post("/accounts/2fa/authenticate/", code, form="/accounts/2fa/authenticate/")
        assert done.status_code == 302, page_words(done)
        return browser

    def service(self, secret: str | None = None) -> httpx.Client:
        """One of our own processes at the internal API."""
        from enclave.keys import service_secret

        headers = {"X-Enclave-Service": service_secret(self.settings) if secret is None else secret}
        return self._client("http://portal", headers)

    def events(self, event_type: EventType | None = None, project: str | None = None) -> list[dict[str, Any]]:
        """Published leaves, all that have a receipt: a fresh record is the fence that is waited for."""
        fence = record(EventType.ACTION_FAILED, None, data={"fence": True})
        audit_client().wait_published(fence.index, self.settings.log_dir)
        leaves = [entry.leaf for entry in read_entries(self.settings.log_dir)]
        return [
            leaf
            for leaf in leaves
            if (event_type is None or leaf["type"] == event_type)
            and (project is None or leaf.get("project") == project)
        ]


@contextmanager
def running_house(*, http: bool = True, database_url: str = "") -> Iterator[House]:
    """Everything on, everything off again at the end."""
    home = Path(tempfile.mkdtemp(prefix="en", dir="/tmp"))
    settings = Settings(home=home, database_url=database_url)
    for folder in (settings.run_dir, settings.database_dir, settings.projects_dir):
        folder.mkdir(parents=True)
    ensure_keys(settings)
    house = House(settings, start_audit(settings))
    before = use_database(settings)
    try:
        with override_settings(ENCLAVE=settings), language("en"):
            if database_url:
                call_command("migrate", verbosity=0, interactive=False)
            else:
                migrate(settings.database_dir / "db.sqlite3")
            with one_hash_for_all():
                for username, roles in PEOPLE.items():
                    create_person(username, username.title(), roles, PASSWORD, totp_secret(username))
            if http:
                house.portal = start_portal(settings)
            yield house
            audit_client().close()
    finally:
        for client in house.clients:
            client.close()
        connect_to(before)
        for process in (house.portal, house.daemon):
            end(process)
        shutil.rmtree(home, ignore_errors=True)


def use_database(settings: Settings) -> dict[str, Any]:
    """Point this thread's connection (and those of new threads) elsewhere; returns what was there."""
    before = dict(connections["default"].settings_dict)
    connect_to({"USER": "", "PASSWORD": "", "HOST": "", "PORT": "", "OPTIONS": {}, **database_settings(settings)})
    return before


def connect_to(database: dict[str, Any]) -> None:
    """A new connection of the kind that ``database`` names: one of PostgreSQL never becomes one of SQLite."""
    from django.conf import settings as django_settings

    connections["default"].close()
    django_settings.DATABASES["default"].update(database)
    del connections["default"]
    connections["default"].settings_dict.update(database)


def start_audit(settings: Settings) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "audit.daemon", "--socket", str(settings.audit_socket)]
    command += ["--log", str(settings.log_dir), "--state", str(settings.audit_dir), "--origin", settings.log_origin]
    daemon = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: settings.audit_socket.exists() or daemon.poll() is not None)
    assert daemon.poll() is None, "the audit daemon ended at once"
    return daemon


def start_portal(settings: Settings) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "ENCLAVE_HOME": str(settings.root), "ENCLAVE_DATABASE_URL": settings.database_url}
    command = [sys.executable, "-m", "enclave.portal.serve"]
    with (settings.root / "portal.out").open("wb") as out:
        portal = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=out, stderr=out)
    wait_until(lambda: portal.poll() is not None or _listens(settings.portal_socket), 60)
    assert portal.poll() is None, (settings.root / "portal.out").read_text()
    return portal


def _listens(path: Path) -> bool:
    # Not with httpx: a refused unix connection leaves its socket object open.
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def end(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None and process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(60)
