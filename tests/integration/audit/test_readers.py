"""Who may write and who may read payloads are two questions."""

import json
import subprocess
import sys

import pytest
from running_log import event

pytestmark = pytest.mark.needs_root
WRITER, READER = 65_534, 4_321
AS_ACCOUNT = """
import json, os, socket, sys
os.setgroups([]); os.setgid({uid}); os.setuid({uid})
body = {message!r}.encode()
link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
link.settimeout(10)
link.connect({path!r})
link.sendall(len(body).to_bytes(4, "big") + body)
sys.stdout.write(link.recv(65536)[4:].decode())
"""
RECORD = {"op": "record", "event": {"type": "a:b", "actor": "u-1"}, "writer": "w", "boot": "b"}


def ask(log, uid, **message):
    """Send one message as another account; return the answer."""
    script = AS_ACCOUNT.format(uid=uid, path=str(log.socket), message=json.dumps(message))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_writer_that_is_no_reader_neither_reads_nor_erases(prepared_log):
    prepared_log.start("--allow-uid", str(WRITER), "--reader-uid", str(READER))
    prepared_log.client().record(event(payload={"n": 1}))
    assert ask(prepared_log, WRITER, **RECORD, event_id="e1", seq=1)["index"] == 1
    for message in (
        {"op": "payload", "index": 0, "reader": "u-1"},
        {"op": "redact", "month": "2026-11", "project": "p-1", "by": "u-1", "legal_basis": "x", "event_id": "e2"},
        {"op": "prune", "before": "2026-11-01T00:00:00Z", "by": "u-1", "event_id": "e3"},
    ):
        assert f"needs --reader-uid {WRITER}" in ask(prepared_log, WRITER, **message)["error"]
    assert json.loads(ask(prepared_log, READER, op="payload", index=0, reader="u-2")["payload"]) == {"n": 1}


def test_by_default_whoever_may_write_may_read(prepared_log):
    prepared_log.start("--allow-uid", str(WRITER))
    prepared_log.client().record(event(payload={"n": 1}))
    assert json.loads(ask(prepared_log, WRITER, op="payload", index=0, reader="u-2")["payload"]) == {"n": 1}
