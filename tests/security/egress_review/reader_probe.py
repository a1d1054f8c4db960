"""What a file could reach that has taken its reader over: a program in exactly that sandbox tries.

``python reader_probe.py JSON`` prints act → ``closed`` or ``OPEN``; imported by the tests, and run by them under
another account. JSON: ``[paths that must not be seen, a TCP port on loopback, name of an abstract socket]``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from egress_review.parsing.helper import reader_profile
from enclave.sandbox import popen

PROBE = """
import ctypes, json, os, resource, socket, sys
from egress_review.parsing import confinement
paths, port, name, folders, is_control = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def outcome(act):
    try:
        return "closed" if act() is False else "OPEN"
    except (OSError, ValueError):  # setrlimit turns a refusal into the other
        return "closed"
def connect(family, address):
    with socket.socket(family) as peer:
        peer.settimeout(20)
        peer.connect(address)
def fork():
    if os.fork() == 0:
        os._exit(0)
program = confinement.strict_filter()
if not is_control:
    confinement.hide()
ready, told = os.pipe()
other = os.fork()
if other == 0:
    secret = b"bytes of another file"
    os.write(told, b"x")
    libc.pause()
os.read(ready, 1)
acts = {f"see {path}": lambda path=path: os.path.exists(path) for path in paths}
acts |= {
    "other folders": lambda: sorted(os.listdir("/")) != folders,
    "network": lambda: connect(socket.AF_INET, ("127.0.0.1", port)),
    "abstract socket": lambda: connect(socket.AF_UNIX, "\\0" + name),
    "memory of another": lambda: open(f"/proc/{other}/mem", "r+b"),
    "descriptors of another": lambda: os.listdir(f"/proc/{other}/fd"),
    "write our code": lambda: open(confinement.__file__, "ab"),
    "write a file": lambda: os.write(os.open(f"/tmp/{name}-probe", os.O_CREAT | os.O_WRONLY), b"x"),
}
found = {what: outcome(act) for what, act in acts.items()}
if not is_control:
    confinement.limit(30, 1024)
    program.load()
acts = {
    "open": lambda: os.open(sys.executable, os.O_RDONLY),
    "list": lambda: os.listdir("/"),
    "socket": lambda: socket.socket(socket.AF_UNIX),
    "process": fork,
    "signal": lambda: os.kill(other, 0),
    "executable memory": lambda: libc.mprotect(ctypes.c_void_p(id(found) & ~4095), 4096, 7) == 0,
    "limits": lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
}
if not is_control:
    acts["program"] = lambda: os.execv("/bin/true", ["true"])
found |= {f"confined: {what}": outcome(act) for what, act in acts.items()}
os.write(1, json.dumps(found).encode())
if is_control:
    os.kill(other, 9)
os._exit(0)
"""


def tried(told: list[Any], *, outside: bool = False) -> dict[str, str]:
    """In the sandbox, then with what a reader gives up; ``outside`` the same acts without either."""
    command = [sys.executable, "-I", "-c", PROBE, json.dumps([*told, _top_folders(), outside])]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) if outside else popen(reader_profile(), command, **pipes) as process:
        said, errors = process.communicate(timeout=60)
    assert said, errors.decode()
    found: dict[str, str] = json.loads(said)
    return found


def _top_folders() -> list[str]:
    """What the sandbox's root holds: the system's parts, and the way to Python and our packages."""
    ours = {bind.target.parts[1] for bind in reader_profile().binds}
    return sorted(ours | set("bin dev etc lib lib64 proc run sbin tmp usr".split()))


if __name__ == "__main__":
    print(json.dumps(tried(json.loads(sys.argv[1]))))
