"""The programs of the clients, made ready once; what is missing fails with a sentence that says what to install."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from enclave.domain.ids import PersonId, ProjectId
from enclave.tokens import DoorKind

sys.path.insert(0, str(Path(__file__).parent))
from enclave_test_ports import free_port  # type: ignore[import-not-found]
from forwarder import tcp_in_front_of
from suite import HERE, REPOSITORY, TOOLS, Gateway, TlsFiles

BUILD_SECONDS = 600
PYTHON_CLIENTS = ("adbc", "pandas", "polars", "flightsql_dbapi", "sqlalchemy", "ibis")
CLIENTS = (*PYTHON_CLIENTS, "jdbc", "go")
BOB, PROJECT = PersonId("u-000000000002"), ProjectId("heart-study")
ON_ADBC = ("pandas", "polars", "ibis")
"""They are handed a connection of ADBC and have no doors of their own."""
FEW_CHECKS = (
    *("connect", "wrong token refused", "expired token refused", "catalogue", "rows and aggregates"),
    *("parameters: numbers, text", "prepared, run again"),
)
"""Over mutual TLS, which differs from TLS in nothing but how a connection begins."""


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
    """How to start a client's program; made ready once."""

    @functools.cache
    def find(client: str) -> list[str]:
        if client == "jdbc":
            return java_command()
        if client == "go":
            return go_command(tmp_path_factory.mktemp("go"))
        return [client_python, str(HERE / "python" / f"run_{client}.py")]

    return find


def _door(address: str, gateway: Any, tls: TlsFiles | None = None, **binding: Any) -> Gateway:
    token = gateway.token(ttl=timedelta(hours=1), **binding)
    head, body, signature = token.split(".")
    return Gateway(
        socket=gateway.socket(),
        address=address,
        token=token,
        wrong_token=f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        expired_token=gateway.token(ttl=timedelta(seconds=-5), **binding),
        tls=tls,
    )


@pytest.fixture(scope="module")
def door(gateway: Any) -> Iterator[Gateway]:
    """The running gateway as clients see it: by its socket, and by a loopback port in front of it."""
    with tcp_in_front_of(gateway.socket()) as address:
        yield _door(address, gateway)


@pytest.fixture(scope="module")
def tls_doors(gateway: Any) -> dict[str, Gateway]:
    """Two replicas of it with a port, by the name of the documentation's row: over TLS, and over mutual TLS.

    For another person than at the socket: a second worker of one person would find the scratch space taken.
    """
    module = sys.modules["gateway_authority"]
    authority = module.Authority()
    record = gateway.access.project(PROJECT)
    gateway.access.write_project(replace(record, members=record.members | {BOB}))
    roots, kept, found = gateway.home / "roots.pem", dict(gateway.environment), {}
    roots.write_bytes(authority.certificate)
    shown = authority.issue("client.test").write(gateway.home, "client")
    for row, name, more, client, checks in (
        ("all of this over TLS", "tls", (), {}, ()),
        ("connect and query over mutual TLS", "mutual", shown, {"client": "client.test"}, FEW_CHECKS),
    ):
        address = f"127.0.0.1:{free_port()}"
        (gateway.home / name).mkdir()
        gateway.environment = kept | module.tcp_environment(gateway.home / name, authority, address, mutual=bool(more))
        gateway.start_replica(name)
        door = _door(address, gateway, TlsFiles(roots, *more), person=BOB, door=DoorKind.TCP, **client)
        found[row] = replace(door, checks=checks)
    gateway.environment = kept
    return found
