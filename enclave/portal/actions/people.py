"""What admins do to people: create, revoke, restore. Revoking ends sessions, tokens and workspaces at once."""

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


def first_password() -> str:
    """A random password for a first log-in, easy to read out: five groups of four."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(5))


def add_person(
    actor: User | None,
    username: str,
    display_name: str,
    roles: frozenset[Role],
    password: str,
    totp_secret: str | None = None,
) -> User:
    """A new account; ``actor`` None is an admin on the machine. Without ``totp_secret`` the person sets one up."""
    with audited_change(actor) as change:
        if not USERNAME.fullmatch(username):
            raise RefusedError(
                "Expected a name of 2 to 30 lower-case letters, digits and hyphens that begins with a letter. "
                "Change the name."
            )
        if User.objects.filter(username=username).exists():
            raise StateConflictError(f"The name {username} is taken. Choose another one.")
        if not roles:
            raise RefusedError("A person needs at least one role. Choose one.")
        user = User(username=username, display_name=display_name, roles=sorted(roles))
        user.set_password(password)
        change.record(
            EventType.PERSON_CREATED,
            subject=user.person_id,
            decision="allow",
            data={"roles": sorted(roles), "second_factor": totp_secret is not None},
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
        user = _locked(person_id)
        check_not_oneself(actor.as_person(), user.as_person())
        if not user.is_active:
            raise StateConflictError("This person has no access already. There is nothing to revoke.")
        change.record(EventType.PERSON_REVOKED, subject=person_id, decision="allow")
        user.is_active = False
        user.tokens_valid_from = int(time.time()) + 1
        user.save()
        _end_sessions(user)
        Job.objects.create(kind=JobKind.STOP_WORKSPACES, payload={"person": person_id})
        # Once before the commit, so that no crash leaves an open door, and once after it, in case another writer
        # came between with what it read from the database.
        sync_people_file()
        transaction.on_commit(lambda: _sync(user))
    return user


def restore_person(actor: User, person_id: str) -> User:
    """Give access back. Tokens from before the revocation stay void."""
    with audited_change(actor, subject=person_id) as change:
        user = _locked(person_id)
        check_not_oneself(actor.as_person(), user.as_person())
        if user.is_active:
            raise StateConflictError("This person has access. There is nothing to restore.")
        change.record(EventType.PERSON_RESTORED, subject=person_id, decision="allow")
        user.is_active = True
        user.save()
        transaction.on_commit(lambda: _sync(user))
    return user


def _locked(person_id: str) -> User:
    user = User.objects.select_for_update().filter(person_id=person_id).first()
    if user is None:
        raise RefusedError("Expected the id of a person here, found none. Look at the list of people.")
    return user


def _end_sessions(user: User) -> None:
    from allauth.idp.oidc.models import Token

    for session in Session.objects.filter(expire_date__gt=timezone.now()):
        if session.get_decoded().get("_auth_user_id") == str(user.pk):
            session.delete()
    Token.objects.filter(user=user).delete()


def _sync(user: User) -> None:
    sync_people_file()
    for membership in user.memberships.select_related("project"):
        sync_project_files(membership.project)
