"""``enclave output check PATH… [--profile NAME] [--json]``: the disclosure checks, before asking for a release."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from math import inf
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from egress_review.domain.findings import Finding, Severity, count_by_severity
from egress_review.parsing.files import FileReader
from egress_review.parsing.helper import Helper
from egress_review.parsing.limits import reading_limits
from enclave.catalogue.manifests import CatalogueError, find_manifest
from enclave.domain.decisions import RefusedError
from enclave.domain.ids import PROJECT_ID, ExtractVersion, ProjectId
from enclave.domain.manifest import Manifest
from enclave.domain.permits import OutputRules
from enclave.extracts.permit_file import PermitError, read_permit
from enclave.settings import get_settings

PROFILES: dict[str, OutputRules] = {
    "snds": OutputRules(),
    "strict": OutputRules(minimum_count=20, file_types=(".csv", ".md", ".txt", ".png")),
}
"""Rules without a project: SNDS (counts under 11), and a stricter set (counts under 20, no notebooks)."""

app = typer.Typer(help="Output requests and their disclosure checks.", no_args_is_help=True)


@app.callback()
def output() -> None:
    """Output requests and their disclosure checks."""


@app.command()
def check(
    paths: Annotated[list[Path], typer.Argument(help="Files to check; of a folder, all files in it.")],
    profile: Annotated[
        str, typer.Option(help="snds, strict, or a project (its data permit and its extract's pseudonym columns).")
    ] = "snds",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
) -> None:
    """Print findings. Exit code 0: nothing blocks; 1: something blocks; 2: a file or profile cannot be read, or no
    sandbox be made to read in."""
    rules, manifest = _profile(profile)
    findings = _check(_read(paths), rules, manifest)
    if as_json:
        typer.echo(json.dumps({"profile": profile, "findings": [_as_json(finding) for finding in findings]}))
    else:
        for finding in findings:
            typer.echo(_line(finding))
        counts = count_by_severity(findings)
        typer.echo(", ".join(f"{number} {severity}" for severity, number in counts.items()))
    if any(finding.severity is Severity.BLOCKING for finding in findings):
        raise typer.Exit(1)


def _check(files: dict[str, bytes], rules: OutputRules, manifest: Manifest | None) -> tuple[Finding, ...]:
    """In the sandbox, like the portal's: whose files they are nobody knows here. No limit for all of them together."""
    limits = replace(reading_limits(get_settings()), request_seconds=inf)
    helper = Helper()
    try:
        return FileReader(helper, limits).check_all(files, rules, manifest)
    except RefusedError as refused:
        _stop(" ".join(refused.reasons))
    finally:
        helper.close()


def _profile(name: str) -> tuple[OutputRules, Manifest | None]:
    if name in PROFILES:
        return PROFILES[name], None
    settings = get_settings()
    folder = settings.projects_dir / name
    if not PROJECT_ID.fullmatch(name) or not (folder / "permit.yaml").exists():
        known = ", ".join(PROFILES)
        _stop(f"Expected a profile ({known}) or a project of this enclave, found another name.")
    try:
        rules = read_permit(folder / "permit.yaml").outputs
        versions = sorted(path.parent.name for path in folder.glob("extracts/v*/manifest.json"))
        latest = max(versions, key=lambda version: (len(version), version), default="")
        manifest = find_manifest(settings, ProjectId(name), ExtractVersion(latest)) if latest else None
    except (PermitError, CatalogueError) as error:
        _stop(str(error))
    return rules, manifest


def _read(paths: list[Path]) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            try:
                contents[str(file)] = file.read_bytes()
            except OSError as error:
                _stop(f"Expected a readable file {file}, found: {error.strerror}. Look at the path.")
    return contents


def _stop(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(2)


def _as_json(finding: Finding) -> dict[str, object]:
    place = {name: number for name, number in asdict(finding.location).items() if number is not None}
    return {
        "check": finding.check,
        "severity": finding.severity.value,
        "file": finding.file,
        "message": str(finding.message),
        **place,
    }


def _line(finding: Finding) -> str:
    place = "".join(f", {name} {n}" for name, n in asdict(finding.location).items() if n is not None)
    return f"{finding.severity:8} {finding.file}{place}: {finding.message} [{finding.check}]"
