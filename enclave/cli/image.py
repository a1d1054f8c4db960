"""``enclave image``: the workspace images of this machine, what is in them, and whether two builds are the same."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from enclave.images.contents import UnreadableImageError, find_differences, read_entries
from enclave.images.records import ImageRecord, RecordError, find_changes, read_record
from enclave.images.sbom import SBOM
from enclave.settings import Settings, get_settings

app = typer.Typer(help="Workspace images: list them, show their packages, compare two builds.", no_args_is_help=True)
_MOST_SHOWN = 50


def _configured(settings: Settings) -> dict[str, Path]:
    return {"python": settings.image, "r": settings.r_image}


def _find(image: str) -> Path:
    """An image's folder by its name in the settings, or a folder as it is."""
    return _configured(get_settings()).get(image, Path(image))


def _refuse(error: Exception) -> typer.Exit:
    print(error, file=sys.stderr)
    return typer.Exit(1)


@app.command("list")
def list_images() -> None:
    """The images of this machine with version and hash."""
    for name, folder in _configured(get_settings()).items():
        try:
            record = read_record(folder)
        except RecordError:
            print(f"{name:8} not built, expected in {folder}")
            continue
        updates = f", {len(record.newer)} newer than locked" if record.newer else ""
        print(f"{name:8} {record.version:12} {record.content_sha256[:16]} {folder}{updates}")


@app.command()
def show(
    image: Annotated[str, typer.Argument(help="python, r, or an image's folder")],
    verify: Annotated[bool, typer.Option("--verify", help="read every file and compare with the record")] = False,
) -> None:
    """An image's record and its packages with version and licence. Exit code 1: its files are not those on record."""
    folder = _find(image)
    try:
        record = read_record(folder)
        listed = json.loads((folder / SBOM).read_bytes())["components"]
        found = find_changes(folder) if verify else None
    except (RecordError, UnreadableImageError, OSError, ValueError, KeyError) as error:
        raise _refuse(error) from error
    for name, value in vars(record).items():
        print(f"{name:18} {', '.join(value) if isinstance(value, tuple) else value}")
    for part in listed:
        print(f"  {part['name']} {part['version']}  {_licences(part)}")
    if found is not None:
        raise _refuse(RecordError(f"Expected the content {record.content_sha256}, found {found}. Build it anew."))
    if verify:
        print("every file is as on record")


def _licences(part: dict[str, list[dict[str, dict[str, str]]]]) -> str:
    found = []
    for entry in part.get("licenses", ()):
        licence = entry.get("license", {})
        found.append(str(licence.get("id") or licence.get("name") or entry.get("expression", "")))
    return ", ".join(found)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="python, r, or an image's folder")],
    second: Annotated[str, typer.Argument(help="the other one")],
) -> None:
    """Compare two builds by every file's path, kind, permissions and bytes. Exit code 1: they differ."""
    one, two = _find(first), _find(second)
    try:
        records = (read_record(one), read_record(two))
        differences = find_differences(read_entries(one), read_entries(two))
    except (RecordError, UnreadableImageError, OSError) as error:
        raise _refuse(error) from error
    for name, ours, theirs in _unlike(*records):
        print(f"record: {name}: {ours} | {theirs}")
    for difference in differences[:_MOST_SHOWN]:
        print(f"{difference.path}: {difference.what}")
    if len(differences) > _MOST_SHOWN:
        print(f"… and {len(differences) - _MOST_SHOWN} more paths")
    print("Not compared: owners and times of files.")
    if differences:
        print(f"{len(differences)} paths differ.")
        raise typer.Exit(1)
    print("Same content.")


def _unlike(first: ImageRecord, second: ImageRecord) -> list[tuple[str, object, object]]:
    ours, theirs = vars(first), vars(second)
    return [(name, ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]]
