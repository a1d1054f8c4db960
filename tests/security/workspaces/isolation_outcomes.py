"""What each probe is expected to find at each place; ``docs/reference/isolation-probes.md`` is made from it.

Ours: closed everywhere but for what is noted or a known residual risk. The controls say what the same probes find where
nothing of ours stands in the way: a probe that is open nowhere could not fail.
"""

from __future__ import annotations

from enclave.selftest.probes import CATALOGUE
from enclave.selftest.residuals import RESIDUALS

ENGINES = ("bubblewrap", "docker")
OPEN, CLOSED, NO_TARGET, NOT_HERE = "open", "closed", "no target", "not here"

OURS_OPEN = {
    "bubblewrap": frozenset("leak-mounts leak-command leak-load".split()),
    "docker": frozenset("leak-mounts leak-load".split()),
}
"""Noted, or in ``RESIDUALS``; nothing else may be here."""

STOCK_OPEN = frozenset(
    """
    tcp4-host udp4-host tcp4-internet metadata edge dns-udp dns-configured broadcast multicast interfaces
    netlink-links routes ping4 family-raw-ip4 family-raw-ip6 family-raw-icmp4 family-raw-icmp6 family-udplite
    family-mptcp family-packet-raw family-packet-dgram family-netlink-sock-diag family-netlink-xfrm
    family-netlink-audit family-netlink-connector family-netlink-netfilter family-netlink-uevent
    family-netlink-generic family-vsock family-xdp write-usr
    write-etc write-root write-run write-var write-passwd write-loader link-hard link-rename owner-root set-uid-file
    token-environment device-console device-net-tun node-character node-block kernel-slabinfo
    kernel-page-flags kernel-vmcoreinfo kernel-notes kernel-sys kernel-cgroup kernel-block cgroup-new call-chroot
    call-io-uring call-modify-ldt call-memfd-secret call-vmsplice trace-above trace-child first-environ first-memory
    privilege-root privilege-setresuid privilege-setresgid privilege-setgroups privilege-effective
    privilege-permitted privilege-bounding privilege-capset privilege-file-capability privilege-no-new-privileges
    privilege-set-uid-program privilege-raise-core leak-group leak-load bomb-processes bomb-threads bomb-memory
    bomb-memory-together bomb-disk bomb-sparse bomb-inodes bomb-tmp bomb-descriptors
    """.split()
)
"""What a user of a stock DockerSpawner can do."""

STOCK_NO_TARGET = frozenset(
    """
    link-kernels-folder
    metadata6 read-ssh-key read-service-secret read-token-key read-audit-key read-database read-other-token
    read-other-home-file read-other-project-file read-server-log read-host-state read-config list-keys-folder
    list-vault-folder list-projects-folder list-workspaces-folder list-run-folder list-log-folder
    list-producer-folder list-modules list-docker-folder connect-containerd-socket connect-systemd-socket
    connect-dbus-socket connect-journal-socket connect-hub-socket connect-portal-socket connect-edge-socket
    connect-control-socket connect-audit-socket connect-other-gateway connect-project-gateway
    connect-listening-socket connect-other-server link-symbolic socket-replaced socket-planted token-overwritten
    token-stolen token-forged token-tcp server-seen server-mem server-environ server-maps server-signal
    kernel-other-folder kernel-other-key shared-socket shared-fifo shared-device shared-set-uid shared-link
    shared-hard-link
    """.split()
)
"""What a stock hub has no counterpart of."""

NOT_HERE_UNCONFINED = frozenset(
    """
    family-sctp family-sctp-stream family-dccp family-smc-over-ip family-l2tp family-netlink-crypto family-alg
    family-bluetooth family-can family-key family-tipc family-rds family-smc family-qipcrtr family-kcm family-nfc
    family-pppox family-phonet family-ieee802154 family-ax25 family-x25 family-mctp device-mem device-port
    device-vhost-net device-vhost-vsock device-nvram device-snapshot device-cpu-0-msr device-uinput device-dri-card0
    device-input-event0 device-rtc0 device-mapper-control device-disk kernel-sysrq kernel-kcore kernel-modprobe
    kernel-ptrace-scope kernel-uevent-helper oom-score call-kexec-load call-kexec-file-load call-init-module
    call-finit-module call-delete-module call-iopl call-ioperm privilege-set-uid-program privilege-raise-processes
    privilege-raise-files
    """.split()
)
"""What the kernel and the machine that the tables were made on do not have, or let not even root do: no such family,
device or call, no CAP_SYS_RESOURCE, a root file system without set-uid. Elsewhere they may be open in the controls."""


def expected(probe: str, place: str) -> str:
    """One cell of the table."""
    if place in ENGINES:
        return OPEN if probe in OURS_OPEN[place] else CLOSED
    if place == "stock":
        return OPEN if probe in STOCK_OPEN else NO_TARGET if probe in STOCK_NO_TARGET else CLOSED
    return NOT_HERE if probe in NOT_HERE_UNCONFINED else OPEN


INTRODUCTION = """\
{n} probes. `enclave selftest` runs them on a live installation, in the sandbox of the server and in that of a
kernel; those of the groups network, host-files, host-sockets, writing, shared-folder, processes, server-wall and
privilege also in that of a terminal. The workspace has a shared folder and an added package. The tests
run the same ones in both engines and in two controls: a container that a stock DockerSpawner makes with its defaults,
and root without any confinement. *No target*: a stock hub has no counterpart. *Not here*: the
machine that the table was made on has no such thing, so that control could not show it open. (¹) noted only: it tells
something and harms nobody by itself. (²) a known residual risk ([threat model](../threat-model.md)).
"""


def probes_markdown() -> str:
    """The page: a table per group."""
    places = (*ENGINES, "stock", "unconfined")
    lines = ["# Probes of the isolation\n", INTRODUCTION.format(n=len(CATALOGUE))]
    for group in dict.fromkeys(probe.group for probe in CATALOGUE):
        lines += [f"## {group}\n", f"| probe | tries to | {' | '.join(places)} |", "| --- " * (len(places) + 2) + "|"]
        for probe in (found for found in CATALOGUE if found.group == group):
            mark = " (¹)" if probe.noted else " (²)" if probe.id in RESIDUALS else ""
            cells = [_cell(expected(probe.id, place), place in ENGINES, mark) for place in places]
            lines.append(f"| `{probe.id}` | {probe.en.rstrip('.')} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _cell(outcome: str, ours: bool, mark: str) -> str:
    return f"{outcome}{mark}" if ours and outcome == OPEN else f"**{outcome}**" if outcome == OPEN else outcome
