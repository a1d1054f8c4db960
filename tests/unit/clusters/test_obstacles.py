"""What ``enclave doctor`` says about clusters."""

from __future__ import annotations

from pathlib import Path

import pytest

from enclave.clusters import obstacles
from enclave.settings import Settings


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "lib" / "python3.11" / "site-packages" / "dask_gateway").mkdir(parents=True)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    return Settings(home=tmp_path, image=tmp_path, cluster_workers=2)


def test_the_proxy_comes_with_the_package(ready: Settings) -> None:
    assert obstacles.find_proxy() is not None
    assert obstacles.find_obstacle(ready) == ""


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"engine": "docker"}, "docker"), ({"image": Path("/nowhere")}, "no dask-gateway"), ({"cluster_workers": 0}, "")],
)
def test_settings_that_cannot_be(ready: Settings, changed: dict[str, object], word: str) -> None:
    said = obstacles.find_obstacle(ready.model_copy(update=changed))
    assert word in said and bool(said) == bool(word)


@pytest.mark.parametrize(
    ("what", "answer", "word"),
    [("os.geteuid", lambda: 1000, "root"), ("shutil.which", lambda _: None, "nsenter")],
)
def test_a_machine_that_cannot(
    ready: Settings, monkeypatch: pytest.MonkeyPatch, what: str, answer: object, word: str
) -> None:
    monkeypatch.setattr(what, answer)
    assert word in obstacles.find_obstacle(ready)


def test_a_package_without_its_program(ready: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "proxy" in obstacles.find_obstacle(ready)
