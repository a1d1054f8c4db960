"""A gateway with everything beside it that an attack could want, each thing marked (``sql_attack_row.MARKERS``)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import gateway_stack as stack_module  # type: ignore[import-not-found]
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sql_attack_row import IN_DROPPED_COLUMN, IN_ENVIRONMENT, IN_FILE, IN_OTHER_PROJECT, IN_SCRATCH

BOTH = frozenset({stack_module.ALICE, stack_module.BOB})


def put_bait(home: Path) -> None:
    """Files and a source with the column that the extract leaves out, readable for everybody on the host."""
    (home / "producer").mkdir()
    (home / "producer" / "secret.csv").write_text(f"a,b\n1,{IN_FILE}\n")
    column = f"SELECT i AS person_id, '{IN_DROPPED_COLUMN}-' || i AS national_id FROM range(1000) r(i)"
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({column}) TO '{home}/producer/source.parquet'")


@pytest.fixture(scope="session")
def stack_parts() -> Any:
    """The module with the stack and its helpers."""
    return stack_module


@pytest.fixture(scope="session")
def baited() -> Iterator[Any]:
    """Alice and Bob in heart-study, Alice also in lung-study; Bob keeps a table; sockets of two workspaces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENCLAVE_MARKER", IN_ENVIRONMENT)
        with stack_module.running_stack() as stack:
            put_bait(stack.home)
            stack.add_project(members=BOTH, characters=100_000)
            secret = f"CREATE TABLE secret AS SELECT '{IN_OTHER_PROJECT}' AS v"
            stack.add_project(stack_module.OTHER, (secret,), members=BOTH)
            stack.socket()
            stack.socket(stack_module.OTHER)
            bob = stack.token(stack_module.BOB)
            stack.fetch(f"CREATE TABLE diary AS SELECT '{IN_SCRATCH}' AS entry", bob)
            yield stack


@pytest.fixture
def fresh_gateway() -> Iterator[Any]:
    """A gateway of the test's own: alice and bob in heart-study."""
    with stack_module.running_stack() as stack:
        stack.add_project(members=BOTH)
        stack.socket()
        yield stack
