"""How long a small query takes: ADBC, the thin client and raw DuckDB, with the time of the two records beside them.

``python benchmarks/gateway_point.py [--repeat N] [--clients N] [--seconds N]``: first one client, ways taking turns;
then many clients at once (threads in processes of their own, several people, each with their own worker).
Writes benchmarks/results/gateway_point.json.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import duckdb
from pyarrow import flight
from rounds import interleaved, load_stack, machine, summary, thin_client, write

from audit.client import AuditClient
from audit.event import AuditEvent
from enclave.domain.events import EventType
from enclave.domain.ids import PersonId, Username
from enclave.domain.people import Person, Role

SQL = "SELECT 1"
LOOKUP = "SELECT * FROM visit WHERE visit_id = 4711"
PEOPLE = tuple(PersonId(f"u-0000000001{number:02}") for number in range(4))
"""Each may run eight queries at once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=300)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--load", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        print(json.dumps(generate_load(json.load(sys.stdin), arguments.load)))
        return
    module = load_stack()
    with module.running_stack() as stack:
        stack.people |= {person: Person(person, Username(person), frozenset({Role.RESEARCHER})) for person in PEOPLE}
        stack.access.write_people(stack.people.values())
        stack.add_project(members=frozenset(stack.people))
        results: dict[str, Any] = {"machine": machine(), "one_client": one_client(stack, arguments.repeat)}
        results["many_clients"] = many_clients(stack, arguments.clients, arguments.seconds)
    write("gateway_point", results)


def one_client(stack: Any, repeat: int) -> dict[str, Any]:
    """Percentiles per way and statement; ``above_records`` is the median less twice the median record."""
    enclave = thin_client(stack)
    audit = AuditClient(stack.settings.audit_socket, "benchmark")
    file = stack.settings.projects_dir / "heart-study" / "extracts" / "v1" / "extract.duckdb"
    raw = duckdb.connect(str(file), read_only=True)
    channel = flight.connect(os.environ["ENCLAVE_GATEWAY"])
    with stack.connect() as connection, connection.cursor() as cursor:

        def adbc(sql: str) -> Callable[[], Any]:
            def run() -> None:
                cursor.execute(sql)
                cursor.fetch_arrow_table()

            return run

        ways: dict[str, Callable[[], Any]] = {
            "record": lambda: audit.record(_like_an_outcome()),
            "empty call": lambda: list(channel.list_actions()),
            "thin client, select 1": lambda: enclave.sql(SQL),
            "ADBC, select 1": adbc(SQL),
            "raw, select 1": lambda: raw.cursor().sql(SQL).to_arrow_table(),
            "thin client, lookup": lambda: enclave.sql(LOOKUP),
            "ADBC, lookup": adbc(LOOKUP),
            "raw, lookup": lambda: raw.cursor().sql(LOOKUP).to_arrow_table(),
        }
        found: dict[str, Any] = {name: summary(times) for name, times in interleaved(ways, repeat, warm=10).items()}
    raw.close()
    records = 2 * found["record"]["p50_ms"]
    for name in ("thin client, select 1", "ADBC, select 1"):
        found[name]["above_records_ms"] = round(found[name]["p50_ms"] - records, 3)
    return found


def _like_an_outcome() -> AuditEvent:
    return AuditEvent(
        type=EventType.QUERY_OUTCOME,
        actor="u-000000000001",
        project="heart-study",
        request_id="q-0000000000000000",
        counts={"rows": 1, "bytes": 8, "duration_ms": 1, "columns": 1},
        data={"status": "ok", "digest": "blake3:" + "0" * 64},
        payload={"columns": ["1"]},
    )


def many_clients(stack: Any, clients: int, seconds: float) -> dict[str, Any]:
    """Queries per second and latency of ``clients`` connections, each sending the next when the last has answered."""
    tokens = [stack.token(person) for person in PEOPLE]
    for token in tokens:
        stack.fetch(LOOKUP, token)  # starts the person's worker
    address = f"grpc+unix://{stack.socket()}"
    processes = []
    for process in range(2):
        mine = [{"address": address, "token": tokens[number % len(tokens)]} for number in range(process, clients, 2)]
        argv = [sys.executable, __file__, "--load", str(seconds)]
        running = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        processes.append((running, json.dumps(mine).encode()))
    times, errors = [], 0
    for running, mine_encoded in processes:
        assert running.stdin is not None
        running.stdin.write(mine_encoded)
        running.stdin.close()
    for running, _ in processes:
        assert running.stdout is not None
        output = running.stdout.read()
        running.wait(timeout=seconds + 60)
        answer = json.loads(output)
        times += answer["times"]
        errors += answer["errors"]
    return {
        "clients": clients,
        "people": len(tokens),
        "queries_per_second": round(len(times) / seconds, 1),
        "errors": errors,
        **summary(times),
    }


def generate_load(connections: list[dict[str, str]], seconds: float) -> dict[str, Any]:
    """One thread per connection until the time is over."""
    times: list[float] = []
    errors: list[str] = []
    begin = threading.Barrier(len(connections) + 1)
    text = LOOKUP.encode()
    ticket = flight.Ticket(b"enclave.query/1\n" + bytes(16) + struct.pack("!I", len(text)) + text)

    def client(address: str, token: str) -> None:
        options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())])
        begin.wait()
        with flight.connect(address, generic_options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            ends_at = time.perf_counter() + seconds
            while (started_at := time.perf_counter()) < ends_at:
                try:
                    channel.do_get(ticket, options).read_all()
                    times.append(time.perf_counter() - started_at)
                except flight.FlightError as error:
                    errors.append(str(error))

    threads = [threading.Thread(target=client, kwargs=connection) for connection in connections]
    for thread in threads:
        thread.start()
    begin.wait()
    for thread in threads:
        thread.join()
    return {"times": times, "errors": len(errors)}


if __name__ == "__main__":
    main()
