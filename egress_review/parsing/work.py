"""Inside the sandbox: one task over one file, to the bytes of its answer. The file is hostile; nothing else is here."""

from __future__ import annotations

from typing import Any

from egress_review.domain.findings import Location, Severity
from egress_review.parsing.answers import (
    differences_as_bytes,
    findings_as_bytes,
    pixels_as_bytes,
    read_versions,
    rendered_as_bytes,
)
from egress_review.parsing.limits import NOTEBOOKS, PREPARED
from egress_review.parsing.rendering import SVG, Flag, picture_of, render
from egress_review.sdc import check_file
from egress_review.sdc.differences import line_differences
from egress_review.sdc.notebooks import NEXT_MINOR
from egress_review.sdc.pixels import read_pixels
from egress_review.sdc.reading import read
from enclave.domain.manifest import Manifest
from enclave.domain.permits import OutputRules

_SAMPLES = {
    ".csv": b"\xef\xbb\xbfsex,n\nF,3\n",
    ".md": b"| a | b |\n<table><tr><td colspan=2>&eacute;</td></tr></table>",
    ".json": b'[{"n": 5}]',
    ".txt": b"\xff",
}


def perform(task: dict[str, Any], content: bytes) -> bytes:
    """The answer. Raises whatever hostile bytes make a parser raise."""
    name: str = task["name"]
    match task["do"]:
        case "check":
            rules = OutputRules(**{**task["rules"], "file_types": tuple(task["rules"]["file_types"])})
            manifest = Manifest.model_validate(task["manifest"]) if task["manifest"] else None
            return findings_as_bytes(check_file(name, content, rules, manifest))
        case "render":
            return rendered_as_bytes(render(name, content, tuple(_flag(*place) for place in task["findings"])))
        case "compare":
            return differences_as_bytes(line_differences(name, *read_versions(content)))
        case "picture":
            return pixels_as_bytes(read_pixels(content))
        case "notebook-picture":
            return _notebook_picture(task, read(name, content).notebook)
        case other:
            raise ValueError(f"Expected a task, found {other}.")


def _flag(severity: str, *place: int | None) -> Flag:
    return Flag(Severity(severity), Location(*place))


def _notebook_picture(task: dict[str, Any], notebook: Any) -> bytes:
    found = picture_of(notebook, task["cell"], task["output"], task["mime"]) if notebook else None
    if found is None:
        return b""
    return found[1] if task["mime"] == SVG else pixels_as_bytes(read_pixels(found[1]))


def warm(kind: str) -> None:
    """Load what a file of this kind (its suffix) needs: afterwards no file can be opened any more."""
    for suffix, content in _SAMPLES.items():
        findings = check_file(f"file{suffix}", content, OutputRules(), None)
        findings_as_bytes(findings)
        flags = tuple(Flag(finding.severity, finding.location) for finding in findings)
        rendered_as_bytes(render(f"file{suffix}", content, flags))
        differences_as_bytes(line_differences(f"file{suffix}", content, content + b"\n\xc2\xad"))
    if kind in PREPARED:
        _warm_pictures()
    if kind == NOTEBOOKS:
        _warm_notebooks()


def _warm_pictures() -> None:
    """Both formats with their decoders, by a turned picture of two points; and what a JPEG of two pictures needs."""
    import io

    from PIL import Image, MpoImagePlugin, TiffImagePlugin  # noqa: F401

    for form in ("PNG", "JPEG"):
        file = io.BytesIO()
        turned = Image.Exif()
        turned[0x0112] = 6  # orientation
        Image.new("RGB", (2, 1)).save(file, form, exif=turned)
        read_pixels(file.getvalue())


def _warm_notebooks() -> None:
    """nbformat reads a schema for each minor version when it meets it first, and another way for what is not valid."""
    import json

    wrong: dict[str, Any] = {"cell_type": "code"}
    for minor in range(NEXT_MINOR + 1):
        for cells in ([], [wrong]):
            content = {"nbformat": 4, "nbformat_minor": minor, "metadata": {}, "cells": cells}
            read("file.ipynb", json.dumps(content).encode())
