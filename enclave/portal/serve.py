"""``python -m enclave.portal.serve``: keys, migrations, the hub's client, access files; then gunicorn on the socket.

All in one process, which Django is read into once (a second of processor time): gunicorn's worker is a fork of it. One
worker with threads: rate limits, used second-factor codes and the audit index live in one place. Style sheets are
served by whitenoise from the packages, so there is no collecting step.
"""

from __future__ import annotations

import os
import sys

import django
from gunicorn.app.wsgiapp import run

from enclave import logs
from enclave.keys import ensure_keys
from enclave.settings import Settings, get_settings

THREADS = 12


def prepare(settings: Settings) -> None:
    """Bring database and files up to date; safe to repeat."""
    ensure_keys(settings)
    for folder in (settings.run_dir, settings.database_dir):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.environ["DJANGO_SETTINGS_MODULE"] = "enclave.portal.django_settings"
    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from enclave.portal.actions.access import sync_access_files
    from enclave.portal.identity import synchronise_hub_client

    call_command("migrate", interactive=False, verbosity=0)
    synchronise_hub_client()
    sync_access_files()
    connections.close_all()  # a connection belongs to one process


def gunicorn_arguments(settings: Settings, bind: str | None = None) -> list[str]:
    """The command line; ``bind`` is the unix socket unless a test asks for a loopback port."""
    return [
        "gunicorn",
        "enclave.portal.wsgi:application",
        "--bind",
        bind or f"unix:{settings.portal_socket}",
        "--umask",
        "0117",  # the socket gets mode 0660: our own account and group only
        "--worker-class",
        "gthread",
        "--workers",
        "1",
        "--threads",
        str(THREADS),
        "--timeout",
        "60",
        "--graceful-timeout",
        "5",
        "--no-control-socket",
        "--log-level",
        "warning",
    ]


def main(arguments: list[str]) -> None:
    """Prepare, then be gunicorn. One optional argument: another address to bind to (development)."""
    logs.configure("portal")
    settings = get_settings()
    prepare(settings)
    settings.portal_socket.unlink(missing_ok=True)
    sys.argv = gunicorn_arguments(settings, arguments[0] if arguments else None)
    run()


if __name__ == "__main__":
    main(sys.argv[1:])
