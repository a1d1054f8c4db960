"""System calls that lead out of a sandbox or into the kernel's less trodden parts. None of these attempts does harm:
what would, is asked with arguments that the kernel refuses only after it has let us in.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from pathlib import Path

from .calls import call, gives_descriptor, in_child, reaches_kernel
from .model import Attempt, Closed, NotApplicable, Probe, Targets

_NEW = {
    "user": 0x10000000,
    "mount": 0x00020000,
    "network": 0x40000000,
    "process": 0x20000000,
    "ipc": 0x08000000,
    "name": 0x04000000,
    "cgroup": 0x02000000,
    "time": 0x00000080,
}
_AT_FDCWD = -100
_SIGCHLD = 17
_TICK = 0x4000




def reach(name: str, *arguments: object) -> Attempt:
    return lambda targets: reaches_kernel(name, *arguments)


def child(name: str, *arguments: object) -> Attempt:
    return lambda targets: in_child(name, *arguments)


def descriptor(name: str, *arguments: object) -> Attempt:
    return lambda targets: gives_descriptor(name, *arguments)


def _mount(targets: Targets) -> str:
    folder = Path(str(targets["scratch"])) / "mount"
    folder.mkdir(exist_ok=True)
    call("mount", b"none", str(folder).encode(), b"tmpfs", 0, None)
    call("umount2", str(folder).encode(), 2)
    return "a file system was mounted"


def _remount(targets: Targets) -> str:
    """Make the read-only root writable: with flags that change nothing more."""
    folder = Path(str(targets["scratch"])) / "bind"
    folder.mkdir(exist_ok=True)
    call("mount", b"/", str(folder).encode(), None, 0x1000, None)
    call("umount2", str(folder).encode(), 2)
    return "the root was mounted a second time"


def _umount(targets: Targets) -> str:
    folder = Path(str(targets["scratch"])) / "no-mount"
    folder.mkdir(exist_ok=True)
    return reaches_kernel("umount2", str(folder).encode(), 0)


def _setns(targets: Targets) -> str:
    opened = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        return in_child("setns", opened, 0)
    finally:
        os.close(opened)


def _setns_of_first(targets: Targets) -> str:
    """The namespaces of process 1."""
    opened = os.open("/proc/1/ns/mnt", os.O_RDONLY)
    try:
        return in_child("setns", opened, 0)
    finally:
        os.close(opened)


def _clone(flags: int) -> Attempt:
    def attempt(targets: Targets) -> str:
        pid = call("clone", flags | _SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return "a process in a namespace of its own"

    return attempt


def _clone3(targets: Targets) -> str:
    arguments = struct.pack("8Q", _NEW["user"], 0, 0, 0, _SIGCHLD, 0, 0, 0)
    pid = call("clone3", arguments, len(arguments))
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "a process in a namespace of its own"


def _handle(targets: Targets) -> bytes:
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 8 + 128)
    number = ctypes.c_int()
    call("name_to_handle_at", _AT_FDCWD, b"/", handle, ctypes.byref(number), 0)
    return handle.raw


def _name_to_handle(targets: Targets) -> str:
    return f"a handle of {struct.unpack_from('I', _handle(targets))[0]} bytes"


def _open_by_handle(targets: Targets) -> str:
    """Files by number instead of name, past every mount (the "shocker" escape)."""
    root = os.open("/", os.O_RDONLY)
    try:
        try:
            handle = _handle(targets)
        except OSError:
            handle = struct.pack("Ii", 8, 1) + struct.pack("Ii", 2, 0)
        return reaches_kernel("open_by_handle_at", root, handle, os.O_RDONLY)
    finally:
        os.close(root)


def _bpf(targets: Targets) -> str:
    attributes = struct.pack("4I", 2, 4, 4, 1) + bytes(56)
    return gives_descriptor("bpf", 0, attributes, len(attributes))


def _perf(targets: Targets) -> str:
    """A counter of this process's own time, without the kernel's part."""
    attributes = struct.pack("IIQQQQQ", 1, 112, 1, 0, 0, 0, 0b1100001) + bytes(64)
    return gives_descriptor("perf_event_open", attributes, 0, -1, -1, 0)


def _io_uring(targets: Targets) -> str:
    return gives_descriptor("io_uring_setup", 4, ctypes.create_string_buffer(256))


def _clock(name: str, *first: int) -> Attempt:
    """Set the clock's tick to what it is: needs the permission, changes nothing."""

    def attempt(targets: Targets) -> str:
        timex = ctypes.create_string_buffer(208)
        call(name, *first, timex)
        tick = struct.unpack_from("q", timex, 88)[0]
        struct.pack_into("I", timex, 0, _TICK)
        struct.pack_into("q", timex, 88, tick)
        call(name, *first, timex)
        return "the clock could be set"

    return attempt


def _settimeofday(targets: Targets) -> str:
    """Nothing to set: only the permission is looked at."""
    call("settimeofday", None, None)
    return "the clock could be set"


def _syslog(targets: Targets) -> str:
    buffer = ctypes.create_string_buffer(64)
    return f"{call('syslog', 3, buffer, 64)} bytes of the kernel's messages"


def _hang_up(targets: Targets) -> str:
    """In a session of its own, which has no terminal to hang up."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        try:
            call("vhangup")
        except OSError as error:
            os._exit(min(error.errno or 1, 200))
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(code, os.strerror(code))
    return "terminals could be hung up"


def _vmsplice(targets: Targets) -> str:
    reader, writer = os.pipe()
    try:
        data = ctypes.create_string_buffer(b"x" * 64)
        vector = struct.pack("PN", ctypes.addressof(data), 64)
        return f"{call('vmsplice', writer, vector, 1, 0)} bytes of memory were given to a pipe"
    finally:
        os.close(reader)
        os.close(writer)


def _pidfd_getfd(targets: Targets) -> str:
    """Take an open file out of the process above."""
    process = call("pidfd_open", os.getppid(), 0)
    try:
        return gives_descriptor("pidfd_getfd", process, 0, 0)
    finally:
        os.close(process)


def _module(targets: Targets) -> str:
    return reaches_kernel("init_module", 0, 0, b"")


def _known(attempt: Attempt) -> Attempt:
    """In a kernel without the feature there is nothing to try, wherever no filter stands before it."""

    def tried(targets: Targets) -> str:
        try:
            return attempt(targets)
        except (Closed, OSError) as reason:
            absent = isinstance(reason, Closed) and str(reason) == "ENOSYS" or getattr(reason, "errno", 0) == errno.ENOSYS
            if absent and targets.get("unconfined"):
                raise NotApplicable("this kernel was built without it") from reason
            raise

    return tried


ROWS: tuple[tuple[str, str, str, Attempt], ...] = (
    ("mount", "Mount a file system.", "Monter un système de fichiers.", _mount),
    ("bind-mount", "Mount the root a second time.", "Monter la racine une seconde fois.", _remount),
    ("umount", "Unmount a file system.", "Démonter un système de fichiers.", _umount),
    ("fsopen", "Begin a mount in the new way.", "Commencer un montage à la nouvelle manière.", descriptor("fsopen", b"tmpfs", 0)),
    ("fspick", "Change a mounted file system.", "Modifier un système de fichiers monté.", descriptor("fspick", _AT_FDCWD, b"/", 0)),
    ("fsmount", "End a mount in the new way.", "Terminer un montage à la nouvelle manière.", reach("fsmount", -1, 0, 0)),
    ("open-tree", "Copy a tree of mounts.", "Copier une arborescence de montages.", descriptor("open_tree", _AT_FDCWD, b"/", 1)),
    ("move-mount", "Move a mount.", "Déplacer un montage.", reach("move_mount", -1, 0, -1, 0, 0)),
    ("mount-setattr", "Make a mount writable.", "Rendre un montage inscriptible.", reach("mount_setattr", _AT_FDCWD, b"/", 0, struct.pack("4Q", 2, 0, 0, 0), 32)),
    ("pivot-root", "Change the root of all files.", "Changer la racine des fichiers.", reach("pivot_root", b"/", b"/")),
    ("chroot", "Change its own root.", "Changer sa propre racine.", child("chroot", b"/")),
    *(
        (f"unshare-{name}", f"Make a new {name} namespace.", f"Créer un nouvel espace de noms ({name}).", child("unshare", flag))
        for name, flag in _NEW.items()
    ),
    ("setns", "Enter a namespace.", "Entrer dans un espace de noms.", _setns),
    ("setns-process-1", "Enter the namespaces of process 1.", "Entrer dans les espaces de noms du processus 1.", _setns_of_first),
    ("clone-user", "Start a process in a user namespace.", "Lancer un processus dans un espace de noms d'utilisateurs.", _clone(_NEW["user"])),
    ("clone-network", "Start a process in a network namespace.", "Lancer un processus dans un espace de noms réseau.", _clone(_NEW["network"])),
    ("clone3", "The same by the new call, whose flags a filter cannot see.", "Idem par le nouvel appel, dont un filtre ne voit pas les options.", _clone3),
    ("name-to-handle", "Learn a file's number.", "Apprendre le numéro d'un fichier.", _name_to_handle),
    ("open-by-handle", "Open files by number, past every mount.", "Ouvrir des fichiers par numéro, au-delà des montages.", _open_by_handle),
    ("quotactl", "Change disk quotas.", "Modifier les quotas de disque.", _known(reach("quotactl", 1, 0, 0, 0))),
    ("swapon", "Add swap space.", "Ajouter de l'espace d'échange.", reach("swapon", 0, 0)),
    ("swapoff", "Take swap space away.", "Retirer de l'espace d'échange.", reach("swapoff", 0)),
    ("settimeofday", "Set the clock.", "Régler l'horloge.", _settimeofday),
    ("adjtimex", "Tune the clock.", "Ajuster l'horloge.", _clock("adjtimex")),
    ("clock-adjtime", "Tune a clock by number.", "Ajuster une horloge par numéro.", _clock("clock_adjtime", 0)),
    ("reboot", "Restart the machine.", "Redémarrer la machine.", reach("reboot", 0, 0, 0, 0)),
    ("kexec-load", "Replace the kernel.", "Remplacer le noyau.", _known(reach("kexec_load", 0, 99, 0, 0))),
    ("kexec-file-load", "Replace the kernel from a file.", "Remplacer le noyau depuis un fichier.", _known(reach("kexec_file_load", -1, -1, 0, 0, 0x7FFFFFFF))),
    ("init-module", "Load a kernel module.", "Charger un module du noyau.", _known(_module)),
    ("finit-module", "Load a kernel module from a file.", "Charger un module depuis un fichier.", _known(reach("finit_module", -1, 0, 0))),
    ("delete-module", "Remove a kernel module.", "Retirer un module du noyau.", _known(reach("delete_module", 0, 0))),
    ("bpf", "Put a program into the kernel.", "Placer un programme dans le noyau.", _known(_bpf)),
    ("perf-event", "Watch the processor.", "Observer le processeur.", _known(_perf)),
    ("io-uring", "Use io_uring, which no filter sees into.", "Utiliser io_uring, qu'un filtre ne voit pas.", _known(_io_uring)),
    ("userfaultfd", "Handle page faults.", "Traiter les défauts de page.", _known(descriptor("userfaultfd", 1))),
    ("keyctl", "Read a kernel keyring.", "Lire un trousseau du noyau.", _known(lambda t: f"keyring {bool(call('keyctl', 0, -4, 1))}")),
    ("add-key", "Add a key to the kernel.", "Ajouter une clé au noyau.", _known(lambda t: f"key {bool(call('add_key', b'user', b'selftest', b'x', 1, -2))}")),
    ("request-key", "Ask the kernel for a key.", "Demander une clé au noyau.", _known(reach("request_key", b"user", b"selftest-none", 0, 0))),
    ("syslog", "Read the kernel's messages.", "Lire les messages du noyau.", _syslog),
    ("acct", "Have all processes accounted.", "Faire comptabiliser les processus.", _known(reach("acct", b"/nonexistent-enclave-selftest"))),
    ("sethostname", "Rename the machine.", "Renommer la machine.", reach("sethostname", b"x", -1)),
    ("setdomainname", "Rename the machine's domain.", "Renommer le domaine de la machine.", reach("setdomainname", b"x", -1)),
    ("fanotify", "Watch every file of a file system.", "Surveiller tous les fichiers d'un système.", _known(descriptor("fanotify_init", 0, 0))),
    ("vhangup", "Hang up terminals.", "Raccrocher des terminaux.", _hang_up),
    ("iopl", "Reach the machine's ports.", "Atteindre les ports de la machine.", _known(child("iopl", 3))),
    ("ioperm", "Reach one of the machine's ports.", "Atteindre un port de la machine.", _known(child("ioperm", 0x80, 1, 1))),
    ("modify-ldt", "Change the processor's segments.", "Modifier les segments du processeur.", _known(lambda t: f"{call('modify_ldt', 0, ctypes.create_string_buffer(64), 64)} bytes")),
    ("personality", "Switch address randomisation off.", "Désactiver l'aléa des adresses.", child("personality", 0x0040000)),
    ("memfd-secret", "Hide memory from the kernel.", "Cacher de la mémoire au noyau.", _known(descriptor("memfd_secret", 0))),
    ("set-mempolicy", "Bind memory to a processor.", "Lier la mémoire à un processeur.", _known(child("set_mempolicy", 0, 0, 0))),
    ("move-pages", "Move a process's memory.", "Déplacer la mémoire d'un processus.", _known(reach("move_pages", 0, 0, 0, 0, 0, 0))),
    ("migrate-pages", "Move all of a process's memory.", "Déplacer toute la mémoire d'un processus.", _known(reach("migrate_pages", 0, 0, 0, 0))),
    ("vmsplice", "Give memory to a pipe (Dirty Pipe's way).", "Donner de la mémoire à un tube (voie de Dirty Pipe).", _vmsplice),
    ("pidfd-getfd", "Take another process's open file.", "Prendre un fichier ouvert d'un autre processus.", _pidfd_getfd),
    ("kcmp", "Compare processes' resources.", "Comparer les ressources de processus.", _known(lambda t: f"{call('kcmp', os.getpid(), os.getppid(), 1, 0, 0)}")),
)

PROBES = tuple(Probe(f"call-{name}", "system-calls", en, fr, attempt) for name, en, fr, attempt in ROWS)
