"""A disk that fails and files that are not ours any more: the daemon stops, says why, and acknowledges nothing."""

import os
import sys

import pytest
from running_log import event

from audit.client import AuditUnavailable
from audit.verify import verify_log

FAILING_FDATASYNC = """
import errno, os, sys
from audit.daemon.__main__ import parse_arguments, run
real, calls = os.fdatasync, []
def fdatasync(descriptor):
    calls.append(descriptor)
    if len(calls) == 4:
        raise OSError(errno.EIO, "Input/output error")
    assert len(calls) < 4, "tried again after a failure"
    real(descriptor)
os.fdatasync = fdatasync
sys.exit(run(parse_arguments(sys.argv[1:])))
"""


def test_a_failed_fdatasync_stops_the_daemon_which_never_tries_again(prepared_log):
    plain = prepared_log.command
    prepared_log.command = lambda *more: [sys.executable, "-c", FAILING_FDATASYNC, *plain(*more)[3:]]
    prepared_log.start()
    client = prepared_log.client()
    receipts = [client.record(event(number)) for number in range(2)]
    with pytest.raises(AuditUnavailable):
        client.record(event(2), timeout=1)
    assert prepared_log.process.wait(60) == 1
    said = prepared_log.errors.read_text()
    assert "fdatasync of the write-ahead log failed (Input/output error); the log stops" in said
    assert "tried again" not in said
    prepared_log.command = plain
    prepared_log.start()
    # the record whose durability was unknown was acknowledged to nobody; the disk may have it or not
    assert prepared_log.client().record(event(3)).index in (2, 3)
    assert prepared_log.stop() == 0
    assert verify_log(prepared_log.log_dir, prepared_log.vkey, since=receipts[-1].checkpoint).ok


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        ("deleted", "was deleted while the log was running"),
        ("replaced", "was replaced while the log was running"),
        ("linked", "was replaced while the log was running"),
        ("written", "another process wrote"),
        ("cut", "another process wrote"),
    ],
)
def test_a_segment_that_is_no_longer_ours_stops_the_daemon(prepared_log, attack, said):
    prepared_log.start()
    client = prepared_log.client()
    client.record(event())
    (path,) = prepared_log.segments
    if attack == "deleted":
        path.unlink()
    elif attack == "replaced":
        (prepared_log.home / "copy").write_bytes(path.read_bytes())
        (prepared_log.home / "copy").replace(path)
    elif attack == "linked":
        os.link(path, prepared_log.home / "second-name")
    elif attack == "written":
        with path.open("ab") as file:
            file.write(b"x")
    else:
        os.truncate(path, 10)
    with pytest.raises(AuditUnavailable):
        client.record(event(), timeout=1)
    assert prepared_log.process.wait(60) == 1
    assert said in prepared_log.errors.read_text()
    assert not prepared_log.socket.exists()
