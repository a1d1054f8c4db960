"""The extract builder: ``python -m enclave.extracts.build --project ID --version v1 [--format parquet]``.

Order (DESIGN.md, invariant 8, audit first): record ``extract:started`` → check the data permit → build under a
temporary name → record ``extract:built`` with counts and hash → rename. Any failure removes what was built, records
``extract:refused`` and ends with exit code 2 and one JSON line ``{"reasons": […]}`` on standard output.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import structlog

from audit.client import AuditClient, AuditUnavailable
from audit.event import AuditEvent
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.domain.ids import PROJECT_ID, ExtractVersion, ProjectId
from enclave.domain.manifest import Manifest
from enclave.domain.permits import Permit
from enclave.extracts.extract_file import count_people, load_people, open_engine, write_parquet, write_tables
from enclave.extracts.failures import sentences
from enclave.extracts.permit_file import read_permit
from enclave.extracts.plan import plan_extract
from enclave.extracts.producer import Dataset, ProducerError, read_dataset, read_opt_outs, read_pseudonym_key
from enclave.extracts.sources import open_source, read_schema
from enclave.extracts.version_folder import building, extracts_folder, put_in_place, seal_files, write_manifest
from enclave.logs import configure
from enclave.settings import Settings, get_settings

ACTOR = "system:extract-builder"
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
VERSION = re.compile(r"v[1-9][0-9]{0,5}")


class StoppedError(RefusedError):
    """The builder was asked to stop."""


class PermitRefusedError(RefusedError):
    """The data permit does not allow this build."""


@dataclass(frozen=True)
class BuildOrder:
    """What to build."""

    project: ProjectId
    version: ExtractVersion
    parquet: bool = False


def build_extract(settings: Settings, order: BuildOrder, audit: AuditClient, now: datetime) -> Manifest:
    """Build one extract version and record it.

    Raises AuditUnavailable, RefusedError, PermitError, OSError or duckdb.Error; then no part of the version is left.
    """
    permit = read_permit(settings.projects_dir / order.project / "permit.yaml")
    check_permit(permit, order, now)
    dataset = read_dataset(settings, permit.dataset)
    if dataset.version != permit.dataset_version:
        raise ProducerError(
            f"Expected version {permit.dataset_version} of the data set {permit.dataset}, found {dataset.version} "
            "registered. Register that version or renew the data permit."
        )
    with building(extracts_folder(settings, order.project), order.version) as folder:
        manifest = _fill(settings, order, permit, dataset, folder, now)
        write_manifest(folder, manifest)
        with _handling(signal.SIG_IGN):  # a stop between record and rename would set the two apart
            _commit(order, manifest, folder, audit)
    return manifest


def _commit(order: BuildOrder, manifest: Manifest, folder: Path, audit: AuditClient) -> None:
    audit.record(_built(order, manifest))
    try:
        put_in_place(folder, order.version)
    except OSError as error:
        audit.record(_event(EventType.ACTION_FAILED, order, reasons=sentences(error)))
        raise


def check_permit(permit: Permit, order: BuildOrder, now: datetime) -> None:
    """The permit is this project's and holds today. Raises PermitRefusedError."""
    if permit.project != order.project:
        raise PermitRefusedError(
            f"Expected a data permit of the project {order.project}, found one of {permit.project}. "
            "Put the approved permit into the project's folder."
        )
    if permit.is_expired(now.date()):
        raise PermitRefusedError(
            f"Expected a data permit that holds today, found one that expired on {permit.expires_on}. "
            "Apply for a renewal; nothing is built under an expired permit."
        )


def _fill(
    settings: Settings, order: BuildOrder, permit: Permit, dataset: Dataset, folder: Path, now: datetime
) -> Manifest:
    """Write the data files into ``folder``; the manifest that describes them."""
    connection = open_engine(folder, dataset.source_path)
    try:
        source = open_source(connection, dataset.source)
        try:
            plan = plan_extract(permit, read_schema(connection, source, permit))
            opt_outs = read_opt_outs(dataset.opt_outs, plan.person_kind)
            key = read_pseudonym_key(settings, permit.pseudonym_domain)
            people = load_people(connection, plan, opt_outs, key, permit.date_shift_days)
            tables = write_tables(connection, plan, folder)
            if order.parquet:
                write_parquet(connection, tables, folder)
            present = count_people(connection)
        finally:
            source.close()
    finally:
        connection.close()
    return Manifest(
        project=order.project,
        extract_version=order.version,
        dataset=permit.dataset,
        dataset_version=permit.dataset_version,
        permit_sha256=permit.sha256,
        built_at=now.isoformat(timespec="seconds").replace("+00:00", "Z"),
        source_kind=plan.kind.value,
        people=present,
        opt_outs_listed=people.opt_outs_listed,
        opt_outs_matched=people.opt_outs_matched,
        date_shift_days=permit.date_shift_days,
        tables=tables,
        dropped_tables=plan.dropped_tables,
        files=seal_files(folder),
    )


def _event(kind: EventType, order: BuildOrder, *, reasons: tuple[str, ...] = ()) -> AuditEvent:
    return AuditEvent(
        type=kind,
        actor=ACTOR,
        project=order.project,
        subject=order.version,
        decision="deny" if reasons else None,
        data={"reasons": list(reasons)} if reasons else {},
    )


def _built(order: BuildOrder, manifest: Manifest) -> AuditEvent:
    return AuditEvent(
        type=EventType.EXTRACT_BUILT,
        actor=ACTOR,
        project=order.project,
        subject=order.version,
        decision="allow",
        counts={
            "people": manifest.people,
            "tables": len(manifest.tables),
            "rows": sum(t.rows for t in manifest.tables),
            "opt_outs_matched": manifest.opt_outs_matched,
            "bytes": sum(f.bytes for f in manifest.files),
        },
        data={
            "permit_sha256": manifest.permit_sha256,
            "dataset": manifest.dataset,
            "dataset_version": manifest.dataset_version,
            "files_sha256": [f.sha256 for f in manifest.files],
        },
    )


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    """What happens on SIGTERM and SIGINT meanwhile; main thread only."""
    earlier = {number: signal.signal(number, handler) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, before in earlier.items():
            signal.signal(number, before)


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and SIGINT become a StoppedError, so that the temporary folder goes and the refusal is recorded."""
    asked: list[StoppedError] = []

    def stop(number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        asked.append(StoppedError(f"Expected the build to run to its end, found {name}. Build again."))
        raise asked[0]

    with _handling(stop):
        try:
            yield
        except Exception:
            if asked:  # DuckDB may put an error of its own in the place of the one that interrupted its query
                raise asked[0] from None
            raise


def run(settings: Settings, order: BuildOrder) -> tuple[str, ...]:
    """Start, build, record; the reasons of a refusal, or nothing when the version is in place."""
    log = structlog.get_logger().bind(project=order.project, version=order.version)
    audit = AuditClient(settings.audit_socket, writer="extract-builder")
    try:
        audit.record(_event(EventType.EXTRACT_STARTED, order))
    except AuditUnavailable as error:
        return sentences(error)
    try:
        with _stoppable():
            manifest = build_extract(settings, order, audit, datetime.now(UTC))
    except BaseException as error:  # a defect of ours must leave a record, too
        reasons = sentences(error)
        log.error("extract refused", reasons=list(reasons), kind=type(error).__name__)
        try:
            audit.record(_event(EventType.EXTRACT_REFUSED, order, reasons=reasons))
        except AuditUnavailable as unavailable:
            reasons += sentences(unavailable)
        return reasons
    log.info("extract built", people=manifest.people, tables=len(manifest.tables))
    return ()


def main() -> int:
    """Exit code 0, or 2 with the reasons as one JSON line."""
    parser = argparse.ArgumentParser(description="Build one version of a project's extract from its data permit.")
    parser.add_argument("--project", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--format", choices=("duckdb", "parquet"), default="duckdb", help="parquet: files beside it")
    arguments = parser.parse_args()
    configure("extract-builder")
    if not PROJECT_ID.fullmatch(arguments.project) or not VERSION.fullmatch(arguments.version):
        reasons: tuple[str, ...] = ("Expected a project id and a version such as v1, found another form. Check both.",)
    else:
        order = BuildOrder(
            ProjectId(arguments.project), ExtractVersion(arguments.version), arguments.format == "parquet"
        )
        reasons = run(get_settings(), order)
    if reasons:
        sys.stdout.write(json.dumps({"reasons": list(reasons)}, ensure_ascii=False) + "\n")
    return 2 if reasons else 0


if __name__ == "__main__":
    sys.exit(main())
