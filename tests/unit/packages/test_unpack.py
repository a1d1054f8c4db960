"""Hostile wheels, opened: what leaves its folder, runs at the start, stands before others, lies about itself."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipInfo

import pytest

from enclave.packages.unpack import Unpacking, surroundings
from enclave.packages.wheels import Surroundings, WheelRefusedError, place_of


def _wheel() -> Any:
    path = Path(__file__).resolve().parents[2] / "integration" / "packages" / "mirror.py"
    spec = importlib.util.spec_from_file_location("package_mirror", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules.setdefault("package_mirror", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module.wheel


wheel = _wheel()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    folder = tmp_path / "image"
    for name in ("numpy/__init__.py", "six.py", "_cffi.cpython-311-x86_64-linux-gnu.so", "google/cloud/__init__.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def unpack(tmp_path: Path, image: Path, *made: tuple[str, bytes], most: int = 1 << 20) -> list[str]:
    target = tmp_path / "target"
    target.mkdir(exist_ok=True)
    unpacking = Unpacking(target, surroundings(image), most)
    left_out = []
    for number, (name, content) in enumerate(made):
        file = tmp_path / str(number) / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        left_out += unpacking.unpack(file)
    return left_out


HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "climbs": ({"files": {"../../etc/cron.d/x": b"x"}}, "path that leaves"),
    "climbs inside": ({"files": {"a/../../x.py": b"x"}}, "path that leaves"),
    "absolute": ({"files": {"/etc/passwd": b"x"}}, "path that leaves"),
    "backslashes": ({"files": {"a\\..\\x.py": b"x"}}, "path that leaves"),
    "a line feed": ({"files": {"a\nb.py": b"x"}}, "path that leaves"),
    "climbs out of data": ({"files": {"w-1.data/purelib/../../x.py": b"x"}}, "path that leaves"),
    "unknown data": ({"files": {"w-1.data/etc/x": b"x"}}, "known kinds"),
    "very deep": ({"files": {"a/" * 60 + "x.py": b"x"}}, "ordinary length"),
    "a link": ({"files": {"w.py": b""}, "links": {"w2": "/etc/shadow"}}, "link or a device"),
    "runs at the start": ({"files": {"w.pth": b"import os"}}, r"no \.pth file"),
    "runs at the start, by data": ({"files": {"w-1.data/platlib/W.PTH": b"import os"}}, r"no \.pth file"),
    "sitecustomize": ({"files": {"sitecustomize.py": b""}}, "no sitecustomize"),
    "usercustomize as a folder": ({"files": {"usercustomize/__init__.py": b""}}, "no usercustomize"),
    "before the standard library": ({"files": {"json/__init__.py": b""}}, "`json`"),
    "before the standard library, as a folder": ({"files": {"email/anything.py": b""}}, "`email`"),
    "before the image's folder": ({"files": {"numpy/extra.py": b""}}, "`numpy`"),
    "before the image's module": ({"files": {"six/__init__.py": b""}}, "`six`"),
    "before the image's compiled module": ({"files": {"_cffi.py": b""}}, "`_cffi`"),
    "before ours": ({"files": {"enclave_client.py": b""}}, "`enclave_client`"),
    "takes a shared folder over": ({"files": {"google/__init__.py": b""}}, "`google`"),
    "another package's version": ({"files": {"numpy-9.dist-info/METADATA": b"Name: numpy"}}, "metadata of its own"),
    "the same, by data": ({"files": {"w-1.data/purelib/numpy-9.dist-info/METADATA": b""}}, "metadata of its own"),
    "the same, old form": ({"files": {"numpy.egg-info/PKG-INFO": b""}}, "metadata of its own"),
    "unlisted file": ({"files": {"w.py": b""}, "unlisted": {"w2.py": b"x"}}, "lists with their hashes"),
    "a bomb": ({"files": {"w.bin": bytes(50 << 20)}}, "at most 1 MB"),
    "too much": ({"files": {"w.bin": bytes(2 << 20)}}, "at most 1 MB"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_wheel_is_refused(tmp_path: Path, image: Path, name: str) -> None:
    given, said = HOSTILE[name]
    with pytest.raises(WheelRefusedError, match=said):
        unpack(tmp_path, image, wheel("w", "1", **given))
    outside = [
        path for path in tmp_path.rglob("*") if path.is_file() and path.suffix in (".py", "") and path.stem == "x"
    ]
    assert outside == []


def test_an_ordinary_wheel_goes_where_it_belongs(tmp_path: Path, image: Path) -> None:
    files = {
        "w/__init__.py": b"1",
        "w/model.pth": b"weights, deep inside, are data",
        "w/old.pyc": b"compiled elsewhere",
        "w-1.data/purelib/w_more.py": b"2",
        "w-1.data/scripts/w": b"#!python",
        "w-1.data/data/etc/w.conf": b"x",
        "google/w/__init__.py": b"shares a folder",
    }
    left_out = unpack(tmp_path, image, wheel("w", "1", files))
    found = {str(p.relative_to(tmp_path / "target")) for p in (tmp_path / "target").rglob("*") if p.is_file()}
    info = {f"w-1.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD")}
    assert found == {"w/__init__.py", "w/model.pth", "w_more.py", "google/w/__init__.py", *info}
    assert sorted(left_out) == ["w-1.data/data/etc/w.conf", "w-1.data/scripts/w", "w/old.pyc"]
    assert not [path for path in (tmp_path / "target").rglob("*") if path.is_file() and path.stat().st_mode & 0o111]


@pytest.mark.parametrize(
    ("file", "folder", "comes_in"),
    [
        ("Old.Tool-1.0-1-py3-none-any.whl", "old_tool-1.0.dist-info", True),
        ("old_tool-1.0-py3-none-any.whl", "old_tool.egg-info", True),
        ("numpy_x-1.0-py3-none-any.whl", "numpy-x-1.0.dist-info", False),
        ("scikit-1.0-py3-none-any.whl", "scikit_learn-9.dist-info", False),
        ("numpy_more-1.0-py3-none-any.whl", "numpy-1.0.dist-info", False),
    ],
)
def test_metadata_is_the_wheels_own(file: str, folder: str, comes_in: bool) -> None:
    info = ZipInfo(f"{folder}/METADATA")
    if comes_in:
        assert place_of(file, info, Surroundings()) is not None
    else:
        with pytest.raises(WheelRefusedError, match="metadata of its own"):
            place_of(file, info, Surroundings())


def test_two_packages_may_share_a_file_only_when_it_is_the_same(tmp_path: Path, image: Path) -> None:
    one, same = wheel("a", "1", {"shared/x.py": b"1"}), wheel("b", "1", {"shared/x.py": b"1"})
    assert unpack(tmp_path, image, one, same) == []
    with pytest.raises(WheelRefusedError, match="another package has"):
        unpack(tmp_path, image, one, wheel("c", "1", {"shared/x.py": b"2"}))


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_wheel_is_refused(tmp_path: Path, image: Path, content: bytes) -> None:
    with pytest.raises(WheelRefusedError, match="cannot be read"):
        unpack(tmp_path, image, ("w-1-py3-none-any.whl", content))


def test_a_damaged_archive_is_refused_like_one_that_is_none(tmp_path: Path, image: Path) -> None:
    name, whole = wheel("w", "1", {"w.py": bytes(range(256)) * 64})
    at = whole.index(b"w.py") + len(b"w.py")
    torn = whole[:at] + b"\xff" * 8 + whole[at + 8 :]  # no deflated stream begins like this
    unread = wheel("w", "1", {"w.py": b""}, record=b'"' + b"z" * 200_000 + b'",,\n')  # longer than csv takes
    for content in (torn, unread[1]):
        with pytest.raises(WheelRefusedError, match="cannot be read"):
            unpack(tmp_path, image, (name, content))
