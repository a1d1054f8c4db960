"""Accounts: made, revoked, restored; a password of one's own. Revoking ends sessions, tokens and workspaces at once."""

from __future__ import annotations

import secrets
import time

from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.domain.ids import USERNAME
from enclave.domain.people import Role
from enclave.portal.accounts import set_second_factor
from enclave.portal.actions.access import sync_people_file, sync_project_files
from enclave.portal.models import Job, JobKind, User
from enclave.portal.record import audited_change
from enclave.portal.rules import StateConflictError, check_not_oneself


def first_password(groups: int = 5) -> str:
    """A random password for a first log-in, easy to read out: groups of four characters, 20 bits each."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(groups))


def add_person(
    actor: User | None,
    username: str,
    display_name: str,
    roles: frozenset[Role],
    password: str,
    totp_secret: str | None = None,
    waiting: frozenset[Role] = frozenset(),
) -> User:
    """A new account; ``actor`` None is an admin on the machine. Its password has to be changed before anything else.

    ``totp_secret`` makes a *sample person* of a demonstration or a test: password and secret are printed for everybody,
    so neither has to be changed. A real account never gets one; its person sets the second factor up. ``waiting``:
    roles that the caller orders, so that the account may begin without any.
    """
    with audited_change(actor) as change:
        if not USERNAME.fullmatch(username):
            raise RefusedError(
                "Expected a name of 2 to 30 lower-case letters, digits and hyphens that begins with a letter. "
                "Change the name."
            )
        if User.objects.filter(username=username).exists():
            raise StateConflictError(f"The name {username} is taken. Choose another one.")
        if not roles | waiting:
            raise RefusedError("A person needs at least one role. Choose one.")
        is_sample = totp_secret is not None
        user = User(username=username, display_name=display_name, roles=sorted(roles))
        user.must_change_password = not is_sample
        user.set_password(password)
        change.record(
            EventType.PERSON_CREATED,
            subject=user.person_id,
            decision="allow",
            data={"roles": sorted(roles), "second_factor": is_sample, "sample": is_sample},
            payload={"username": username, "display_name": display_name},
        )
        user.save(force_insert=True)
        if totp_secret is not None:
            set_second_factor(user, totp_secret)
        transaction.on_commit(sync_people_file)
    return user


def revoke_person(actor: User, person_id: str) -> User:
    """Take all access away: record, then account off, tokens void, sessions gone, workspaces to be stopped."""
    with audited_change(actor, subject=person_id) as change:
        user = get_locked(person_id)
        check_not_oneself(actor.as_person(), user.as_person())
        if not user.is_active:
            raise StateConflictError("This person has no access already. There is nothing to revoke.")
        change.record(EventType.PERSON_REVOKED, subject=person_id, decision="allow")
        user.is_active = False
        end_access(user)
    return user


def restore_person(actor: User, person_id: str) -> User:
    """Give access back. Tokens from before the revocation stay void."""
    with audited_change(actor, subject=person_id) as change:
        user = get_locked(person_id)
        check_not_oneself(actor.as_person(), user.as_person())
        if user.is_active:
            raise StateConflictError("This person has access. There is nothing to restore.")
        change.record(EventType.PERSON_RESTORED, subject=person_id, decision="allow")
        user.is_active = True
        user.save()
        transaction.on_commit(lambda: sync_person(user))
    return user


def choose_password(user: User, password: str) -> None:
    """The person's own choice: record, then set. From here on their account opens."""
    with audited_change(user, subject=user.person_id) as change:
        row = get_locked(user.person_id)
        data: dict[str, str | bool] = {"what": "password", "first": row.must_change_password}
        change.record(EventType.PERSON_CREDENTIALS_CHANGED, subject=row.person_id, decision="allow", data=data)
        row.must_change_password = False
        row.set_password(password)
        row.save()
        transaction.on_commit(lambda: sync_person(row))
    user.refresh_from_db()


def get_locked(person_id: str) -> User:
    """The person's row, locked until the transaction ends. Raises RefusedError for an id that nobody has."""
    user = User.objects.select_for_update().filter(person_id=person_id).first()
    if user is None:
        raise RefusedError("Expected the id of a person here, found none. Look at the list of people.")
    return user


def end_access(user: User) -> None:
    """Save ``user``, void tokens, end sessions and workspaces. Inside a transaction; the record is written before."""
    user.tokens_valid_from = int(time.time()) + 1
    user.save()
    _end_sessions(user)
    Job.objects.create(kind=JobKind.STOP_WORKSPACES, payload={"person": user.person_id})
    # Once before the commit, so that no crash leaves an open door, and once after it, in case another writer
    # came between with what it read from the database.
    sync_people_file()
    transaction.on_commit(lambda: sync_person(user))


def _end_sessions(user: User) -> None:
    from allauth.idp.oidc.models import Token

    for session in Session.objects.filter(expire_date__gt=timezone.now()):
        if session.get_decoded().get("_auth_user_id") == str(user.pk):
            session.delete()
    Token.objects.filter(user=user).delete()


def sync_person(user: User) -> None:
    """Write the access files that name this person."""
    sync_people_file()
    for membership in user.memberships.select_related("project"):
        sync_project_files(membership.project)
