"""Where the portal's rows are: ``database_url`` as Django's settings.

Contract: an address of PostgreSQL is read by libpq's own parser, so that it means here what it means to ``psql``, and
every parameter is passed on: ``sslmode=verify-full`` that got lost would be a connection nobody checks. A parameter
outside the list is refused, not dropped; no refusal repeats the address, which may hold a password. SATRE 2.8.03.
Non-goal: whether a server is there, which its first connection says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from enclave.domain.decisions import RefusedError
from enclave.settings import Settings

_PLACES = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
"""What Django has a name of its own for; hosts and ports may be lists, as libpq reads them."""
_TLS = (
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "sslsni",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "gssencmode",
)
_WHO = ("channel_binding", "krbsrvname", "passfile", "require_auth")
_LINE = (
    "application_name",
    "connect_timeout",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "load_balance_hosts",
    "options",
    "target_session_attrs",
    "tcp_user_timeout",
)
PASSED_ON = frozenset((*_TLS, *_WHO, *_LINE))
"""PostgreSQL 17, "Parameter Key Words", without what Django decides itself (``client_encoding``), what would read a
second file of settings (``service``) and what makes another kind of connection (``replication``)."""


def database_settings(settings: Settings) -> dict[str, Any]:
    """Django's ``DATABASES["default"]`` for ``settings``: PostgreSQL by URL, else SQLite in ``portal/``.

    Raises RefusedError for an address that cannot be meant.
    """
    if settings.database_url:
        return _postgresql(settings.database_url)
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": settings.database_dir / "db.sqlite3",
        "OPTIONS": {
            "timeout": 20,
            # A write lock from the first statement on: two approvals at the same moment wait for each other
            # instead of failing at commit.
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
        },
    }


def _postgresql(address: str) -> dict[str, Any]:
    _check_kind(address)
    found = _read(address)
    _check_names(found)
    if not found.get("dbname"):
        raise RefusedError(
            "database_url: expected the name of a database after the server's, found none. "
            "Write postgresql://person@server/database."
        )
    return {
        "ENGINE": "django.db.backends.postgresql",
        **{django: str(found.get(libpq, "")) for libpq, django in _PLACES.items()},
        "OPTIONS": {name: value for name, value in found.items() if name not in _PLACES},
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


def _check_kind(address: str) -> None:
    """What libpq would say otherwise: about a parameter it does not know it repeats more than its name."""
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise RefusedError(_UNREADABLE) from error
    if parts.scheme not in ("postgresql", "postgres"):
        raise RefusedError(
            "database_url: expected an address of PostgreSQL, postgresql://…, or nothing for SQLite, found another "
            "kind of text. Correct it."
        )
    _check_names(name for name, _value in parse_qsl(parts.query, keep_blank_values=True))


def _check_names(given: Iterable[str]) -> None:
    if unknown := sorted({name for name in given if name not in PASSED_ON and name not in _PLACES}):
        raise RefusedError(
            f"database_url: expected parameters of libpq that are passed on, found {', '.join(unknown)}. Correct or "
            f"remove it; these can be set: {', '.join(sorted(PASSED_ON))}."
        )


def _read(address: str) -> dict[str, Any]:
    # Only here: a house with SQLite does without libpq.
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        return dict(conninfo_to_dict(address))
    except ProgrammingError:
        # Without its cause: libpq repeats parts of the address.
        raise RefusedError(_UNREADABLE) from None


_UNREADABLE = (
    "database_url: expected an address that libpq can read, postgresql://person@server/database?sslmode=verify-full, "
    "found one that it cannot. In names and passwords write %40 for @, %3A for :, %2F for / and %25 for %."
)
