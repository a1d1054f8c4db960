"""What a member tries in the shared folder. Runs unchanged in a workspace and, as the control, in a folder outside.

``FOLDER`` is the folder, ``SIZE`` its quota in bytes (0: do not fill it); prints one JSON object, probe → outcome:
``"open"`` when the attempt succeeded, otherwise the error's name.
"""
# ruff: noqa: PTH101, PTH102, PTH103, PTH104, PTH108, PTH110, PTH120, PTH123, PTH208, PTH211

import ctypes
import errno
import json
import os
import socket
import stat
import subprocess
import sys

FOLDER, SIZE = globals()["FOLDER"], globals()["SIZE"]
LIBC = ctypes.CDLL(None, use_errno=True)
RESULTS = {}
P = FOLDER + "/"


def probe(name):
    def run(attempt):
        try:
            outcome = attempt()
        except OSError as error:
            outcome = errno.errorcode.get(error.errno, type(error).__name__)
        RESULTS[name] = "open" if outcome in (None, True) else str(outcome)
        return attempt

    return run


def bound(path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
    return True


@probe("socket")
def _():
    return bound(P + "s1")


@probe("socket through the open folder")
def _():
    folder = os.open(FOLDER, os.O_RDONLY)
    return bound(f"/proc/self/fd/{folder}/s2")


@probe("datagram socket in a folder below")
def _():
    os.makedirs(P + "below", exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(P + "below/s3")


@probe("socket by mknod")
def _():
    os.mknod(P + "s4", stat.S_IFSOCK | 0o777)


@probe("socket moved in from the home")
def _():
    home = os.path.dirname(FOLDER)
    bound(home + "/s5")
    os.rename(home + "/s5", P + "s5")


@probe("socket linked in from /tmp")
def _():
    bound(f"/tmp/s6-{os.getpid()}")
    os.link(f"/tmp/s6-{os.getpid()}", P + "s6")


@probe("socket made by a child that was started anew")
def _():
    code = f"import socket; socket.socket(socket.AF_UNIX).bind({P + 's7'!r})"
    run = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    return run.returncode == 0 or run.stderr.strip().splitlines()[-1].split(":")[0]


@probe("fifo")
def _():
    os.mkfifo(P + "f1")


@probe("character device")
def _():
    os.mknod(P + "d1", stat.S_IFCHR | 0o666, os.makedev(1, 3))


@probe("the gateway's socket linked in")
def _():
    os.link("/run/enclave/gateway.sock", P + "gateway.sock")


@probe("another mount of the gateway's socket")
def _():
    open(P + "m", "w").close()
    found = LIBC.mount(b"/run/enclave/gateway.sock", (P + "m").encode(), None, 4096, None)
    return found == 0 or errno.errorcode[ctypes.get_errno()]


@probe("following a symbolic link")
def _():
    os.symlink("/etc/passwd", P + "link")
    return open(P + "link").read() != ""


@probe("writing through a symbolic link to a folder")
def _():
    os.symlink("/tmp", P + "linked")
    open(P + "linked/written", "w").close()


@probe("executing a program")
def _():
    with open(P + "run", "wb") as file, open("/bin/true", "rb") as true:
        file.write(true.read())
    os.chmod(P + "run", 0o777)
    return subprocess.run([P + "run"]).returncode == 0


@probe("loading a library")
def _():
    source = next(
        f"/usr/lib/{d}/libm.so.6" for d in os.listdir("/usr/lib") if os.path.exists(f"/usr/lib/{d}/libm.so.6")
    )
    with open(P + "libm-own.so", "wb") as file, open(source, "rb") as library:
        file.write(library.read())
    try:
        ctypes.CDLL(P + "libm-own.so")
    except OSError:
        return "refused"


@probe("a set-uid bit that counts")
def _():
    # asked of the mount: ST_NOSUID; a bit that is only stored does nothing
    return "nosuid" if os.statvfs(FOLDER).f_flag & 2 else True


@probe("replacing the folder")
def _():
    os.rename(FOLDER, FOLDER + "-moved")
    os.rename(FOLDER + "-moved", FOLDER)


@probe("a home's file linked in, to be read by others")
def _():
    home = os.path.dirname(FOLDER)
    open(home + "/private", "w").close()
    os.link(home + "/private", P + "hard")


@probe("more bytes than the quota")
def _():
    written = 0
    try:
        with open(P + "bomb", "wb") as file:
            while written < (SIZE or 1) + (1 << 20):
                written += file.write(b"x" * (1 << 20))
                file.flush()
    finally:
        os.unlink(P + "bomb")


@probe("more files than the quota")
def _():
    os.mkdir(P + "many")
    made = 0
    try:
        for made in range(SIZE // 16_384 + 1100 if SIZE else 10):
            os.close(os.open(f"{P}many/{made}", os.O_CREAT | os.O_WRONLY))
    finally:
        for number in range(made + 1):
            if os.path.exists(f"{P}many/{number}"):
                os.unlink(f"{P}many/{number}")


print(json.dumps(RESULTS))
