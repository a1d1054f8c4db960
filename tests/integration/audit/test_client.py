"""The client: what it refuses, threads, forks, a daemon that is away."""

import subprocess
import sys
import threading

import pytest
from running_log import event

from audit.canonical import CanonicalError
from audit.client import AuditClient, AuditUnavailable
from audit.event import EventError
from audit.reader import read_entries
from audit.verify import verify_log


def test_the_client_refuses_what_the_log_would_refuse(running_log):
    client = running_log.client()
    with pytest.raises(CanonicalError, match="move long text"):
        client.record(event(data={"x": "y" * 61_000}))
    with pytest.raises(EventError):
        client.record(event(type="nonsense"))
    with pytest.raises(EventError):
        client.record(event(payload={"x": object()}))
    with pytest.raises(EventError):
        AuditClient(running_log.socket, "bad writer")


def test_many_threads_share_one_client(running_log):
    client = running_log.client()
    indexes = []

    def work():
        indexes.extend(client.record(event(number)).index for number in range(50))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(indexes) == list(range(400))
    client.wait_published(399, running_log.log_dir)
    report = verify_log(running_log.log_dir, running_log.vkey)
    assert report.ok
    assert not any(verdict.notices for verdict in report.verdicts.values())


def test_a_forked_child_gets_a_counter_of_its_own(running_log):
    client = running_log.client()
    client.record(event())
    script = (
        "import os, sys, pathlib\n"
        "from audit.client import AuditClient\n"
        "from audit.event import AuditEvent\n"
        f"client = AuditClient(pathlib.Path({str(running_log.socket)!r}), 'forker')\n"
        "client.record(AuditEvent('a:b', 'u'))\n"
        "child = os.fork()\n"
        "client.record(AuditEvent('a:b', 'u'))\n"
        "os.waitpid(child, 0) if child else os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    client.wait_published(3, running_log.log_dir)
    senders = [(entry.leaf["boot"], entry.leaf["seq"]) for entry in read_entries(running_log.log_dir)]
    assert len(set(senders)) == 4
    assert verify_log(running_log.log_dir, running_log.vkey).ok


def test_a_client_waits_for_a_daemon_that_comes_back(prepared_log):
    prepared_log.start()
    client = prepared_log.client()
    client.record(event())
    prepared_log.kill()
    results = []
    waiting = threading.Thread(target=lambda: results.append(client.record(event(1), timeout=15)))
    waiting.start()
    prepared_log.start()
    waiting.join(60)
    assert results[0].index == 1


def test_without_a_daemon_there_is_no_receipt(prepared_log):
    with pytest.raises(AuditUnavailable, match="the action is refused"):
        prepared_log.client().record(event(), timeout=0.3)
    with pytest.raises(AuditUnavailable, match="was not published"):
        prepared_log.client().wait_published(0, prepared_log.log_dir, 0.1)
