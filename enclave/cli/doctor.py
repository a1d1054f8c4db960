"""``enclave doctor``: what is missing on this machine, and the exact command that mends it.

SATRE 2.2.12 and 2.4.03.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from enclave import at_rest
from enclave.access import AccessFiles
from enclave.clusters import obstacles
from enclave.clusters.node_check import look_at_nodes, look_at_this_node
from enclave.configuration import find_unknown_variables
from enclave.domain.decisions import RefusedError
from enclave.edge.budgets import Budgets
from enclave.edge.tls import TlsError as EdgeTlsError
from enclave.edge.tls import find_tls_context
from enclave.gateway.landlock import landlock_version
from enclave.gateway.tls import TlsError, read_listener
from enclave.metering.address import MetricsAddressError, metrics_address
from enclave.metering.prices import PricesError, load_prices
from enclave.portal.database_address import database_settings
from enclave.rights import STAYS, Loss, given_up, losses
from enclave.sandbox import SandboxError, SandboxProfile, popen
from enclave.settings import Settings, get_settings
from enclave.workspaces import cgroups
from enclave.workspaces.kernel_images import has_r
from enclave.workspaces.shared_folder import find_obstacle

_RENEW_BEFORE = timedelta(days=14)


@dataclass(frozen=True)
class Finding:
    """One check: its name, what was found (empty when all is well) and the command that mends it."""

    name: str
    problem: str
    remedy: str


def _has_program(name: str, package: str) -> Callable[[Settings], Finding]:
    def look(settings: Settings) -> Finding:
        problem = "" if shutil.which(name) else f"{name} is not on this machine"
        return Finding(name, problem, f"apt-get install {package}")

    return look


def _python(settings: Settings) -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    problem = "" if sys.version_info >= (3, 11) else f"expected Python 3.11 or newer, found {found}"
    return Finding("python", problem, "apt-get install python3.11 python3.11-venv")


def _seccomp(settings: Settings) -> Finding:
    problem = "" if ctypes.util.find_library("seccomp") else "libseccomp is not on this machine"
    return Finding("libseccomp", problem, "apt-get install libseccomp2")


def _landlock(settings: Settings) -> Finding:
    problem = "" if landlock_version() else "the kernel has no Landlock, so query workers have one wall less"
    return Finding("landlock", problem, "use a kernel from 5.13 on and add landlock to lsm= at its start")


def _shared_folder(settings: Settings) -> Finding:
    remedy = "apt-get install e2fsprogs util-linux; use a kernel from 5.19 on; in a container, give it /dev/loop*"
    return Finding("shared folder", find_obstacle(), remedy)


def _shown_key(settings: Settings) -> Finding:
    access = AccessFiles(settings)
    terms = Budgets(access)
    ordered = [project for project in access.projects() if terms.terms(project).archive_days is not None]
    problem = ""
    if ordered and not settings.shown_key.exists():
        problem = f"{ordered[0]} orders that displayed output is archived and there is no key, so nothing is shown"
    return Finding("archive of displayed output", problem, "enclave shown key /path/of/a/medium/archive.pem")


def _image(settings: Settings) -> Finding:
    if settings.engine == "docker":
        return Finding("workspace image", "", "")  # see _docker
    problem = "" if (settings.image / "pyvenv.cfg").exists() else f"the workspace image is not at {settings.image}"
    return Finding("workspace image", problem, "make setup")


def _r_image(settings: Settings) -> Finding:
    """Never a problem: a site may do without R."""
    said = settings.r_image if has_r(settings) else "none (make r-image builds one), so workspaces offer Python only"
    return Finding(f"R image: {said}", "", "")


def _sandbox(settings: Settings) -> Finding:
    """Really start one: some kernels forbid user namespaces."""
    try:
        problem = "" if popen(SandboxProfile(binds=()), ["true"]).wait(10) == 0 else "it did not run to its end"
    except (SandboxError, OSError, subprocess.TimeoutExpired) as error:
        problem = f"no sandbox can be made here ({error})"
    return Finding("sandbox", problem, "sysctl kernel.unprivileged_userns_clone=1   (or run as root)")


def _docker(settings: Settings) -> Finding:
    """The engine chosen for workspaces, with its image."""
    if settings.engine != "docker":
        return Finding("engine: bubblewrap", "", "")
    from enclave.workspaces.docker_daemon import check

    try:
        found = check(settings.docker_host, settings.docker_image)
    except SandboxError as error:
        return Finding("engine: docker", str(error).removesuffix("."), "see docs/operations.md, “Docker”")
    said = "" if found.makes_groups else " (control groups by systemd: memory is limited per container; see docs)"
    return Finding(f"engine: docker{said}", "", "")


def _home(settings: Settings) -> Finding:
    parent = settings.root if settings.root.exists() else settings.root.parent
    problem = "" if os.access(parent, os.W_OK) else f"cannot write to {parent}"
    longest = len(str(settings.run_dir)) + len("/ws/w-000000000000/in/gateway.sock")
    if longest > 107:
        problem = f"the path of ENCLAVE_HOME is {longest - 107} characters too long for unix sockets"
    return Finding("home", problem, "export ENCLAVE_HOME=/srv/enclave")


def _gateway_tls(settings: Settings) -> Finding:
    """Readable, belonging together, closed to others, and good for a while yet."""
    problem = ""
    try:
        listener = read_listener(settings)
    except TlsError as error:
        listener, problem = None, str(error).removesuffix(".")
    if listener is not None and listener.tls.expires_at - datetime.now(UTC) < _RENEW_BEFORE:
        problem = f"the gateway's TLS certificate ends on {listener.tls.expires_at:%Y-%m-%d}"
    remedy = "renew it, name its files in gateway_tls_certificate and gateway_tls_key, and restart the gateway"
    return Finding("gateway TLS", problem, remedy)


def _edge(settings: Settings) -> Finding:
    problem = ""
    try:
        find_tls_context(settings)
    except EdgeTlsError as error:
        problem = str(error).removesuffix(".")
    return Finding("edge", problem, "see docs/operations.md, Names and certificate")


def _database(settings: Settings) -> Finding:
    """The address alone; whether the server answers is for the portal's start to say."""
    problem = ""
    try:
        database_settings(settings)
    except RefusedError as error:
        problem = str(error).removesuffix(".")
    return Finding("database address", problem, "correct ENCLAVE_DATABASE_URL; see docs/operations.md, Run")


def _variables(settings: Settings) -> Finding:
    """A problem where a setting is near; a name like no setting's may be somebody else's and is a note."""
    near = [found for found in find_unknown_variables(os.environ, Settings.model_fields) if found.meant]
    said = ", ".join(f"{found.name} (did you mean {found.meant}?)" for found in near)
    problem = f"no setting has the name of these variables, so nobody reads them: {said}" if near else ""
    return Finding("names of settings", problem, f"unset {' '.join(found.name for found in near)}")


def _workspace_limits(settings: Settings) -> Finding:
    """Never a problem: it says what limits a workspace here."""
    return Finding(f"workspaces: {cgroups.describe()}", "", "")


def _clusters(settings: Settings) -> Finding:
    most = settings.cluster_workers
    name = f"clusters: {most} workers each" if most else "clusters: off (cluster_workers is 0)"
    remedy = "make setup as root, apt-get install util-linux, engine = bubblewrap; or cluster_workers = 0"
    return Finding(name, obstacles.find_obstacle(settings), remedy)


def _compute_nodes(settings: Settings) -> Finding:
    """Each is asked: one that is away is a problem, though clusters go on without it. On a node, itself."""
    found = look_at_this_node(settings) or look_at_nodes(settings)
    remedy = "start enclave node there, with the same image; see docs/operations.md, Compute nodes"
    return Finding(found.said, found.problem, remedy)


def _metering(settings: Settings) -> Finding:
    """Where figures are served, and the prices of the cost grid."""
    problem = ""
    try:
        metrics_address(settings)
        load_prices(settings.usage_prices)
    except (MetricsAddressError, PricesError) as error:
        problem = str(error).removesuffix(".")
    return Finding("metrics and prices", problem, "see docs/operations.md, Metrics, and docs/admin.md, Usage and costs")


CHECKS: tuple[Callable[[Settings], Finding], ...] = (
    _python,
    _has_program("bwrap", "bubblewrap"),
    _has_program("setpriv", "util-linux"),
    _seccomp,
    _sandbox,
    _landlock,
    _shared_folder,
    _shown_key,
    _image,
    _r_image,
    _docker,
    _workspace_limits,
    _home,
    _variables,
    _database,
    _edge,
    _gateway_tls,
    _clusters,
    _compute_nodes,
    _metering,
)


def find_problems(settings: Settings) -> list[Finding]:
    """All checks that found something to mend."""
    return [finding for check in CHECKS if (finding := check(settings)).problem]


def doctor() -> None:
    """Say what is missing on this machine and the exact command that mends it."""
    settings = get_settings()
    failed = False
    for check in CHECKS:
        finding = check(settings)
        failed = failed or bool(finding.problem)
        print(f"{'missing' if finding.problem else 'ok':8} {finding.name}")
        if finding.problem:
            print(f"         {finding.problem}. Mend it with:  {finding.remedy}")
    for note in _notes(settings):
        print(f"{'note':8} {note}")
    _say_losses(settings)
    raise SystemExit(1 if failed else 0)


def _notes(settings: Settings) -> Iterator[str]:
    """Not problems of this machine, or not for certain: they change no exit code."""
    for found in find_unknown_variables(os.environ, Settings.model_fields):
        if not found.meant:
            yield f"{found.name} is in the environment, and nothing of Enclave reads it."
    yield from at_rest.find_notes(settings.root)


def _say_losses(settings: Settings) -> None:
    """Not problems: the enclave runs, with less around it."""
    if asked := given_up(settings):
        print("\nThe settings ask for less than there could be:")
        _say(asked)
    if found := losses(settings):
        print("\nThis account is not root, so the following falls away:")
        _say(found)
        print(f"{'stays':8} {STAYS}")


def _say(found: tuple[Loss, ...]) -> None:
    for loss in found:
        print(f"{'weaker':8} {loss.name}: {loss.gone}\n         instead: {loss.instead}")
