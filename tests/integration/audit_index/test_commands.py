"""``enclave-audit show``, ``search``, ``tail``, ``stats`` and ``prove`` on a log with its daemon."""

import json
import os
import select
import signal
import subprocess
import sys

import pytest
from running_log import event
from typer.testing import CliRunner

from audit.cli import app
from audit.proof import parse_proof

FILTERS = [
    (),
    ("--person", "p-1"),
    ("--person", "p-1", "--person", "p-3"),
    ("--person", "x-1"),
    ("--project", "heart"),
    ("--dataset", "icu"),
    ("--dataset", "icu@v2"),
    ("--table", "visit"),
    ("--verb", "describe"),
    ("--type", "query:outcome"),
    ("--decision", "deny"),
    ("--request", "r-3"),
    ("--text", "VISIT"),
    ("--text", "Ünwanted"),
    ("--since", "2000-01-01", "--until", "2100-01-01"),
    ("--until", "2000-01-01T00:00:00"),
    ("--table", "person", "--type", "query:outcome", "--person", "p-2"),
]


def run(*arguments, env=None):
    command = [sys.executable, "-m", "audit.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)


def run_here(*arguments):
    """The same without a process of its own, for what is asked many times."""
    done = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def indexes(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["index"] for line in done.stdout.splitlines()]


@pytest.fixture
def log(running_log):
    client = running_log.client("gateway")
    for number in range(12):
        who = {"actor": f"p-{number % 4}", "project": ("heart", "lung")[number % 2], "request_id": f"r-{number}"}
        data = {"tables": [("person", "visit")[number % 2]], "verb": ("select", "describe")[number % 3 == 0]}
        intent = {**data, "dataset": f"icu@v{number % 3}", "template_sha256": "ab"}
        client.record(event(0, type="query:intent", decision="allow", subject="x-1", data=intent, **who))
        last = client.record(event(0, type="query:outcome", data={"status": "ok"}, **who))
    refusal = {"actor": "p-9", "decision": "deny", "data": {"rule": "ünwanted \x1b[31m"}}
    last = client.record(event(0, type="query:refused", project="heart", **{**refusal, "actor": "p-9"}))
    client.wait_published(last.index, running_log.log_dir)
    return running_log


def test_search_finds_what_show_finds(log):
    for filters in FILTERS:
        shown = indexes(run_here("show", log.log_dir, *filters, "--json"))
        found = indexes(run_here("search", log.log_dir, *filters, "--json"))
        # the daemon may publish records of its own in between
        assert [index for index in reversed(found) if index <= max(shown, default=-1)] == shown, filters
    assert (log.home / "index" / "index.json").exists()
    both = [
        run(command, log.log_dir, "--request", "r-3", "--json").stdout.splitlines() for command in ("show", "search")
    ]
    assert both[0] == both[1][::-1]
    assert len(both[0]) == 2


def test_text_is_aligned_and_cannot_steer_the_terminal(log):
    for command in ("show", "search", "tail"):
        done = run(command, log.log_dir, "--decision", "deny")
        assert done.returncode == 0
        assert "\x1b" not in done.stdout
        assert "rule=ünwanted \N{REPLACEMENT CHARACTER}[31m" in done.stdout
    lines = run("show", log.log_dir, "--project", "heart").stdout.splitlines()
    assert len({line.index("project=") for line in lines}) == 1


def test_pages_and_counts(log):
    first = indexes(run("search", log.log_dir, "--type", "query:intent", "--limit", "5", "--json"))
    done = run("search", log.log_dir, "--type", "query:intent", "--limit", "50", "--before", first[-1])
    assert len(first) == 5
    assert len(done.stdout.splitlines()) == 7
    assert done.stderr == "12 records match.\n"


def test_stats(log):
    done = run("stats", log.log_dir, "--by", "table", "--type", "query:outcome", "--json")
    answer = json.loads(done.stdout)
    assert answer["groups"] == [{"value": "person", "count": 6}, {"value": "visit", "count": 6}]
    assert answer["records"] == 12
    text = run("stats", log.log_dir, "--by", "person", "--project", "heart").stdout.splitlines()
    assert text[0].split() == ["person", "records"]
    assert [line.split() for line in text[1:]] == [["p-0", "6"], ["p-2", "6"], ["p-9", "1"]]
    assert len({len(line) for line in text}) == 1
    for by in ("project", "type", "dataset", "verb", "day"):
        assert run_here("stats", log.log_dir, "--by", by).returncode == 0
    assert run("stats", log.log_dir, "--by", "leaf").returncode == 2


def test_places_for_the_index(log, tmp_path):
    (tmp_path / "file").write_text("")
    done = run("search", log.log_dir, "--index-dir", tmp_path / "file" / "index")
    assert done.returncode == 2
    assert "--no-index-dir" in done.stderr
    assert "Traceback" not in done.stderr
    assert run("search", log.log_dir, "--index-dir", tmp_path / "chosen").returncode == 0
    assert (tmp_path / "chosen" / "index.json").exists()
    env = {**os.environ, "TMPDIR": str(tmp_path / "scratch")}
    (tmp_path / "scratch").mkdir()
    assert run("search", log.log_dir, "--no-index-dir", env=env).returncode == 0
    assert list((tmp_path / "scratch").iterdir()) == []
    assert not (log.home / "index").exists()
    assert run("search", log.home / "nowhere").returncode == 2


def test_tail_shows_the_newest(log):
    everything = indexes(run("show", log.log_dir, "--type", "query:outcome", "--json"))
    assert indexes(run("tail", log.log_dir, "-n", "3", "--type", "query:outcome", "--json")) == everything[-3:]
    visits = indexes(run("show", log.log_dir, "--type", "query:outcome", "--table", "visit", "--json"))
    assert (
        indexes(run("tail", log.log_dir, "-n", "2", "--table", "visit", "--type", "query:outcome", "--json"))
        == visits[-2:]
    )


def read_line(process, seconds=30):
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    assert ready, "no line in time"
    return process.stdout.readline()


def test_tail_follows_until_it_is_interrupted(log):
    command = [sys.executable, "-m", "audit.cli", "tail", str(log.log_dir), "-n", "1", "--follow", "--json"]
    filters = ["--type", "query:outcome", "--table", "new-table"]
    begin = ["--person", "p-0"]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0, "env": buffered}
    process = subprocess.Popen([*command, *filters], **pipes)
    other = subprocess.Popen([*command, *begin], **pipes)
    try:
        assert json.loads(read_line(other))["leaf"]["actor"] == "p-0"
        client = log.client()
        client.record(event(0, request_id="r-new", data={"tables": ["new-table"]}))
        client.record(event(0, type="query:outcome", request_id="r-new"))
        assert json.loads(read_line(process))["leaf"]["request_id"] == "r-new"
    finally:
        for one in (process, other):
            one.send_signal(signal.SIGINT)
            output, errors = one.communicate(timeout=60)
    assert (process.returncode, output, errors) == (0, b"", b"")


def test_a_proof_goes_to_a_file(log, tmp_path):
    assert run("prove", log.log_dir, "3", "--out", tmp_path / "3.tlog-proof").stdout == ""
    assert parse_proof((tmp_path / "3.tlog-proof").read_text()).index == 3
    assert run("prove", log.log_dir, "3", "--out", tmp_path / "no" / "x").returncode == 2


def test_reading_the_log_itself_needs_no_duckdb(log):
    script = "import sys, audit.cli; sys.exit(bool({'duckdb', 'pyarrow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0
