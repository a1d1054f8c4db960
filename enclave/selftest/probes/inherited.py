"""What came in by itself: open files, terminals, shared memory and queues of the host; and what is given away."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import re
import stat
import termios
from pathlib import Path

from .calls import LIBC
from .model import Attempt, Closed, NotApplicable, Probe, Targets, target

_STANDARD = 3
STARTED_WITH: list[tuple[int, int, str]] = []
"""Descriptors (number, mode, target) when the runner began; it fills this in before it opens anything."""


def note_descriptors() -> None:
    """Remember what was open at the start."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            mode, to = os.fstat(int(name)).st_mode, os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
        except OSError:
            continue
        STARTED_WITH.append((int(name), mode, to))


def _unexpected(targets: Targets) -> str:
    """Beside the three standard ones, only what the server is meant to hold (by number)."""
    meant = set(map(int, targets.get("meant_descriptors", ())))
    found = [to for number, _, to in STARTED_WITH if number >= _STANDARD and number not in meant]
    found = [to for to in found if not re.search(r"selftest\.pyz|^/proc/\d+/fd$", to)]
    if not found:
        raise Closed("none")
    return f"{len(found)} open: {', '.join(sorted({_kind(to) for to in found}))}"


def _kind(to: str) -> str:
    """What it is, without naming a path of the host."""
    return to.split(":")[0] if ":" in to else "a path"


def _folder(targets: Targets) -> str:
    """An open folder of the host would lead to everything beside it."""
    found = [n for n, mode, to in STARTED_WITH if stat.S_ISDIR(mode) and not to.startswith("/proc/")]
    if not found:
        raise Closed("none")
    return f"{len(found)} folders are open"


def _standard_leads_out(targets: Targets) -> str:
    """Where the three standard ones lead: a file of the host may be written to, not read."""
    for number, _, to in STARTED_WITH:
        if number < _STANDARD and to.startswith("/") and to != "/dev/null":
            flags = fcntl.fcntl(number, fcntl.F_GETFL)
            if flags & os.O_ACCMODE != os.O_WRONLY:
                return "a file of the host is open for reading"
    raise Closed("nothing to read")


def _terminal(targets: Targets) -> str:
    """Type into the terminal that started us (CVE-2017-5226)."""
    terminal = os.open("/dev/tty", os.O_RDWR)
    try:
        fcntl.ioctl(terminal, termios.TIOCSTI, b" ")
    finally:
        os.close(terminal)
    return "a character could be typed into the terminal outside"


def _standard_terminal(targets: Targets) -> str:
    if not any(os.isatty(number) for number in range(_STANDARD)):
        raise Closed("no terminal")
    return "a terminal of the host is open"


def _console_paste(targets: Targets) -> str:
    """Paste into the machine's console (TIOCLINUX)."""
    console = os.open("/dev/tty1", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    os.close(console)
    return "the machine's console could be opened"


def _system_v(call: str, *more: int) -> Attempt:
    def attempt(targets: Targets) -> str:
        found = getattr(LIBC, call)(int(target(targets, f"{call}_key")), *more)
        if found == -1:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return "one of the host's was found by its key"

    return attempt


def _system_v_list(name: str) -> Attempt:
    def attempt(targets: Targets) -> str:
        try:
            lines = Path(f"/proc/sysvipc/{name}").read_text().splitlines()[1:]
        except FileNotFoundError as error:
            raise NotApplicable("this kernel has none") from error
        if not lines:
            raise Closed("none")
        return f"{len(lines)} of the host's are listed"

    return attempt


def _queue(targets: Targets) -> str:
    """A POSIX message queue of the host, by name."""
    try:
        library = ctypes.CDLL("librt.so.1", use_errno=True)
        opened = library.mq_open(target(targets, "mq_name").encode(), os.O_RDONLY)
    except (OSError, AttributeError):
        opened = LIBC.mq_open(target(targets, "mq_name").encode(), os.O_RDONLY)
    if opened == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    os.close(opened)
    return "a queue of the host was opened"


def _shared_file(targets: Targets) -> str:
    with open(target(targets, "shm_file"), "rb") as file:  # noqa: PTH123
        return f"{len(file.read(16))} bytes of the host's shared memory"


# --- what is given away: noted, harms nobody by itself ---


def _paths_in(file: str) -> Attempt:
    """Does the file name the place of the enclave's state on the host?"""

    def attempt(targets: Targets) -> str:
        home = str(target(targets, "home_folder"))
        found = Path(file).read_bytes().decode(errors="replace").count(home)
        if not found:
            raise Closed("no path of the host")
        return f"a path of the host is named {found} times"

    return attempt


def _host_name(targets: Targets) -> str:
    if platform.node() != target(targets, "host_name"):
        raise Closed("a name of its own")
    return "the host's name"


def _first_command(targets: Targets) -> str:
    return _paths_in("/proc/1/cmdline")(targets)


def _environment_paths(targets: Targets) -> str:
    home = str(target(targets, "home_folder"))
    found = [name for name, value in os.environ.items() if home in value]
    if not found:
        raise Closed("no path of the host")
    return f"a path of the host is in {', '.join(sorted(found))}"


def _group_path(targets: Targets) -> str:
    lines = [line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines()]
    if all(path == "/" for path in lines):
        raise Closed("its own root only")
    return "the control group's path on the host is shown"


def _load(targets: Targets) -> str:
    os.getloadavg()
    if Path("/proc/loadavg").read_text():
        return "the machine's load is readable (it tells when others compute)"
    raise Closed("empty")


def _p(name: str, group: str, english: str, french: str, attempt: Attempt, noted: bool = False) -> Probe:
    return Probe(name, group, english, french, attempt, noted=noted)


_SHM, _DESC = "shared-memory", "inherited"
PROBES = (
    _p(
        "descriptor-unexpected",
        _DESC,
        "Hold an open file that nobody meant it to.",
        "Détenir un fichier ouvert non prévu.",
        _unexpected,
    ),
    _p("descriptor-folder", _DESC, "Hold an open folder of the host.", "Détenir un dossier ouvert de l'hôte.", _folder),
    _p(
        "descriptor-standard",
        _DESC,
        "Read a file of the host through a standard stream.",
        "Lire un fichier de l'hôte par un flux standard.",
        _standard_leads_out,
    ),
    _p("terminal-typing", _DESC, "Type into the terminal outside.", "Taper dans le terminal extérieur.", _terminal),
    _p(
        "terminal-standard", _DESC, "Hold a terminal of the host.", "Détenir un terminal de l'hôte.", _standard_terminal
    ),
    _p(
        "terminal-console",
        _DESC,
        "Open the machine's console for pasting.",
        "Ouvrir la console de la machine pour y coller.",
        _console_paste,
    ),
    _p(
        "sysv-memory",
        _SHM,
        "System V shared memory of the host.",
        "Mémoire partagée System V de l'hôte.",
        _system_v("shmget", 0, 0),
    ),
    _p(
        "sysv-semaphore",
        _SHM,
        "System V semaphores of the host.",
        "Sémaphores System V de l'hôte.",
        _system_v("semget", 0, 0),
    ),
    _p(
        "sysv-queue",
        _SHM,
        "System V message queue of the host.",
        "File de messages System V de l'hôte.",
        _system_v("msgget", 0),
    ),
    _p(
        "sysv-list",
        _SHM,
        "List the host's System V shared memory.",
        "Lister la mémoire partagée System V de l'hôte.",
        _system_v_list("shm"),
    ),
    _p("posix-queue", _SHM, "POSIX message queue of the host.", "File de messages POSIX de l'hôte.", _queue),
    _p("posix-memory", _SHM, "POSIX shared memory of the host.", "Mémoire partagée POSIX de l'hôte.", _shared_file),
    _p(
        "leak-mounts",
        "leaks",
        "Learn paths of the host from the mounts.",
        "Apprendre des chemins de l'hôte par les montages.",
        _paths_in("/proc/self/mountinfo"),
        True,
    ),
    _p(
        "leak-command",
        "leaks",
        "Learn paths of the host from process 1.",
        "Apprendre des chemins de l'hôte par le processus 1.",
        _first_command,
        True,
    ),
    _p(
        "leak-environment",
        "leaks",
        "Learn paths of the host from the environment.",
        "Apprendre des chemins de l'hôte par l'environnement.",
        _environment_paths,
        True,
    ),
    _p("leak-name", "leaks", "Learn the host's name.", "Apprendre le nom de l'hôte.", _host_name, True),
    _p(
        "leak-group",
        "leaks",
        "Learn the control group's path.",
        "Apprendre le chemin du groupe de contrôle.",
        _group_path,
        True,
    ),
    _p("leak-load", "leaks", "Learn the machine's load.", "Apprendre la charge de la machine.", _load, True),
)
