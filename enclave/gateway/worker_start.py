"""First step of a worker: ``python -m enclave.gateway.worker_start``. Landlock, then the worker itself.

Only the standard library is loaded before the rules are in force: they bind the threads started later, and numpy, Arrow
and DuckDB start threads when they are imported or opened. Everything the worker may touch is named here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from enclave.gateway.landlock import restrict

EXTRACT_TARGET = Path("/extract")
SPILL_TARGET = Path("/spill")
SCRATCH_TARGET = Path("/scratch")
_SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc", "/proc", "/dev/null", "/dev/urandom", "/sys/fs/cgroup")
"""Programs and libraries; DuckDB reads the cgroup's limits below /proc and /sys and aborts when it cannot."""


def program_folders() -> tuple[Path, ...]:
    """This Python, its environment, and our own packages."""
    packages = Path(__file__).resolve().parents[2]
    return tuple(Path(path) for path in (sys.base_prefix, sys.prefix, packages))


def lock_down(more_readable: Sequence[Path] = ()) -> int:
    """Landlock as a worker has it; returns the ABI in force, 0 when the kernel has none."""
    readable = [*map(Path, _SYSTEM), *program_folders(), EXTRACT_TARGET, *more_readable]
    return restrict(readable, (SPILL_TARGET, SCRATCH_TARGET))


if __name__ == "__main__":
    version = lock_down()
    from enclave.gateway.worker import main

    sys.exit(main(version))
