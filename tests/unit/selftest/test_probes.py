"""The catalogue by itself: numbers, bundle, and that a probe can say open where this machine lacks the thing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

import pyseccomp
import pytest

from enclave.selftest.bundle import bundle
from enclave.selftest.probes import CATALOGUE, calls
from enclave.selftest.probes.model import Closed, NotApplicable, Probe, attempt_outcome, signal_outcome
from enclave.selftest.probes.run import Running

MACHINES = {"x86_64": pyseccomp.Arch.X86_64, "aarch64": pyseccomp.Arch.AARCH64}
PRETENDED = "socket kexec_load kexec_file_load init_module finit_module delete_module iopl ioperm".split()


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_of_system_calls_are_libseccomps(machine: str) -> None:
    ours = calls.numbers(machine)
    assert len(ours) > 45
    theirs = {name: pyseccomp.resolve_syscall(MACHINES[machine], name) for name in ours}
    assert ours == theirs


def test_the_bundle_is_the_same_bytes_each_time_and_holds_all_of_the_package() -> None:
    assert bundle() == bundle()
    package = Path(calls.__file__).parent
    with zipfile.ZipFile(BytesIO(bundle())) as archive:
        inside = {name.removeprefix("probes/") for name in archive.namelist()} - {"__main__.py"}
    assert inside == {path.name for path in package.glob("*.py")}


def test_it_needs_the_standard_library_only() -> None:
    """Nothing of the environment is importable: -I and -S, with the archive as the only place."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "selftest.pyz"
        file.write_bytes(bundle())
        code = f"import sys; sys.path.insert(0, {str(file)!r}); import probes, probes.run, probes.serve"
        code += "; print(len(probes.CATALOGUE))"
        done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(CATALOGUE)


PRETEND = """
import json, sys
import pyseccomp
from enclave.selftest.probes import CATALOGUE
from enclave.selftest.probes.model import attempt_outcome

program = pyseccomp.SyscallFilter(defaction=pyseccomp.ALLOW)
for name in sys.argv[1].split():
    if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) >= 0:
        program.add_rule(pyseccomp.ERRNO(0), name)
program.load()
names = ["call-" + name.replace("_", "-") for name in sys.argv[1].split()]
wanted = [probe for probe in CATALOGUE if probe.group == "socket-families" or probe.id in names]
found = {probe.id: attempt_outcome(probe, {"scratch": "/tmp"}).state for probe in wanted}
sys.stdout.write(json.dumps(found) + "\\n")
sys.stdout.flush()
"""


def test_a_kernel_that_lets_everything_in_is_seen_open() -> None:
    """A filter that answers success stands for kernels with the families and calls that this one was built without."""
    program = [sys.executable, "-c", PRETEND, " ".join(PRETENDED)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True, stdin=subprocess.DEVNULL)
    found = json.loads(done.stdout)
    assert len(found) >= 45
    absent = {name for name, state in found.items() if state == "not-applicable"}
    assert absent <= {"call-iopl", "call-ioperm"}  # arm64 has neither
    assert {name: state for name, state in found.items() if state != "open" and name not in absent} == {}


def probe(attempt: object, seconds: float = 60.0) -> Probe:
    return Probe("x", "network", "X.", "X.", attempt, seconds)  # type: ignore[arg-type]


def raising(error: BaseException) -> object:
    def attempt(targets: object) -> str:
        raise error

    return attempt


@pytest.mark.parametrize(
    ("error", "state", "detail"),
    [
        (PermissionError(1, "x"), "closed", "EPERM"),
        (TimeoutError(), "closed", "no answer"),
        (Closed("a limit"), "closed", "a limit"),
        (MemoryError(), "closed", "out of memory"),
        (NotApplicable("none here"), "not-applicable", "none here"),
        (KeyError("scratch"), "error", "KeyError"),
    ],
)
def test_what_an_attempt_raises_is_its_outcome(error: BaseException, state: str, detail: str) -> None:
    found = attempt_outcome(probe(raising(error)), {})
    assert (found.state, found.detail) == (state, detail)


def test_a_probe_that_is_killed_hangs_or_ends_itself() -> None:
    """By the filter or a limit: closed. By a fault of its own, or never: an error, which fails the self-test."""

    def kill(number: int) -> object:
        return lambda targets: os.kill(os.getpid(), number)

    assert Running(probe(kill(31)), {}).collect().state == "closed"
    assert Running(probe(kill(9)), {}).collect().state == "closed"
    assert Running(probe(kill(10)), {}).collect().state == "error"
    assert Running(probe(lambda targets: os._exit(3)), {}).collect().detail == "ended with code 3"
    import signal

    assert Running(probe(lambda targets: signal.pause(), 0.2), {}).collect().state == "error"
    assert signal_outcome(31).detail == "killed by SIGSYS"
