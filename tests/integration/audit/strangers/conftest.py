"""Fixtures: the program around the Go libraries, and a log written by the real daemon."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from written_log import HERE, REPOSITORY, WrittenLog, write_by_daemon, write_entries

TOOLS = REPOSITORY / ".tools"
BUILD_SECONDS = 900
RUN_SECONDS = 120


@dataclass(frozen=True)
class Strangers:
    """The built program; ``accepts`` returns its verdict, ``rejects`` its reason."""

    program: Path

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(self.program), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)

    def accepts(self, *arguments: object) -> dict:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def rejects(self, *arguments: object) -> str:
        done = self.run(*arguments)
        assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
        return done.stderr


@pytest.fixture(scope="session")
def go_environment():
    """Go with caches of its own under ``.tools``, and modules exactly as ``go.sum`` pins them."""
    own = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false", "CGO_ENABLED": "0"}
    return {**os.environ, **own, "GOCACHE": str(TOOLS / "go-build"), "GOMODCACHE": str(TOOLS / "go-modules")}


@pytest.fixture(scope="session")
def go():
    found = subprocess.run(
        [REPOSITORY / "scripts" / "go-toolchain"], stdout=subprocess.PIPE, text=True, timeout=BUILD_SECONDS, check=True
    )
    return found.stdout.strip()


@pytest.fixture(scope="session")
def strangers(go, go_environment, tmp_path_factory):
    program = tmp_path_factory.mktemp("go") / "strangers"
    build = [go, "build", "-o", str(program), "."]
    subprocess.run(build, cwd=HERE / "go", env=go_environment, timeout=BUILD_SECONDS, check=True)
    return Strangers(program)


@pytest.fixture(scope="session")
def go_module(go, go_environment, strangers):
    """Where the module cache keeps a module's files."""

    def find(module: str) -> Path:
        command = [go, "list", "-m", "-f", "{{.Dir}}", module]
        done = subprocess.run(
            command, cwd=HERE / "go", env=go_environment, capture_output=True, text=True, timeout=60, check=True
        )
        return Path(done.stdout.strip())

    return find


@pytest.fixture(scope="session")
def written_log(tmp_path_factory):
    """3,003 records by a client of the real daemon: full and partial tiles on two levels."""
    return write_by_daemon(tmp_path_factory.mktemp("written"), 3003)


@pytest.fixture(scope="session")
def large_log(written_log, tmp_path_factory):
    """66,000 records: three levels of tiles. The entries are the daemon's, over and over."""
    directory = tmp_path_factory.mktemp("large") / "log"
    directory.mkdir()
    entries = written_log.entries()
    write_entries(directory, (entries * 22)[:66_000], written_log.signer)
    return WrittenLog(directory, written_log.vkey, written_log.signer, {})


@pytest.fixture
def broken_log(written_log, tmp_path):
    """A copy to break."""
    return written_log.copy(tmp_path)
