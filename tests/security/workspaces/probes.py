"""What a hostile researcher tries first. Runs unchanged inside a workspace and, as the control, outside of it.

Reads parameters from the dictionary ``TARGETS`` that the test puts in front; prints one JSON object, probe → outcome:
``"open"`` when the attempt succeeded, otherwise the name of the error.
"""
# ruff: noqa: PTH103, PTH108, PTH118, PTH123, PTH207, PTH208, RET503

import ctypes
import glob
import json
import os
import resource
import socket

TARGETS = globals().get("TARGETS", {})
LIBC = ctypes.CDLL(None, use_errno=True)
RESULTS = {}


def probe(name):
    """Run the function at once and note how it went."""

    def run(attempt):
        try:
            outcome = attempt()
        except BaseException as error:
            outcome = f"{type(error).__name__}: {getattr(error, 'errno', '')}"
        RESULTS[name] = "open" if outcome in (None, True) else str(outcome)
        return attempt

    return run


def syscall(number, *arguments):
    """True when the kernel did it, else the error number."""
    found = LIBC.syscall(number, *arguments)
    return True if found >= 0 else f"errno {ctypes.get_errno()}"


def connect(family, address):
    with socket.socket(family) as s:
        s.settimeout(3)
        s.connect(address)
    return True


@probe("tcp to the host's loopback")
def _():
    return connect(socket.AF_INET, ("127.0.0.1", TARGETS["port"]))


@probe("tcp6 to the host's loopback")
def _():
    return connect(socket.AF_INET6, ("::1", TARGETS["port6"]))


@probe("tcp to the host's own address")
def _():
    return connect(socket.AF_INET, (TARGETS["address"], TARGETS["port_all"]))


@probe("abstract unix socket of the host")
def _():
    return connect(socket.AF_UNIX, "\0" + TARGETS["abstract"])


@probe("raw packet socket")
def _():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()


@probe("raw ip socket")
def _():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close()


@probe("kernel crypto socket")
def _():
    socket.socket(38, socket.SOCK_SEQPACKET).close()


@probe("vsock socket")
def _():
    socket.socket(40, socket.SOCK_STREAM).close()


@probe("netlink audit socket")
def _():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9).close()


for _path in TARGETS["files"]:

    @probe(f"read {_path}")
    def _(path=_path):
        with open(path, "rb") as file:
            file.read(1)


for _path in TARGETS["folders"]:

    @probe(f"list {_path}")
    def _(path=_path):
        os.listdir(path)


for _path in TARGETS["sockets"]:

    @probe(f"connect {_path}")
    def _(path=_path):
        return connect(socket.AF_UNIX, path)


@probe("see the hub's process")
def _():
    for name in glob.glob("/proc/[0-9]*/cmdline"):
        with open(name, "rb") as file:
            if b"jupyterhub_config" in file.read():
                return True
    return "not seen"


@probe("signal the hub")
def _():
    if TARGETS["hub_pid"] == os.getpid():
        return "own"
    os.kill(TARGETS["hub_pid"], 0)


@probe("mount")
def _():
    folder = "/tmp/probe-mount"
    os.makedirs(folder, exist_ok=True)
    done = LIBC.mount(b"none", folder.encode(), b"tmpfs", 0, None)
    number = ctypes.get_errno()
    if done == 0:
        LIBC.umount2(folder.encode(), 2)
    return True if done == 0 else f"errno {number}"


@probe("new user namespace")
def _():
    child = os.fork()
    if child == 0:
        os._exit(0 if LIBC.unshare(0x10000000) == 0 else 1)
    return True if os.waitpid(child, 0)[1] == 0 else "refused"


@probe("ptrace")
def _():
    child = os.fork()
    if child == 0:
        os._exit(0 if LIBC.ptrace(0, 0, 0, 0) == 0 else 1)
    return True if os.waitpid(child, 0)[1] == 0 else "refused"


@probe("io_uring")
def _():
    return syscall(425, 4, ctypes.create_string_buffer(256))


@probe("bpf")
def _():
    attributes = (ctypes.c_uint32 * 32)(2, 4, 4, 1)
    return syscall(321, 0, attributes, 48)


@probe("keyring")
def _():
    return syscall(250, 0, -3, 1)


@probe("become root")
def _():
    if os.getuid() == 0:
        return True
    os.setuid(0)


@probe("effective capabilities")
def _():
    with open("/proc/self/status") as file:
        line = next(part for part in file if part.startswith("CapEff"))
    return True if int(line.split()[1], 16) else "none"


@probe("new privileges through set-uid programs")
def _():
    return True if LIBC.prctl(39, 0, 0, 0, 0) == 0 else "off"


@probe("unlimited memory")
def _():
    if resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY:
        return True
    try:
        bytearray(6 << 30)
    except MemoryError:
        return "limited"
    return True


for _path in TARGETS["write"]:

    @probe(f"write {_path}")
    def _(path=_path):
        with open(os.path.join(path, "probe-file"), "w") as file:
            file.write("x")
        os.unlink(file.name)


@probe("a token of the hub in the environment")
def _():
    return True if any("JUPYTERHUB" in name for name in os.environ) else "none"


print(json.dumps(RESULTS))
