"""The programs of the clients, made ready once; what is missing fails with a sentence that says what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from forwarder import tcp_in_front_of
from suite import HERE, REPOSITORY, TOOLS, Gateway

BUILD_SECONDS = 600
PYTHON_CLIENTS = ("adbc", "pandas", "polars", "flightsql_dbapi", "sqlalchemy", "ibis")
CLIENTS = (*PYTHON_CLIENTS, "jdbc", "go")


def printed_by(script: str) -> str:
    """The path a script of ``scripts/`` prints."""
    done = subprocess.run(
        [REPOSITORY / "scripts" / script], capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    assert done.returncode == 0, f"scripts/{script} did not work: {done.stderr[-2000:]}"
    return done.stdout.strip()


@pytest.fixture(scope="session")
def client_python() -> str:
    """Python with the clients from PyPI."""
    return printed_by("client-environment")


def java_command() -> list[str]:
    """The JDBC suite, run from its source."""
    java = shutil.which("java")
    assert java is not None, "Expected a Java of at least 17, found none: run scripts/system-packages tests."
    options = ["-Duser.timezone=UTC", "--add-opens=java.base/java.nio=ALL-UNNAMED"]
    return [java, *options, "-cp", printed_by("maven-jar"), str(HERE / "java" / "Suite.java")]


def go_command(folder: Path) -> list[str]:
    """The Go suite, built with modules exactly as ``go.sum`` pins them."""
    own = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false", "CGO_ENABLED": "0"}
    caches = {"GOCACHE": str(TOOLS / "go-build"), "GOMODCACHE": str(TOOLS / "go-modules")}
    build = [printed_by("go-toolchain"), "build", "-o", str(folder / "suite"), "."]
    done = subprocess.run(
        build,
        cwd=HERE / "go",
        env={**os.environ, **own, **caches},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"The Go client could not be built: {done.stderr[-2000:]}"
    return [str(folder / "suite")]


@pytest.fixture(scope="session")
def command_of(client_python: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """How to start a client's program."""

    def find(client: str) -> list[str]:
        if client == "jdbc":
            return java_command()
        if client == "go":
            return go_command(tmp_path_factory.mktemp("go"))
        return [client_python, str(HERE / "python" / f"run_{client}.py")]

    return find


@pytest.fixture(scope="module")
def door(gateway: Any) -> Iterator[Gateway]:
    """The running gateway as clients see it: by its socket, and by a loopback port in front of it."""
    token = gateway.token(ttl=timedelta(hours=1))
    head, body, signature = token.split(".")
    with tcp_in_front_of(gateway.socket()) as address:
        yield Gateway(
            socket=gateway.socket(),
            address=address,
            token=token,
            wrong_token=f"{head}.{body}.{signature[:-8]}AAAAAAAA",
            expired_token=gateway.token(ttl=timedelta(seconds=-5)),
        )
