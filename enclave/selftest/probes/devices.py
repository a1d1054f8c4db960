"""Devices, and the kernel's own files under /proc and /sys. Files are opened, and never written to."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from .model import Attempt, Closed, NotApplicable, Probe, Targets

_C, _B = stat.S_IFCHR, stat.S_IFBLK
_ABSENT = (errno.ENXIO, errno.ENODEV)
# path, kind, major, minor, what
DEVICES: tuple[tuple[str, int, int, int, str, str], ...] = (
    ("/dev/mem", _C, 1, 1, "the machine's memory", "la mémoire de la machine"),
    ("/dev/port", _C, 1, 4, "the machine's ports", "les ports de la machine"),
    ("/dev/kmsg", _C, 1, 11, "the kernel's messages", "les messages du noyau"),
    ("/dev/console", _C, 5, 1, "the machine's console", "la console de la machine"),
    ("/dev/tty0", _C, 4, 0, "the screen's terminal", "le terminal de l'écran"),
    ("/dev/ttyS0", _C, 4, 64, "the serial line", "la ligne série"),
    ("/dev/kvm", _C, 10, 232, "the hypervisor", "l'hyperviseur"),
    ("/dev/fuse", _C, 10, 229, "file systems of one's own", "des systèmes de fichiers à soi"),
    ("/dev/net/tun", _C, 10, 200, "network tunnels", "tunnels réseau"),
    ("/dev/loop-control", _C, 10, 237, "loop devices", "périphériques de boucle"),
    ("/dev/loop0", _B, 7, 0, "a loop device", "un périphérique de boucle"),
    ("/dev/vsock", _C, 10, 121, "the way to the hypervisor", "la voie vers l'hyperviseur"),
    ("/dev/vhost-net", _C, 10, 238, "virtual networks", "réseaux virtuels"),
    ("/dev/vhost-vsock", _C, 10, 241, "virtual machines' sockets", "sockets des machines virtuelles"),
    ("/dev/userfaultfd", _C, 10, 126, "page faults", "défauts de page"),
    ("/dev/autofs", _C, 10, 235, "the automounter", "le montage automatique"),
    ("/dev/hwrng", _C, 10, 183, "the hardware's random numbers", "le générateur aléatoire matériel"),
    ("/dev/nvram", _C, 10, 144, "the firmware's memory", "la mémoire du micrologiciel"),
    ("/dev/snapshot", _C, 10, 231, "the image of hibernation", "l'image d'hibernation"),
    ("/dev/cpu/0/msr", _C, 202, 0, "the processor's registers", "les registres du processeur"),
    ("/dev/uinput", _C, 10, 223, "a keyboard of one's own", "un clavier à soi"),
    ("/dev/dri/card0", _C, 226, 0, "the graphics card", "la carte graphique"),
    ("/dev/input/event0", _C, 13, 64, "the keyboard", "le clavier"),
    ("/dev/rtc0", _C, 248, 0, "the hardware's clock", "l'horloge matérielle"),
    ("/dev/mapper/control", _C, 10, 236, "the device mapper", "le gestionnaire de volumes"),
)


def _device(path: str, kind: int, major: int, minor: int) -> Attempt:
    """Open the node that is there, or make one of the same number and open that."""

    def attempt(targets: Targets) -> str:
        try:
            return _open(path)
        except FileNotFoundError:
            return _open_own(targets, kind, major, minor)

    return attempt


def _open(path: str) -> str:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
    except OSError as error:
        if error.errno in _ABSENT:
            raise NotApplicable("this machine has no such device") from error
        if error.errno == errno.EBUSY:
            return "the device answered that it is busy"
        raise
    return "the device could be opened"


def _open_own(targets: Targets, kind: int, major: int, minor: int) -> str:
    own = Path(str(targets["scratch"])) / f"device-{major}-{minor}"
    own.unlink(missing_ok=True)
    os.mknod(own, kind | 0o600, os.makedev(major, minor))
    try:
        return _open(str(own))
    finally:
        own.unlink()


def _disk(targets: Targets) -> str:
    """The machine's first disk, by its number: with it every file on it."""
    lines = Path("/proc/partitions").read_text().split("\n")[2:]
    disks = [line.split() for line in lines if line.split() and not line.split()[3].startswith("ram")]
    if not disks:
        raise NotApplicable("this machine has no disk")
    failures = []
    for major, minor, *_ in disks:
        try:
            return _open_own(targets, _B, int(major), int(minor))
        except OSError as error:
            failures.append(error)
    if targets.get("unconfined"):
        raise NotApplicable("this machine lets not even root open its disk")
    raise failures[0]


def _node(kind: int, major: int, minor: int) -> Attempt:
    def attempt(targets: Targets) -> str:
        own = Path(str(targets["scratch"])) / "node"
        own.unlink(missing_ok=True)
        os.mknod(own, kind | 0o600, os.makedev(major, minor))
        own.unlink()
        return "a device node could be made"

    return attempt


R, W = os.O_RDONLY, os.O_WRONLY
# id, path, mode, what
KERNEL: tuple[tuple[str, str, int, str, str], ...] = (
    ("sysrq", "/proc/sysrq-trigger", W, "the emergency keys", "les touches d'urgence"),
    ("kcore", "/proc/kcore", R, "the kernel's memory", "la mémoire du noyau"),
    ("kmsg", "/proc/kmsg", R, "the kernel's messages", "les messages du noyau"),
    ("core-pattern", "/proc/sys/kernel/core_pattern", W, "who handles crashes", "le traitement des plantages"),
    ("modprobe", "/proc/sys/kernel/modprobe", W, "who loads modules", "le chargement des modules"),
    ("panic-on-oom", "/proc/sys/vm/panic_on_oom", W, "what memory shortage does", "l'effet du manque de mémoire"),
    ("ip-forward", "/proc/sys/net/ipv4/ip_forward", W, "the kernel's routing", "le routage du noyau"),
    ("hostname", "/proc/sys/kernel/hostname", W, "the machine's name", "le nom de la machine"),
    ("binfmt", "/proc/sys/fs/binfmt_misc/register", W, "how programs are run", "l'exécution des programmes"),
    ("ptrace-scope", "/proc/sys/kernel/yama/ptrace_scope", W, "who may trace", "qui peut tracer"),
    ("irq", "/proc/irq/default_smp_affinity", W, "interrupts", "les interruptions"),
    ("timer-list", "/proc/timer_list", R, "the kernel's timers", "les minuteries du noyau"),
    ("slabinfo", "/proc/slabinfo", R, "the kernel's allocations", "les allocations du noyau"),
    ("page-flags", "/proc/kpageflags", R, "the machine's pages", "les pages de la machine"),
    ("uevent-helper", "/sys/kernel/uevent_helper", W, "who handles devices", "le traitement des périphériques"),
    ("sys-power", "/sys/power/state", W, "the machine's sleep", "la mise en veille"),
    ("sys-oom", "/sys/kernel/mm/transparent_hugepage/enabled", W, "memory management", "la gestion de la mémoire"),
    ("vmcoreinfo", "/sys/kernel/vmcoreinfo", R, "where the kernel lies", "l'emplacement du noyau"),
    ("notes", "/sys/kernel/notes", R, "the kernel's build", "la compilation du noyau"),
    ("efi", "/sys/firmware/acpi/tables/FACP", R, "the firmware's tables", "les tables du micrologiciel"),
)
FOLDERS: tuple[tuple[str, str, str, str], ...] = (
    ("sys", "/sys/class", "the machine's hardware", "le matériel de la machine"),
    ("debugfs", "/sys/kernel/debug", "the kernel's debugging files", "les fichiers de débogage du noyau"),
    ("tracefs", "/sys/kernel/tracing", "the kernel's tracing files", "les fichiers de traçage du noyau"),
    ("bpffs", "/sys/fs/bpf", "programs in the kernel", "les programmes dans le noyau"),
    ("securityfs", "/sys/kernel/security", "the security modules", "les modules de sécurité"),
    ("cgroup", "/sys/fs/cgroup", "the control groups", "les groupes de contrôle"),
    ("block", "/sys/block", "the machine's disks", "les disques de la machine"),
)


def _opens(path: str, mode: int) -> Attempt:
    def attempt(targets: Targets) -> str:
        try:
            opened = os.open(path, mode | os.O_NONBLOCK)
            is_masked = stat.S_ISCHR(os.fstat(opened).st_mode)
            os.close(opened)
        except FileNotFoundError as error:
            if targets.get("unconfined"):
                raise NotApplicable("this kernel has no such file") from error
            raise Closed("not there") from error
        if is_masked:
            raise Closed("masked")
        return f"opened for {'writing' if mode == W else 'reading'}"

    return attempt


def _lists(path: str) -> Attempt:
    def attempt(targets: Targets) -> str:
        found = os.listdir(path)  # noqa: PTH208
        if not found:
            raise Closed("empty")
        return f"{len(found)} entries"

    return attempt


def _symbols(targets: Targets) -> str:
    """Addresses of the kernel's functions; zeros for those who may not know."""
    with open("/proc/kallsyms") as file:  # noqa: PTH123
        found = any(int(line.split()[0], 16) for _, line in zip(range(200), file, strict=False))
    if not found:
        raise Closed("hidden")
    return "addresses of the kernel's functions are readable"


def _memory_map(targets: Targets) -> str:
    """Where the machine's memory and devices lie; zeros for those who may not know."""
    if not any(int(line.split("-")[0], 16) for line in Path("/proc/iomem").read_text().splitlines()):
        raise Closed("hidden")
    return "addresses of memory and devices are readable"


def _keyrings(targets: Targets) -> str:
    """Keys of other accounts, or of processes outside."""
    others = [line for line in Path("/proc/keys").read_text().splitlines() if int(line.split()[5]) != os.getuid()]
    if not others and not targets.get("unconfined"):
        raise Closed("none of others")
    return f"{len(others)} keys of others are listed"


def _release_agent(targets: Targets) -> str:
    """A control group's release agent runs as root outside (CVE-2022-0492)."""
    found = [path for path in Path("/sys/fs/cgroup").glob("*/release_agent") if os.access(path, os.W_OK)]
    for path in found:
        os.close(os.open(path, os.O_WRONLY))
        return "a release agent could be set"
    raise Closed("not there")


def _own_group(targets: Targets) -> str:
    """Leave the workspace's control group, and its limits with it."""
    for path in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*")):
        group = path / "selftest-probe"
        try:
            group.mkdir()
        except OSError:
            continue
        group.rmdir()
        return "a control group could be made"
    raise Closed("none could be made")


def _score(targets: Targets) -> str:
    """Be the last that the kernel ends when memory is short."""
    Path("/proc/self/oom_score_adj").write_text("-1000")
    return "it cannot be ended any more"


PROBES = (
    *(
        Probe(
            "device-" + path.removeprefix("/dev/").replace("/", "-"),
            "devices",
            f"Open {path} ({en}).",
            f"Ouvrir {path} ({fr}).",
            _device(path, kind, major, minor),
        )
        for path, kind, major, minor, en, fr in DEVICES
    ),
    Probe(
        "device-disk",
        "devices",
        "Read the machine's disk past its files.",
        "Lire le disque de la machine sans passer par ses fichiers.",
        _disk,
    ),
    Probe("node-character", "devices", "Make a character device.", "Créer un périphérique caractère.", _node(_C, 1, 3)),
    Probe("node-block", "devices", "Make a block device.", "Créer un périphérique bloc.", _node(_B, 7, 9)),
    *(
        Probe(f"kernel-{name}", "kernel-files", f"Open {path} ({en}).", f"Ouvrir {path} ({fr}).", _opens(path, mode))
        for name, path, mode, en, fr in KERNEL
    ),
    *(
        Probe(f"kernel-{name}", "kernel-files", f"List {path} ({en}).", f"Lister {path} ({fr}).", _lists(path))
        for name, path, en, fr in FOLDERS
    ),
    Probe(
        "kernel-symbols",
        "kernel-files",
        "Learn where the kernel's functions lie.",
        "Apprendre où se trouvent les fonctions du noyau.",
        _symbols,
    ),
    Probe(
        "kernel-memory-map",
        "kernel-files",
        "Learn where the machine's memory lies.",
        "Apprendre où se trouve la mémoire de la machine.",
        _memory_map,
    ),
    Probe("kernel-keys", "kernel-files", "List other accounts' keys.", "Lister les clés d'autres comptes.", _keyrings),
    Probe(
        "cgroup-release-agent",
        "kernel-files",
        "Set a control group's release agent.",
        "Régler l'agent de libération d'un groupe de contrôle.",
        _release_agent,
    ),
    Probe(
        "cgroup-new",
        "kernel-files",
        "Make a control group of its own.",
        "Créer son propre groupe de contrôle.",
        _own_group,
    ),
    Probe(
        "oom-score",
        "kernel-files",
        "Make itself immune to memory shortage.",
        "Se rendre insensible au manque de mémoire.",
        _score,
    ),
)
