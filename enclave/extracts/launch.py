"""Starting the extract builder in its sandbox: it sees the source, one pseudonym key, one opt-out list and one project.

Identities are never mounted. The network is there only for a ``postgresql://`` source. Called by the runner.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from audit.client import AuditClient, AuditUnavailable
from audit.event import AuditEvent
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.domain.ids import ExtractVersion, ProjectId
from enclave.domain.permits import Permit
from enclave.extracts.failures import sentences
from enclave.extracts.permit_file import PermitError, read_permit
from enclave.extracts.producer import Dataset, dataset_file, key_file, read_dataset
from enclave.extracts.version_folder import clear_stale, extracts_folder
from enclave.sandbox import Bind, SandboxError, SandboxProfile, popen, python_binds
from enclave.settings import Settings

BUILD_SECONDS = 3600
KEY_SECONDS = 60
_ACTOR = "system:extract-launcher"
_END_SECONDS = 10
"""How long a sandbox that was ended may take until its last process is gone."""
_TAIL = 4000


@dataclass(frozen=True)
class BuildResult:
    """``ok``, or the reasons why not."""

    ok: bool
    reasons: tuple[str, ...] = ()


def run_builder(
    settings: Settings,
    project: ProjectId,
    version: ExtractVersion,
    *,
    seconds: int = BUILD_SECONDS,
    parquet: bool = False,
) -> BuildResult:
    """Build one version in the sandbox and wait for it, at most ``seconds``. Every refusal is in the audit log."""
    try:
        permit = read_permit(settings.projects_dir / project / "permit.yaml")
        dataset = read_dataset(settings, permit.dataset)
        extracts_folder(settings, project).mkdir(parents=True, exist_ok=True)
        _make_key(settings, permit.pseudonym_domain)
        arguments = ["-m", "enclave.extracts.build", "--project", project, "--version", version]
        arguments += ["--format", "parquet"] if parquet else []
        return _run(settings, permit, dataset, arguments, seconds, version)
    except (PermitError, RefusedError, OSError) as error:
        return _refused(settings, project, version, sentences(error))
    except SandboxError as error:
        return _refused(settings, project, version, (str(error),))


def _run(
    settings: Settings,
    permit: Permit,
    dataset: Dataset,
    arguments: Sequence[str],
    seconds: int,
    version: ExtractVersion,
) -> BuildResult:
    profile = _profile(settings, _build_binds(settings, permit, dataset), network=dataset.source_path is None)
    code, output = _wait(profile, arguments, seconds)
    if code == 0:
        return BuildResult(ok=True)
    reasons = _reasons(output)
    if code == 2 and reasons:
        return BuildResult(ok=False, reasons=reasons)  # the builder recorded it
    if code is None:
        reasons = (
            f"Expected the build to end within {seconds} s, found it running. Narrow the permit or allow more time.",
        )
    else:
        reasons = (f"Expected the builder to end by itself, found that it was ended (status {code}). Build again.",)
    clear_stale(settings, permit.project, seconds=_END_SECONDS)
    return _refused(settings, permit.project, version, reasons)


def _build_binds(settings: Settings, permit: Permit, dataset: Dataset) -> tuple[Bind, ...]:
    project = settings.projects_dir / permit.project
    visible = [
        dataset_file(settings, permit.dataset),
        key_file(settings, permit.pseudonym_domain),
        project / "permit.yaml",
        settings.audit_socket.parent,
    ]
    optional = [dataset.opt_outs, dataset.source_path, Path(f"{dataset.source}.wal")]
    visible += [path for path in optional if path is not None and path.exists()]
    extracts = extracts_folder(settings, permit.project)
    return (*(Bind(path, path) for path in visible), Bind(extracts, extracts, writable=True))


def _make_key(settings: Settings, domain: str) -> None:
    """A first key of a domain is drawn in a sandbox of its own that can write the key folder and sees nothing else."""
    if key_file(settings, domain).exists():
        return
    folder = key_file(settings, domain).parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    profile = _profile(settings, (Bind(folder, folder, writable=True),), network=False)
    code, _ = _wait(profile, ["-m", "enclave.extracts.producer", "--key", domain], KEY_SECONDS)
    if code != 0:
        raise SandboxError(f"Expected a new pseudonym key for {domain}, found that drawing it failed (status {code}).")


def _profile(settings: Settings, binds: tuple[Bind, ...], *, network: bool) -> SandboxProfile:
    env = {"ENCLAVE_HOME": str(settings.root), "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/tmp"}  # noqa: S108
    return SandboxProfile(binds=(*python_binds(), *binds), env=env, network=network, user_name="extract-builder")


def _wait(profile: SandboxProfile, arguments: Sequence[str], seconds: int) -> tuple[int | None, str]:
    """Exit status (None: it had to be ended) and what was said on standard output."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as messages:
        process = popen(profile, [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=messages)
        try:
            code: int | None = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                process.kill()  # bubblewrap's own end takes the whole sandbox with it
                process.wait()
        output.seek(0)
        messages.seek(max(0, messages.seek(0, os.SEEK_END) - _TAIL))
        if code != 0:
            said = messages.read().decode(errors="replace")
            structlog.get_logger().warning("sandboxed program failed", status=code, said=said)
        return code, output.read().decode(errors="replace")


def _reasons(output: str) -> tuple[str, ...]:
    for line in reversed(output.splitlines()):
        try:
            return tuple(str(reason) for reason in json.loads(line)["reasons"])
        except (ValueError, KeyError, TypeError):
            continue
    return ()


def _refused(settings: Settings, project: ProjectId, version: ExtractVersion, reasons: tuple[str, ...]) -> BuildResult:
    event = AuditEvent(
        type=EventType.EXTRACT_REFUSED,
        actor=_ACTOR,
        project=project,
        subject=version,
        decision="deny",
        data={"reasons": list(reasons)},
    )
    try:
        AuditClient(settings.audit_socket, writer="extract-launcher").record(event)
    except AuditUnavailable as error:
        reasons += sentences(error)
    return BuildResult(ok=False, reasons=reasons)
