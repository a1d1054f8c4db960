"""Sets of packages from a real mirror on loopback: real pip, real sandboxes; and the mirrors that lie."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from package_mirror import UnsafeMirror, serving, wheel  # type: ignore[import-not-found]

from audit.client import AuditUnavailable
from enclave.domain.ids import ProjectId
from enclave.domain.packages import Requirement
from enclave.packages.bills import find_content
from enclave.packages.fetch import IngressError, Pinned
from enclave.packages.ingress import _check_wheels, make_set
from enclave.settings import Settings

STUDY = ProjectId("study")


@pytest.fixture(scope="module")
def mirror() -> Iterator[UnsafeMirror]:
    found = UnsafeMirror()
    program = {"toy-1.0.data/scripts/toy": b"#!/bin/sh\n"}
    modules = {"toy/__init__.py": b"from helper import VALUE\n", **program}
    found.add("toy", wheel("toy", "1.0", modules, ("helper>=1,<2", "numpy", "pandas")))
    found.add("helper", wheel("helper", "1.2", {"helper.py": b"VALUE = 41\n"}))
    found.add("helper", wheel("helper", "2.0", {"helper.py": b"VALUE = 42\n"}))
    found.add("greedy", wheel("greedy", "1", {"greedy.py": b""}, ("numpy==1.0",)))
    found.add("numpy", wheel("numpy", "1.0", {"numpy/__init__.py": b"raise SystemExit"}))
    found.add("liar", wheel("liar", "1", {"liar.py": b""}))
    found.lies.add("liar")
    found.add("source", ("source-1.0.tar.gz", b"a setup.py would run"))
    found.add("starts", wheel("starts", "1", {"starts.pth": b"import os"}))
    found.add("huge", wheel("huge", "1", {"huge.bin": os.urandom(3 << 20)}))
    with serving(found):
        yield found


def settings_for(folder: Path, mirror: UnsafeMirror, **more: Any) -> Settings:
    return Settings(home=folder, package_mirror=mirror.url, **more)


def test_a_package_comes_with_what_it_needs_and_nothing_of_the_image(mirror: UnsafeMirror, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, mirror)
    mirror.asked.clear()
    refused: list[str] = []
    made = make_set(settings, STUDY, [Requirement("toy", "")], refused.append)
    folder = tmp_path / "projects/study/packages/p1"
    assert (made.version, made.versions["toy"], made.versions["helper"]) == ("p1", "1.0", "1.2")
    assert [one.name for one in made.added] == ["helper", "toy"]
    assert made.versions["pandas"]  # of the image
    assert not [path for path in mirror.asked if "numpy" in path or "pandas" in path]
    assert (folder / "site-packages/toy/__init__.py").read_bytes() == b"from helper import VALUE\n"
    assert not list((folder / "site-packages").rglob("toy-1.0.data"))

    content = find_content(settings, STUDY, "p1")
    assert content is not None and content.bom_sha256 == made.bom_sha256
    bill = json.loads((folder / "bom.json").read_bytes())
    wheels = {hashlib.sha256(body).hexdigest() for files in mirror.files.values() for body in files.values()}
    assert {c["hashes"][0]["content"] for c in bill["components"]} <= wheels
    assert "toy-1.0.data/scripts/toy" in json.dumps(bill["metadata"]["properties"])
    checked = subprocess.run(["sha256sum", "--check", "--strict", "files.sha256"], cwd=folder, capture_output=True)
    assert checked.returncode == 0, checked.stderr
    everything = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    listed = {line.split("  ")[1] for line in (folder / "files.sha256").read_text().splitlines()}
    assert everything == listed | {"bom.json", "files.sha256"}

    assert make_set(settings, STUDY, [Requirement("pandas", "")], refused.append).version == ""  # the image has it
    assert refused == []


REFUSED = [
    ("greedy", "the image stays as it is"),
    ("liar", "DO NOT MATCH THE HASHES"),
    ("source", "No matching distribution"),
    ("starts", "Expected no .pth file in starts-1-py3-none-any.whl"),
    ("huge", "File too large"),
]


@pytest.mark.parametrize(("name", "said"), REFUSED)
def test_what_does_not_come_in(mirror: UnsafeMirror, tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(IngressError) as caught:
        make_set(settings_for(tmp_path, mirror, package_set_mb=1), STUDY, [Requirement(name, "")], _nothing)
    assert said in " ".join(caught.value.reasons)
    assert list((tmp_path / "projects/study/packages").iterdir()) == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "found none set"),
        ("http://mirror.example/simple", "with https"),
        ("https://user:secret@127.0.0.1/simple", "without a password"),
        ("https://no-such-name.invalid/simple", "found no address"),
    ],
)
def test_without_a_mirror_that_can_be_asked_the_reason_is_said(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(IngressError, match=said):
        make_set(Settings(home=tmp_path, package_mirror=url), STUDY, [Requirement("toy", "")], _nothing)


def _nothing(place: str) -> None:
    raise AssertionError(f"expected nothing refused, found {place}")


@pytest.fixture
def neighbour() -> Iterator[UnsafeMirror]:
    """Another service of this machine, which has what was asked for."""
    found = UnsafeMirror()
    found.add("lured", wheel("lured", "1", {"lured.py": b""}))
    with serving(found):
        yield found
    assert found.asked == [], "nobody came"


HOW = ["the index names it", "the index is redirected", "the file is redirected"]


@pytest.mark.parametrize("how", HOW)
def test_a_mirror_that_leads_elsewhere(mirror: UnsafeMirror, neighbour: UnsafeMirror, tmp_path: Path, how: str) -> None:
    base, (file,) = neighbour.url.removesuffix("/simple"), neighbour.files["lured"]
    mirror.add("lured", (file, neighbour.files["lured"][file]))
    mirror.elsewhere = {"lured": base} if how == HOW[0] else {}
    mirror.redirects = {
        HOW[1]: {"/simple/lured/": f"{base}/simple/lured/"},
        HOW[2]: {f"/files/lured/{file}": f"{base}/files/lured/{file}"},
    }.get(how, {})
    refused: list[str] = []
    with pytest.raises(IngressError) as caught:
        make_set(settings_for(tmp_path, mirror), STUDY, [Requirement("lured", "")], refused.append)
    place = base.removeprefix("http://")
    assert refused == [place]
    assert f"The mirror led to {place}, which is neither" in " ".join(caught.value.reasons)


def test_a_refusal_that_cannot_be_recorded_ends_the_fetch(mirror: UnsafeMirror, tmp_path: Path) -> None:
    mirror.elsewhere, mirror.redirects = {"helper": "http://127.0.0.1:1"}, {}

    def away(place: str) -> None:
        raise AuditUnavailable("away")

    try:
        with pytest.raises(IngressError, match="took no record"):
            make_set(settings_for(tmp_path, mirror), STUDY, [Requirement("helper", "")], away)
    finally:
        mirror.elsewhere = {}


def test_a_wheel_under_another_name_is_not_the_one_resolved(tmp_path: Path) -> None:
    name, content = wheel("toy", "1.0", {"toy.py": b""})
    pinned = [Pinned("toy", "1.0", hashlib.sha256(content).hexdigest())]
    (tmp_path / name).write_bytes(content)
    _check_wheels(tmp_path, pinned)
    (tmp_path / name).rename(tmp_path / "numpy-1.0-py3-none-any.whl")
    with pytest.raises(IngressError, match="found others"):
        _check_wheels(tmp_path, pinned)
