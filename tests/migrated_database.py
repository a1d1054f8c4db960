"""What each house of the portal's tests starts with and takes a while to make. Imported as ``enclave_test_database``.

Made once in a process and copied from then on: a database that all migrations have been applied to, nobody in it yet,
and the hash of a password. Django has to be set up.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest import mock

from django.contrib.auth.hashers import make_password
from django.core.management import call_command
from django.db import connections


def migrate(file: Path) -> None:
    """Migrate the SQLite database that is to be at ``file``; Django's connection must name it and be closed."""
    if not (kept := _folder() / "migrated.sqlite3").exists():
        call_command("migrate", verbosity=0, interactive=False)
        connections["default"].close()
        shutil.copyfile(file, kept)
        return
    shutil.copyfile(kept, file)


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="end", dir="/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextmanager
def one_hash_for_all() -> Iterator[None]:
    """Whoever gets the same password meanwhile gets the same hash: slow is what the real hasher is meant to be."""
    with mock.patch("django.contrib.auth.base_user.make_password", cache(make_password)):
        yield
