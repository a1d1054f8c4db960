"""``enclave-audit`` as an auditor runs it: exit codes, text, JSON."""

import json
import subprocess
import sys

import pytest
from running_log import event


def run(*arguments):
    command = [sys.executable, "-m", "audit.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def log(running_log):
    client = running_log.client()
    first = client.record(event(0, request_id="r-1"))
    client.record(event(1, type="query:outcome", request_id="r-1"))
    client.record(event(2, actor="u-2", project="p-2", subject="u-9", data={"note": "\x1b[31m"}))
    client.wait_published(2, running_log.log_dir)
    (running_log.home / "earlier").write_text(first.checkpoint)
    return running_log


def test_verify(log):
    done = run("verify", log.log_dir, "--key", log.vkey, "--since", log.home / "earlier", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["ok"]
    checked = {name for name, verdict in report["verdicts"].items() if verdict["status"] == "ok"}
    assert checked == {"signature", "tree", "entries", "consistency", "files", "completeness"}
    assert {verdict["status"] for verdict in report["verdicts"].values()} == {"ok", "not-checked"}
    text = run("verify", log.log_dir, "--key", log.state_dir / "log.vkey")
    assert text.returncode == 0
    assert text.stdout.endswith("\nverified\n")


def test_a_failed_verification_exits_with_one(log):
    (log.log_dir / "extra").write_text("?")
    done = run("verify", log.log_dir, "--key", log.vkey)
    assert done.returncode == 1
    assert "extra: This file has no place in a log." in done.stdout


@pytest.mark.parametrize("case", ["no-directory", "bad-key", "no-key-file", "bad-since", "no-arguments"])
def test_unreadable_input_exits_with_two(log, case):
    arguments = {
        "no-directory": ("verify", log.home / "nowhere", "--key", log.vkey),
        "bad-key": ("verify", log.log_dir, "--key", "a+b+c"),
        "no-key-file": ("verify", log.log_dir, "--key", log.home / "nokey"),
        "bad-since": ("verify", log.log_dir, "--key", log.vkey, "--since", log.state_dir / "log.vkey"),
        "no-arguments": ("verify",),
    }[case]
    done = run(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_an_unreadable_log_says_so_in_json(log):
    done = run("verify", log.home / "nowhere", "--key", log.vkey, "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["ok"] is False


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ((), [0, 1, 2]),
        (("--person", "u-2"), [2]),
        (("--person", "u-9"), [2]),
        (("--project", "p-1"), [0, 1]),
        (("--type", "query:outcome"), [1]),
        (("--since", "2000-01-01"), [0, 1, 2]),
        (("--until", "2000-01-01T00:00:00"), []),
    ],
)
def test_show(log, filters, found):
    done = run("show", log.log_dir, *filters, "--json")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["index"] for line in done.stdout.splitlines()] == found
    assert "\x1b" not in run("show", log.log_dir, *filters).stdout


def test_prove(log):
    done = run("prove", log.log_dir, "1")
    assert done.stdout.startswith("c2sp.org/tlog-proof@v1\nindex 1\n")
    assert run("prove", log.log_dir, "9").returncode == 2
    assert run("show", log.home / "nowhere").returncode == 2


def test_an_auditor_needs_only_typer_and_cryptography():
    script = (
        "import sys, audit.cli\n"
        "foreign = {'enclave', 'egress_review', 'structlog', 'django', 'duckdb', 'pydantic', 'httpx'}\n"
        "sys.exit(str(foreign & set(sys.modules)) if foreign & set(sys.modules) else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
