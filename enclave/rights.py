"""What an enclave that does not run as root has to do without, and what stands in its place: one table.

Issue 5: "It also works with an unprivileged hub." Nothing of it may be silent: ``enclave doctor`` shows the table, the
start of the enclave has the names on record (``system:started``, ``weaker``). What needs root and has no substitute is
refused where it is asked for. Non-goal: Docker's daemon, whose rights are its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from enclave.edge.tls import is_plain_beyond_this_machine
from enclave.settings import Settings
from enclave.workspaces import cgroups


@dataclass(frozen=True)
class Loss:
    """``name``: as the audit log has it; ``gone``: what root would have; ``instead``: what holds here."""

    name: str
    gone: str
    instead: str
    is_here: Callable[[Settings], bool] = lambda settings: True
    """Some depend on the machine or the settings as well."""


WITHOUT_ROOT: tuple[Loss, ...] = (
    Loss(
        "one-account",
        "no account of its own per workspace, project, extract build, package fetch and reader of files",
        "each is in namespaces of its own, without a capability and behind the system-call filter, under the account "
        "that runs the enclave; they share what the kernel counts per account (inotify instances, pipe buffers)",
    ),
    Loss(
        "audit-account",
        "no account of its own for the audit daemon, and no real-time scheduling",
        "any process of the enclave could write its files: have a witness, who notices a changed past",
    ),
    Loss(
        "control-groups",
        "no control group per workspace",
        "memory is limited per process, processes per sandbox, and use is counted from the processes. systemd can "
        "hand groups to an account: infra/systemd/enclave.service",
        lambda settings: not cgroups.usable_groups(),
    ),
    Loss(
        "shared-folder-quota",
        "no file system of its own for a project's shared folder",
        "it is a plain folder whose size is measured every few seconds; its files are not counted, programs in it can "
        "be started and kernels follow links in it. Sockets and FIFOs are forbidden in it as with root",
    ),
    Loss(
        "writing-again",
        "no way to give a workspace back the right to write once it held too much",
        "files can be deleted; writing comes back when the workspace is opened anew",
    ),
    Loss(
        "clusters",
        "no Dask clusters on islands of their own",
        "a cluster is refused with a sentence; enclave_client.dask.client() works inside the workspace",
        lambda settings: bool(settings.cluster_workers),
    ),
)
GIVEN_UP: tuple[Loss, ...] = (
    Loss(
        "plain-http",
        "no TLS between browsers and this machine (passwords_in_clear_over_the_network): who is on the way reads "
        "passwords, sessions and all that is shown, and can act as anybody",
        "nothing of Enclave's: only a network in which nobody else is on the way",
        is_plain_beyond_this_machine,
    ),
)
"""What a setting asks to do without, whichever account starts the enclave."""
STAYS = (
    "server and each kernel or terminal in sandboxes of their own, without a network; a query worker per person that "
    "sees one extract (Landlock, locked DuckDB); the gateway's gate; the edge; the audit log; reviews and releases"
)


def losses(settings: Settings) -> tuple[Loss, ...]:
    """What falls away for this process on this machine; nothing as root."""
    if os.geteuid() == 0:
        return ()
    return tuple(loss for loss in WITHOUT_ROOT if loss.is_here(settings))


def given_up(settings: Settings) -> tuple[Loss, ...]:
    """What these settings ask to do without."""
    return tuple(loss for loss in GIVEN_UP if loss.is_here(settings))
