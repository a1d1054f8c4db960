"""Runs in a worker's sandbox: Landlock as a worker has it, then DuckDB with every door open."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from enclave.gateway.worker_start import lock_down

VERSION = lock_down()

import duckdb  # noqa: E402 - after the rules, as in a worker


def attempt(action: Callable[[], Any]) -> str:
    try:
        action()
    except Exception as error:
        return type(error).__name__
    return "worked"


def in_thread(action: Callable[[], Any]) -> None:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(attempt(action)))
    thread.start()
    thread.join()
    if found != ["worked"]:
        raise OSError(found)


def program() -> None:
    Path("/scratch/run.sh").write_text("#!/bin/sh\nexit 0\n")
    Path("/scratch/run.sh").chmod(0o755)
    subprocess.run(["/scratch/run.sh"], check=True)


def main() -> None:
    connection = duckdb.connect(config={"memory_limit": "200MB", "temp_directory": "/spill"})
    run = connection.execute
    targets: dict[str, Callable[[], Any]] = {
        "read the extract": lambda: run("ATTACH '/extract/extract.duckdb' AS e (READ_ONLY)").execute("FROM e.person"),
        "spill": lambda: run("COPY (SELECT 1) TO '/spill/a.csv'"),
        "scratch": lambda: run("ATTACH '/scratch/s.duckdb' AS s").execute("CREATE TABLE s.t AS SELECT 1"),
        "large sort that spills": lambda: run(
            "SELECT count(*) FROM (SELECT i, repeat('x', 50) FROM range(4000000) r(i) ORDER BY hash(i) OFFSET 1)"
        ).fetchall(),
        "read a foreign file": lambda: run("FROM '/foreign/secret.csv'").fetchall(),
        "list a foreign folder": lambda: list(Path("/foreign").iterdir()),
        "write a foreign file": lambda: run("COPY (SELECT 1) TO '/foreign/new.csv'"),
        "attach a foreign database": lambda: run("ATTACH '/foreign/x.duckdb' AS x"),
        "overwrite the extract": lambda: run("COPY (SELECT 1) TO '/extract/extract.duckdb'"),
        "new file beside the extract": lambda: run("COPY (SELECT 1) TO '/extract/new.csv'"),
        "write to tmp": lambda: run("COPY (SELECT 1) TO '/tmp/new.csv'"),
        "write to shared memory": lambda: Path("/dev/shm/new").write_text("x"),
        "read through a thread": lambda: in_thread(lambda: Path("/foreign/secret.csv").read_text()),
        "python read": lambda: Path("/foreign/secret.csv").read_text(),
        "python write": lambda: Path("/foreign/secret.csv").write_text("x"),
        "run a program from scratch": program,
        "TCP": lambda: socket.create_connection(("127.0.0.1", 8000), 1),
    }
    print(json.dumps({name: attempt(action) for name, action in targets.items()} | {"version": str(VERSION)}))


main()
