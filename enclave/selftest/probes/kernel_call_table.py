"""Every system call that is tried, with what it would be good for."""

from __future__ import annotations

import ctypes
import os
import struct

from .calls import call
from .kernel_calls import (
    AT_FDCWD,
    NEW,
    bpf,
    child,
    clock,
    clone,
    clone3,
    descriptor,
    hang_up,
    io_uring,
    known,
    module,
    mount,
    name_to_handle,
    open_by_handle,
    perf,
    pidfd_getfd,
    reach,
    remount,
    setns,
    setns_of_first,
    settimeofday,
    syslog,
    umount,
    vmsplice,
)
from .model import Attempt, Probe

ROWS: tuple[tuple[str, str, str, Attempt], ...] = (
    ("mount", "Mount a file system.", "Monter un système de fichiers.", mount),
    ("bind-mount", "Mount the root a second time.", "Monter la racine une seconde fois.", remount),
    ("umount", "Unmount a file system.", "Démonter un système de fichiers.", umount),
    (
        "fsopen",
        "Begin a mount in the new way.",
        "Commencer un montage à la nouvelle manière.",
        descriptor("fsopen", b"tmpfs", 0),
    ),
    (
        "fspick",
        "Change a mounted file system.",
        "Modifier un système de fichiers monté.",
        descriptor("fspick", AT_FDCWD, b"/", 0),
    ),
    (
        "fsmount",
        "End a mount in the new way.",
        "Terminer un montage à la nouvelle manière.",
        reach("fsmount", -1, 0, 0),
    ),
    (
        "open-tree",
        "Copy a tree of mounts.",
        "Copier une arborescence de montages.",
        descriptor("open_tree", AT_FDCWD, b"/", 1),
    ),
    ("move-mount", "Move a mount.", "Déplacer un montage.", reach("move_mount", -1, 0, -1, 0, 0)),
    (
        "mount-setattr",
        "Make a mount writable.",
        "Rendre un montage inscriptible.",
        reach("mount_setattr", AT_FDCWD, b"/", 0, struct.pack("4Q", 2, 0, 0, 0), 32),
    ),
    ("pivot-root", "Change the root of all files.", "Changer la racine des fichiers.", reach("pivot_root", b"/", b"/")),
    ("chroot", "Change its own root.", "Changer sa propre racine.", child("chroot", b"/")),
    *(
        (
            f"unshare-{name}",
            f"Make a new {name} namespace.",
            f"Créer un nouvel espace de noms ({name}).",
            child("unshare", flag),
        )
        for name, flag in NEW.items()
    ),
    ("setns", "Enter a namespace.", "Entrer dans un espace de noms.", setns),
    (
        "setns-process-1",
        "Enter the namespaces of process 1.",
        "Entrer dans les espaces de noms du processus 1.",
        setns_of_first,
    ),
    (
        "clone-user",
        "Start a process in a user namespace.",
        "Lancer un processus dans un espace de noms d'utilisateurs.",
        clone(NEW["user"]),
    ),
    (
        "clone-network",
        "Start a process in a network namespace.",
        "Lancer un processus dans un espace de noms réseau.",
        clone(NEW["network"]),
    ),
    (
        "clone3",
        "The same by the new call, whose flags a filter cannot see.",
        "Idem par le nouvel appel, dont un filtre ne voit pas les options.",
        clone3,
    ),
    ("name-to-handle", "Learn a file's number.", "Apprendre le numéro d'un fichier.", name_to_handle),
    (
        "open-by-handle",
        "Open files by number, past every mount.",
        "Ouvrir des fichiers par numéro, au-delà des montages.",
        open_by_handle,
    ),
    ("quotactl", "Change disk quotas.", "Modifier les quotas de disque.", known(reach("quotactl", 1, 0, 0, 0))),
    ("swapon", "Add swap space.", "Ajouter de l'espace d'échange.", reach("swapon", 0, 0)),
    ("swapoff", "Take swap space away.", "Retirer de l'espace d'échange.", reach("swapoff", 0)),
    ("settimeofday", "Set the clock.", "Régler l'horloge.", settimeofday),
    ("adjtimex", "Tune the clock.", "Ajuster l'horloge.", clock("adjtimex")),
    ("clock-adjtime", "Tune a clock by number.", "Ajuster une horloge par numéro.", clock("clock_adjtime", 0)),
    ("reboot", "Restart the machine.", "Redémarrer la machine.", reach("reboot", 0, 0, 0, 0)),
    ("kexec-load", "Replace the kernel.", "Remplacer le noyau.", known(reach("kexec_load", 0, 99, 0, 0))),
    (
        "kexec-file-load",
        "Replace the kernel from a file.",
        "Remplacer le noyau depuis un fichier.",
        known(reach("kexec_file_load", -1, -1, 0, 0, 0x7FFFFFFF)),
    ),
    ("init-module", "Load a kernel module.", "Charger un module du noyau.", known(module)),
    (
        "finit-module",
        "Load a kernel module from a file.",
        "Charger un module depuis un fichier.",
        known(reach("finit_module", -1, 0, 0)),
    ),
    ("delete-module", "Remove a kernel module.", "Retirer un module du noyau.", known(reach("delete_module", 0, 0))),
    ("bpf", "Put a program into the kernel.", "Placer un programme dans le noyau.", known(bpf)),
    ("perf-event", "Watch the processor.", "Observer le processeur.", known(perf)),
    (
        "io-uring",
        "Use io_uring, which no filter sees into.",
        "Utiliser io_uring, qu'un filtre ne voit pas.",
        known(io_uring),
    ),
    ("userfaultfd", "Handle page faults.", "Traiter les défauts de page.", known(descriptor("userfaultfd", 1))),
    (
        "keyctl",
        "Read a kernel keyring.",
        "Lire un trousseau du noyau.",
        known(lambda t: f"keyring {bool(call('keyctl', 0, -4, 1))}"),
    ),
    (
        "add-key",
        "Add a key to the kernel.",
        "Ajouter une clé au noyau.",
        known(lambda t: f"key {bool(call('add_key', b'user', b'selftest', b'x', 1, -2))}"),
    ),
    (
        "request-key",
        "Ask the kernel for a key.",
        "Demander une clé au noyau.",
        known(reach("request_key", b"user", b"selftest-none", 0, 0)),
    ),
    ("syslog", "Read the kernel's messages.", "Lire les messages du noyau.", syslog),
    (
        "acct",
        "Have all processes accounted.",
        "Faire comptabiliser les processus.",
        known(reach("acct", b"/nonexistent-enclave-selftest")),
    ),
    ("sethostname", "Rename the machine.", "Renommer la machine.", reach("sethostname", b"x", -1)),
    (
        "setdomainname",
        "Rename the machine's domain.",
        "Renommer le domaine de la machine.",
        reach("setdomainname", b"x", -1),
    ),
    (
        "fanotify",
        "Watch every file of a file system.",
        "Surveiller tous les fichiers d'un système.",
        known(descriptor("fanotify_init", 0, 0)),
    ),
    ("vhangup", "Hang up terminals.", "Raccrocher des terminaux.", hang_up),
    ("iopl", "Reach the machine's ports.", "Atteindre les ports de la machine.", known(child("iopl", 3))),
    (
        "ioperm",
        "Reach one of the machine's ports.",
        "Atteindre un port de la machine.",
        known(child("ioperm", 0x80, 1, 1)),
    ),
    (
        "modify-ldt",
        "Change the processor's segments.",
        "Modifier les segments du processeur.",
        known(lambda t: f"{call('modify_ldt', 0, ctypes.create_string_buffer(64), 64)} bytes"),
    ),
    (
        "personality",
        "Switch address randomisation off.",
        "Désactiver l'aléa des adresses.",
        child("personality", 0x0040000),
    ),
    (
        "memfd-secret",
        "Hide memory from the kernel.",
        "Cacher de la mémoire au noyau.",
        known(descriptor("memfd_secret", 0)),
    ),
    (
        "set-mempolicy",
        "Bind memory to a processor.",
        "Lier la mémoire à un processeur.",
        known(child("set_mempolicy", 0, 0, 0)),
    ),
    (
        "move-pages",
        "Move a process's memory.",
        "Déplacer la mémoire d'un processus.",
        known(reach("move_pages", 0, 0, 0, 0, 0, 0)),
    ),
    (
        "migrate-pages",
        "Move all of a process's memory.",
        "Déplacer toute la mémoire d'un processus.",
        known(reach("migrate_pages", 0, 0, 0, 0)),
    ),
    (
        "vmsplice",
        "Give memory to a pipe (Dirty Pipe's way).",
        "Donner de la mémoire à un tube (voie de Dirty Pipe).",
        vmsplice,
    ),
    (
        "pidfd-getfd",
        "Take another process's open file.",
        "Prendre un fichier ouvert d'un autre processus.",
        pidfd_getfd,
    ),
    (
        "kcmp",
        "Compare processes' resources.",
        "Comparer les ressources de processus.",
        known(lambda t: f"{call('kcmp', os.getpid(), os.getppid(), 1, 0, 0)}"),
    ),
)


PROBES = tuple(Probe(f"call-{name}", "system-calls", en, fr, attempt) for name, en, fr, attempt in ROWS)
