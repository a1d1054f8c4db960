"""Other accounts, full disks, replaced sockets."""

import os
import signal
import socket
import struct
import subprocess
import sys

import pytest
from running_log import event

from audit.client import AuditRefused, AuditUnavailable
from audit.merkle import leaf_hash
from audit.verify import verify_log
from audit.wal import scan
from audit.wire import encode_message

NOBODY = 65534
AS_NOBODY = """
import os, socket, sys
os.setgroups([]); os.setgid({uid}); os.setuid({uid})
link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
link.settimeout(10)
link.connect({path!r})
sys.stdout.write(link.recv(4096)[4:].decode() if {wait} else "connected")
"""


def connect_as_nobody(log, *, wait):
    script = AS_NOBODY.format(uid=NOBODY, path=str(log.socket), wait=wait)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.needs_root
def test_another_account_is_refused_with_a_sentence(prepared_log):
    prepared_log.start()
    assert f"User id {NOBODY} may not write to the audit log" in connect_as_nobody(prepared_log, wait=True)
    assert f'"uid": {NOBODY}' in prepared_log.errors.read_text()
    for _ in range(5):
        # gone before the answer: the daemon must not stumble over the broken pipe
        connect_as_nobody(prepared_log, wait=False)
    assert prepared_log.client().record(event()).index == 0


@pytest.mark.needs_root
def test_an_account_the_daemon_was_told_of_is_let_in(prepared_log):
    prepared_log.start("--allow-uid", "1234", "--allow-uid", str(NOBODY))
    assert connect_as_nobody(prepared_log, wait=False) == "connected"
    assert prepared_log.client().record(event()).index == 0
    assert "peer-refused" not in prepared_log.errors.read_text()


def daemon_pid(log):
    """Who listens, as the kernel says."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.connect(str(log.socket))
        return struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def test_a_full_disk_refuses_records_and_loses_none(prepared_log):
    """The daemon in a sandbox whose whole state is a file system of 1 MiB, copied out once the daemon has ended."""
    run, small = prepared_log.home / "run", prepared_log.home / "small"
    run.mkdir()
    small.mkdir()
    prepared_log.socket = run / "audit.sock"
    prepared_log.log_dir, prepared_log.state_dir = small / "log", small / "state"
    plain = prepared_log.command

    def in_small_disk(*more):
        mount = ["--dev-bind", "/", "/", "--size", str(2**20), "--tmpfs", str(small), "--die-with-parent"]
        return ["bwrap", *mount, "sh", "-c", f'"$@"; cp -r {small}/log {small}/state {run}/', "sh", *plain(*more)]

    prepared_log.command = in_small_disk
    prepared_log.start("--reserve-bytes", str(2**16))
    pid = daemon_pid(prepared_log)
    client = prepared_log.client()
    receipts = []
    with pytest.raises(AuditUnavailable):
        for number in range(5000):
            receipts.append(client.record(event(number, data={"text": "x" * 2000}), timeout=2))
    assert len(receipts) > 50
    if prepared_log.process.poll() is None:
        os.kill(pid, signal.SIGTERM)
    prepared_log.process.wait(60)
    assert "No space left" in prepared_log.errors.read_text()
    (segment,) = (run / "state" / "wal").iterdir()
    kept = [leaf_hash(record.leaf).hex() for record in scan(segment.read_bytes()).records]
    assert kept[: len(receipts)] == [receipt.leaf_hash for receipt in receipts]


def test_a_client_that_never_reads_does_not_stop_the_others(prepared_log):
    prepared_log.start()
    rude = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    rude.connect(str(prepared_log.socket))
    rude.settimeout(5)
    fields = {"type": "a:b", "actor": "u"}
    try:
        for number in range(1, 3000):
            message = {
                "op": "record",
                "event": fields,
                "event_id": f"r{number}",
                "writer": "r",
                "boot": "b",
                "seq": number,
            }
            rude.sendall(encode_message(message))
    finally:
        rude.close()
    client = prepared_log.client()
    receipt = client.record(event())
    client.wait_published(receipt.index, prepared_log.log_dir)
    assert verify_log(prepared_log.log_dir, prepared_log.vkey).ok


def test_a_reader_without_a_name_is_refused(prepared_log):
    prepared_log.start()
    client = prepared_log.client()
    receipt = client.record(event(payload={"a": 1}))
    with pytest.raises(AuditRefused):
        client.payload(receipt.index, "")
