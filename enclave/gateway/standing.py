"""May somebody whose query runs still have its rows? Asked about once a second for every running query.

A token that expires while a stream runs does not end it: tokens are short-lived by design, the stream was admitted
while the token held, and the permit's caps end it. Whoever is revoked, loses the project, or whose project is closed or
whose rules change, gets no further row: the stream ends with a sentence within two seconds of reading on. EHDS art.
73(1)(a), named users. Non-goal: a reader who reads nothing; such a stream sends nothing, and ends when its reader goes
on.
"""

from __future__ import annotations

import threading
import weakref

from enclave.access import AccessFiles
from enclave.domain.decisions import RefusedError
from enclave.domain.person_rules import rules_for
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.gateway.admission import Caller
from enclave.gateway.project_files import ProjectFilesReader
from enclave.gateway.relay import Relay


class Standing:
    """One per front; thread-safe. Reads the access files anew (one ``stat`` each)."""

    def __init__(self, access: AccessFiles) -> None:
        self._access = access
        self._files = ProjectFilesReader(access)
        self._lock = threading.Lock()
        self._running: weakref.WeakKeyDictionary[Relay, Caller] = weakref.WeakKeyDictionary()

    def watch(self, relay: Relay, caller: Caller) -> None:
        """This query is about to run; it is forgotten when it is gone."""
        with self._lock:
            self._running[relay] = caller

    def stop_withdrawn(self) -> None:
        """Stop every query whose caller may have nothing more. Call about once a second."""
        with self._lock:
            running = list(self._running.items())
        for relay, caller in running:
            objection = self.find_objection(caller)
            if objection is not None:
                relay.withdraw(objection)

    def settle_outcomes(self) -> None:
        """Confirm the outcomes of answers whose readers are slow to take them. Call about once a second."""
        with self._lock:
            running = list(self._running)
        for relay in running:
            relay.settle()

    def find_objection(self, caller: Caller) -> str | None:
        """Why the caller may have nothing more, as a sentence; None when all is well."""
        try:
            person = self._access.find_person(caller.person.id)
            record = self._access.project(caller.record.id)
        except (ValueError, KeyError, OSError):
            return "The list of people or projects cannot be read, so the query was stopped. Tell the administrator."
        if person is None or not person.active:
            return "Your access has been revoked by an administrator, so the query was stopped."
        if caller.claims.issued_at < person.tokens_valid_from:
            return "Your access was changed while the query ran, so it was stopped. Restart the workspace."
        if record is None or record.state is not ProjectState.ACTIVE:
            return "The project was closed while the query ran, so the query was stopped."
        if caller.person.id in caller.record.members - record.members:
            return "You are not a member of this project any more, so the query was stopped."
        if record.permit_sha256 != caller.record.permit_sha256 and not self._has_same_rules(caller, record):
            return "The rules of the data permit for you changed while the query ran, so it was stopped. Run it again."
        return None

    def _has_same_rules(self, caller: Caller, record: ProjectRecord) -> bool:
        try:
            permit = self._files.read_permit(record)
        except RefusedError:
            return False
        return rules_for(permit, caller.person.username) == caller.rules
