"""The stack of tests/integration/gateway, for attacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gateway_stack as stack_module  # type: ignore[import-not-found]
import pytest


@pytest.fixture(scope="module")
def gateway() -> Iterator[Any]:
    """A gateway with two projects; alice is a member of both."""
    with stack_module.running_stack() as stack:
        stack.add_project()
        stack.add_project(stack_module.OTHER, ("CREATE TABLE secret AS SELECT 'lung-value' AS v",))
        (stack.home / "producer").mkdir()
        stack.socket()
        stack.socket(stack_module.OTHER)
        yield stack
