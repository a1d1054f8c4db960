"""What the gateway benchmarks share: the full stack, interleaved rounds, medians with spread, results with their load.

Every figure of a table comes from one run in which the ways compared take turns, so that a busy machine slows all of
them alike. Non-goal: being a benchmark (the Makefile runs files with an underscore in their name).
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
NO_CAP = {"rows": 10**11, "bytes": 10**14, "seconds": 3600}
"""Caps of the benchmark's permit; nobody meets them."""


def load_stack() -> Any:
    """The stack of the integration tests: audit daemon with fsync, front, sandboxed workers."""
    folder = ROOT / "tests" / "integration" / "gateway"
    load_module("enclave_test_extract", folder / "sample_extract.py")
    return load_module("gateway_stack", folder / "stack.py")


def load_stand() -> Any:
    """The stand of the integration tests: edge, hub, workspaces; and what it is made of."""
    for name, file in (
        ("ports", "ports.py"),
        ("waiting", "waiting.py"),
        ("live_processes", "live_processes.py"),
        ("partners", "integration/workspaces/unsafe_partners.py"),
        ("browser", "integration/workspaces/browser.py"),
    ):
        load_module(f"enclave_test_{name}", ROOT / "tests" / file)
    return load_module("enclave_test_stand", ROOT / "tests" / "integration" / "workspaces" / "stand.py")


def load_module(name: str, file: Path) -> Any:
    """A module of the tests under the name by which their stands import it."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def thin_client(stack: Any) -> Any:
    """``enclave_client`` as a workspace has it, pointed at the stack."""
    sys.path.insert(0, str(ROOT / "workspace_images" / "client"))
    token = stack.home / "benchmark-token"
    token.write_text(stack.token())
    os.environ["ENCLAVE_TOKEN_FILE"] = str(token)
    os.environ["ENCLAVE_GATEWAY"] = f"grpc+unix://{stack.socket()}"
    import enclave_client

    return enclave_client


def interleaved(ways: Mapping[str, Callable[[], Any]], repeat: int, warm: int = 1) -> dict[str, list[float]]:
    """Seconds of each way, ``repeat`` times, taking turns in an order that rotates."""
    for run in ways.values():
        for _ in range(warm):
            run()
    names = list(ways)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(repeat):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            started_at = time.perf_counter()
            ways[name]()
            times[name].append(time.perf_counter() - started_at)
    return times


def summary(seconds: list[float]) -> dict[str, float]:
    """Median, tenth and ninetieth percentile, p99, in milliseconds."""
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 3)

    return {
        "p50_ms": round(statistics.median(ordered) * 1000, 3),
        "p10_ms": at(0.1),
        "p90_ms": at(0.9),
        "p99_ms": at(0.99),
    }


def machine() -> dict[str, Any]:
    """Where and when, and how busy."""
    model = next(
        (line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine()
    )
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "cores": os.cpu_count(),
        "cpu": model,
        "load_1_5_15": [round(load, 1) for load in os.getloadavg()],
    }


def _cpuinfo() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().splitlines() if file.exists() else []


def write(name: str, results: dict[str, Any]) -> None:
    """Print, and keep as benchmarks/results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(results, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)


def generate_tpch(folder: Path, scale: float) -> list[str]:
    """TPC-H as Parquet by ``tpchgen-cli``; statements that load it into a native DuckDB file."""
    program = Path(sys.executable).parent / "tpchgen-cli"
    subprocess.run(
        [program, "parquet", "-s", f"{scale:g}", "--output-dir", folder],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=1800,
    )
    return [f"CREATE TABLE {file.stem} AS FROM read_parquet('{file}')" for file in sorted(folder.glob("*.parquet"))]
