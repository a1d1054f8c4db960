"""What a hostile researcher tries first. Runs unchanged inside a workspace and, as the control, outside of it.

Reads parameters from the dictionary ``TARGETS`` that the test puts in front; prints one JSON object, probe → outcome:
``"open"`` when the attempt succeeded, otherwise the name of the error.
"""
# ruff: noqa: PTH103, PTH108, PTH110, PTH112, PTH115, PTH120, PTH118, PTH123, PTH207, PTH208, RET503

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


# --- server and kernel: TARGETS["server"] is the server's process as the host numbers it ---


@probe("see the Jupyter server's process")
def _():
    for name in glob.glob("/proc/[0-9]*/cmdline"):
        with open(name, "rb") as file:
            if b"enclave_jupyter" in file.read() and not name.startswith(f"/proc/{os.getpid()}/"):
                return True
    return "not seen"


for _file in ("mem", "environ", "maps"):

    @probe(f"the Jupyter server's {_file}")
    def _(file=_file):
        for name in glob.glob("/proc/[0-9]*/cmdline"):
            folder = os.path.dirname(name)
            with open(name, "rb") as line:
                found = b"enclave_jupyter" in line.read() and folder != f"/proc/{os.getpid()}"
            if found:
                os.close(os.open(f"{folder}/{file}", os.O_RDWR if file == "mem" else os.O_RDONLY))
                return True
        return "not seen"


@probe("signal the Jupyter server")
def _():
    os.kill(TARGETS["server"], 0)


@probe("the host's channel among the open descriptors")
def _():
    for name in os.listdir("/proc/self/fd"):
        try:
            kind = os.readlink(f"/proc/self/fd/{name}")
            if kind.startswith("socket:"):
                with socket.socket(fileno=os.dup(int(name))) as found:
                    if found.family == socket.AF_UNIX and found.type == socket.SOCK_SEQPACKET:
                        return True
        except OSError:
            continue
    return "none"


@probe("the host's channel in the environment")
def _():
    return True if "ENCLAVE_HOST_FD" in os.environ else "none"


@probe("the socket folder of another kernel")
def _():
    for above in TARGETS["ipc"]:
        if os.path.isdir(above) and any(TARGETS["other_kernel"] == name for name in os.listdir(above)):
            return True
    return "not seen"


@probe("read another kernel's connection file")
def _():
    for above in TARGETS["ipc"]:
        path = os.path.join(above, TARGETS["other_kernel"], "kernel.json")
        if os.path.exists(path):
            with open(path) as file:
                return "key" in file.read()
    return "not seen"


# --- system calls outside of the allow-list: outside, each one is at least known to the kernel and not forbidden ---

FORBIDDEN = (1, 38)
SYSCALLS = {
    "process_vm_readv": (310, os.getpid(), 0, 0, 0, 0, 0),
    "process_vm_writev": (311, os.getpid(), 0, 0, 0, 0, 0),
    "kcmp": (312, os.getpid(), os.getpid(), 0, 0, 0),
    "pidfd_getfd": (438, -1, 0, 0),
    "name_to_handle_at": (303, -1, 0, 0, 0, 0),
    "open_by_handle_at": (304, -1, 0, 0),
    "add_key": (248, 0, 0, 0, 0, 0),
    "request_key": (249, 0, 0, 0, 0),
    "fsopen": (430, 0, 0),
    "open_tree": (428, -1, 0, 0xFFFF),
    "mount_setattr": (442, -1, 0, 0xFFFFFFFF, 0, 0),
    "setns": (308, -1, 0),
    "swapoff": (168, 0),
    "quotactl": (179, 0xFFFFFFFF, 0, 0, 0),
    "chroot": (161, 0),
    "unshare of a mount namespace": (272, 0x00020000 | 0x80000000),
    "clone3": (435, 0, 0),
}

for _name, _call in SYSCALLS.items():

    @probe(f"system call {_name}")
    def _(call=_call):
        if LIBC.syscall(*call) >= 0:
            return True
        number = ctypes.get_errno()
        return f"errno {number}" if number in FORBIDDEN else True


@probe("a device node")
def _():
    path = "/tmp/probe-device"
    os.mknod(path, 0o20600, os.makedev(1, 3))
    os.unlink(path)


print(json.dumps(RESULTS))
