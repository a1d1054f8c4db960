"""Speaking to the daemon without the client."""

from __future__ import annotations

import socket

from audit.wire import take_messages


def exchange(path, *messages):
    """Speak to the daemon without the client; return the answers."""
    answers, buffer = [], bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(10)
        link.connect(str(path))
        link.sendall(b"".join(messages))
        while len(answers) < len(messages):
            chunk = link.recv(65536)
            if not chunk:
                return answers
            buffer += chunk
            answers += take_messages(buffer)
    return answers


def message(event_id="e-1", seq=1, **more):
    fields = {"type": "query:intent", "actor": "u-1"}
    envelope = {"event_id": event_id, "writer": "raw", "boot": "b", "seq": seq}
    return {"op": "record", "event": fields, **envelope, **more}
