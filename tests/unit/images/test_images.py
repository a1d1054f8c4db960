"""Images: what a comparison sees, what a record holds, what a lock allows, and a list of parts that others can read."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from datetime import date
from email.message import Message
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from typer.testing import CliRunner

from enclave.cli import image as image_cli
from enclave.images import debian, sbom, wheels
from enclave.images.contents import (
    UnreadableImageError,
    content_sha256,
    find_differences,
    read_entries,
    set_times,
)
from enclave.images.records import (
    Definition,
    ImageRecord,
    RecordError,
    find_changes,
    hash_of,
    is_current,
    read_definition,
    read_record,
    replace,
)

IMAGES = Path(__file__).resolve().parents[3] / ".images"
SHA = "ab" * 32


def make_image(folder: Path, name: str = "python") -> Path:
    """A small image with its list of parts and its record."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/tool").write_text("one")
    (folder / "bin/tool").chmod(0o755)
    (folder / "bin/link").symlink_to("tool")
    part = sbom.Part("pypi", "tool", "1.0", "MIT OR Apache-2.0", "tool-1.0-py3-none-any.whl", SHA)
    sbom.write_sbom(folder / sbom.SBOM, name, "1", [part], 86_400)
    content = content_sha256(read_entries(folder))
    ImageRecord(name, "1", 86_400, "made", "lock", "/base", "a test", content).write(folder)
    return folder


CHANGES = {
    "content": lambda folder: (folder / "bin/tool").write_text("two"),
    "permissions": lambda folder: (folder / "bin/tool").chmod(0o555),
    "kind": lambda folder: ((folder / "bin/link").unlink(), (folder / "bin/link").write_text("tool")),
    "only in the second": lambda folder: (folder / "bin/more").touch(),
    "only in the first": lambda folder: (folder / "bin/tool").unlink(),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_comparison_names_every_difference(tmp_path: Path, what: str) -> None:
    one, two = make_image(tmp_path / "1"), make_image(tmp_path / "2")
    assert find_differences(read_entries(one), read_entries(two)) == [] and find_changes(two) is None
    runner = CliRunner()
    assert runner.invoke(image_cli.app, ["compare", str(one), str(two)]).exit_code == 0
    CHANGES[what](two)
    found = find_differences(read_entries(one), read_entries(two))
    assert len(found) == 1 and what in found[0].what
    assert find_changes(two) is not None
    compared = runner.invoke(image_cli.app, ["compare", str(one), str(two)])
    assert compared.exit_code == 1 and found[0].path in compared.output
    shown = runner.invoke(image_cli.app, ["show", "--verify", str(two)])
    assert shown.exit_code == 1 and "Expected the content" in shown.output


def test_another_target_of_a_link_is_another_content(tmp_path: Path) -> None:
    one, two = make_image(tmp_path / "1"), make_image(tmp_path / "2")
    (two / "bin/link").unlink()
    (two / "bin/link").symlink_to("elsewhere")
    assert [found.path for found in find_differences(read_entries(one), read_entries(two))] == ["bin/link"]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(make_image(tmp_path / "1") / "pipe")
    with pytest.raises(UnreadableImageError, match="pipe"):
        read_entries(tmp_path / "1")


def test_records_and_definitions(tmp_path: Path) -> None:
    folder = make_image(tmp_path / "1")
    assert read_record(folder).content_sha256 == content_sha256(read_entries(folder))
    assert is_current(folder, "made") and not is_current(folder, "other") and not is_current(tmp_path, "made")
    (folder / "enclave-image.json").write_text("{}")
    with pytest.raises(RecordError, match="make setup"):
        read_record(folder)
    (tmp_path / "image.toml").write_text('name = "r"\nversion = "2"\ndate = 1970-01-03\n')
    assert read_definition(tmp_path / "image.toml") == Definition("r", "2", date(1970, 1, 3))
    assert read_definition(tmp_path / "image.toml").epoch == 2 * 86_400
    with pytest.raises(RecordError, match="name, version and date"):
        read_definition(tmp_path / "none.toml")
    assert hash_of(tmp_path / "image.toml") != hash_of(tmp_path / "image.toml", folder / "enclave-image.json")
    replace(folder, tmp_path / "2")
    set_times(tmp_path / "2", 86_400)
    assert (tmp_path / "2/bin/link").lstat().st_mtime == (tmp_path / "2").stat().st_mtime == 86_400


def test_a_list_of_parts_is_valid_cyclonedx_and_the_same_each_time(tmp_path: Path) -> None:
    one, two = (make_image(tmp_path / name) / sbom.SBOM for name in ("1", "2"))
    assert one.read_bytes() == two.read_bytes()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(one.read_text()) is None
    part = json.loads(one.read_text())["components"][0]
    assert (part["purl"], part["hashes"]) == ("pkg:pypi/tool@1.0", [{"alg": "SHA-256", "content": SHA}])
    assert part["licenses"] == [{"expression": "MIT OR Apache-2.0"}]


@pytest.mark.parametrize(("image", "kind", "among"), [("python", "pypi", "lifelines"), ("r", "deb", "r-cran-survival")])
def test_the_lists_of_the_real_images(image: str, kind: str, among: str) -> None:
    text = (IMAGES / image / sbom.SBOM).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    parts = {part["name"]: part for part in json.loads(text)["components"]}
    assert among in parts and len(parts) > 100
    for part in parts.values():
        assert part["purl"].startswith(f"pkg:{kind}/") and part["licenses"] and len(part["hashes"][0]["content"]) == 64
    listed = CliRunner().invoke(image_cli.app, ["list"])
    assert image in listed.output and "not built" not in listed.output


@pytest.mark.parametrize(
    ("headers", "licence"),
    [
        ([("License-Expression", "BSD-3-Clause"), ("License", "other")], "BSD-3-Clause"),
        ([("Classifier", "License :: OSI Approved :: MIT License"), ("Classifier", "Topic :: X")], "MIT License"),
        ([("License", "ISC\nwith a long text")], "ISC"),
        ([("License", "x" * 200)], "not told by its metadata"),
        ([], "not told by its metadata"),
    ],
)
def test_licences_of_wheels(headers: list[tuple[str, str]], licence: str) -> None:
    told = Message()
    for name, value in headers:
        told[name] = value.split("\n")[0]
    assert wheels.licence_of(told) == licence


PYLOCK = """
lock-version = "1.0"
[[packages]]
name = "tool"
version = "1.0"
wheels = [
  {{ url = "x/tool-1.0-cp310-cp310-win32.whl", hashes = {{ sha256 = "{other}" }} }},
  {{ url = "x/tool-1.0-py3-none-any.whl", hashes = {{ sha256 = "{sha}" }} }},
]
[[packages]]
name = "Old_Tool"
version = "0.5"
sdist = {{ url = "x/old_tool-0.5.tar.gz", hashes = {{ sha256 = "{sha}" }} }}
"""


def test_wheels_are_chosen_as_the_installer_does_and_only_from_the_lock(tmp_path: Path) -> None:
    pylock = PYLOCK.format(sha=SHA, other="cd" * 32)
    lock, built = f"tool==1.0 --hash=sha256:{SHA}", frozenset({"old-tool"})
    chosen = wheels.choose_archives(pylock, lock, built)
    assert (chosen["tool"].file, chosen["old-tool"].file) == ("tool-1.0-py3-none-any.whl", "old_tool-0.5.tar.gz")
    with pytest.raises(wheels.WheelError, match="a wheel of old-tool"):
        wheels.choose_archives(pylock, lock, frozenset())
    with pytest.raises(wheels.WheelError, match="among the lock's hashes"):
        wheels.choose_archives(pylock, "", built)
    metadata = tmp_path / "tool-1.0.dist-info/METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Name: tool\nVersion: 1.0\nLicense-Expression: MIT\n")
    assert [part.licence for part in wheels.installed_parts(tmp_path, chosen)] == ["MIT"]
    metadata.write_text("Name: tool\nVersion: 1.1\n")
    with pytest.raises(wheels.WheelError, match=r"tool 1\.1"):
        wheels.installed_parts(tmp_path, chosen)


OURS = debian.Package("tool", "1.0", "all", SHA)
UPDATE = debian.Package("tool", "1.0+deb12u1", "all", "cd" * 32)
FORGED = debian.Package("tool", "1.0", "all", "ef" * 32)


def test_a_lock_is_kept_to_unless_updates_are_asked_for() -> None:
    assert debian.read_lock(f"# a lock\n{OURS.line()}") == [OURS]
    assert debian.choose([OURS], [UPDATE, OURS], newer_allowed=True) == ([OURS], [])
    assert debian.choose([OURS], [UPDATE], newer_allowed=True) == ([UPDATE], ["tool=1.0+deb12u1"])
    with pytest.raises(debian.PackageError, match="make lock"):
        debian.choose([OURS], [UPDATE], newer_allowed=False)
    with pytest.raises(debian.PackageError, match="other bytes"):
        debian.choose([OURS], [FORGED], newer_allowed=True)
    with pytest.raises(debian.PackageError, match="found none"):
        debian.choose([OURS], [], newer_allowed=True)
    with pytest.raises(debian.PackageError, match="in the lock"):
        debian.read_lock("tool 1.0")


def make_package(folder: Path) -> debian.Package:
    """A Debian package with what a real one may hold: documents, a set-uid program, a folder that merges into usr."""
    tree = folder / "tree"
    control = "Package: tool\nVersion: 1.0\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
    files = {
        "DEBIAN/control": control,
        "usr/share/doc/tool/copyright": "License: MIT\n\nLicense: GPL-2+\n text\n",
        "usr/share/doc/tool/changelog": "x",
        "usr/share/man/man1/tool.1": "x",
        "bin/tool": "#!/bin/sh\n",
        "lib/x86_64-linux-gnu/libtool.so": "x",
        "usr/bin/dash": "x",
    }
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    (tree / "bin/tool").chmod(0o4755)
    archive = folder / "tool.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, archive], check=True, stdout=subprocess.DEVNULL)
    return debian.Package("tool", "1.0", "all", hash_file(archive))


def hash_file(file: Path) -> str:
    return subprocess.run(["sha256sum", file], check=True, capture_output=True, text=True).stdout.split()[0]


def test_two_unpackings_are_the_same_and_hold_no_more_than_they_should(tmp_path: Path) -> None:
    package = make_package(tmp_path)
    archive = tmp_path / "tool.deb"
    debian.check_archive(archive, package)
    with pytest.raises(debian.PackageError, match="Download it anew"):
        debian.check_archive(archive, OURS)
    roots = [tmp_path / "one", tmp_path / "two"]
    for root in roots:
        root.mkdir()
        debian.make_root(root)
        debian.unpack(archive, root)
        debian.finish(root, [archive])
    entries = {entry.path: entry for entry in read_entries(roots[0])}
    assert find_differences(list(entries.values()), read_entries(roots[1])) == []
    assert entries["usr/bin/tool"].mode == 0o755 and entries["bin"].kind == entries["usr/bin/sh"].kind == "link"
    assert "usr/lib/x86_64-linux-gnu/libtool.so" in entries and "usr/share/man/man1/tool.1" not in entries
    assert "usr/share/doc/tool/changelog" not in entries
    assert "Status: install ok unpacked" in (roots[0] / "var/lib/dpkg/status").read_text()
    part = debian.parts(roots[0], [package])[0]
    assert (part.licence, part.sha256) == ("GPL-2+, MIT", package.sha256)


def _hard_link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.LNKTYPE, target
    return member


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (tarfile.TarInfo("../outside"), "inside the package"),
        (tarfile.TarInfo("/outside"), "inside the package"),
        (tarfile.TarInfo("usr/led/astray"), "a link leads out"),
        (_hard_link("usr/copy", "../outside"), "inside the package"),
        (_hard_link("usr/copy", "usr/led/astray"), "a link leads out"),
    ],
)
def test_a_path_out_of_the_root_is_refused(tmp_path: Path, member: tarfile.TarInfo, said: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    (outside / "astray").write_text("somebody else's")
    (root / "usr").mkdir(parents=True)
    (root / "usr/led").symlink_to(outside)  # as another package may have it
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(member)
    made.seek(0)
    with tarfile.open(fileobj=made) as archive, pytest.raises(debian.PackageError, match=said):
        debian.extract(archive, archive.next() or member, root)
    assert [path.name for path in outside.iterdir()] == ["astray"] and list((root / "usr").iterdir()) == [
        root / "usr/led"
    ]
