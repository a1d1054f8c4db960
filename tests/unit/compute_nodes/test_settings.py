"""The settings of home and node: each way of being wrong is refused with a sentence that names it."""

from __future__ import annotations

import importlib.util
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from enclave.cli.doctor import find_problems
from enclave.clusters.node_check import look_at_this_node
from enclave.compute_nodes.machines import Machine, read_home, read_node
from enclave.compute_nodes.serve import NodeError, take_folder
from enclave.settings import Settings
from enclave.tls_files import TlsError

_FILE = Path(__file__).parents[2] / "integration" / "gateway" / "authority.py"


def authority() -> Any:
    name = "unit_cluster_authority"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, _FILE)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name].Authority()


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """Settings that are right for home and node; a test changes one thing. The authority's file is as openssl prints
    it, with a name that is no ASCII."""
    issuer = authority()
    certificate, key = issuer.issue("machine.test").write(tmp_path, "machine")
    (tmp_path / "ca.crt").write_bytes("Subject: CN=Autorité de l'hôpital\n".encode() + issuer.certificate)
    return {
        "home": tmp_path,
        "cluster_workers": 2,
        "cluster_nodes": ("node-1.test=10.0.0.6:8443", "node-2.test=[fd00::7]:8443"),
        "cluster_address": "10.0.0.5:8443",
        "cluster_tls_certificate": certificate,
        "cluster_tls_key": key,
        "cluster_tls_ca": tmp_path / "ca.crt",
        "node_address": "10.0.0.6:8443",
        "node_home": "home.test",
        "node_workers": 4,
    }


def test_right_settings(given: dict[str, Any]) -> None:
    home, node = read_home(Settings(**given)), read_node(Settings(**given))
    assert home is not None
    assert home.nodes == (Machine("node-1.test", "10.0.0.6", 8443), Machine("node-2.test", "fd00::7", 8443))
    assert (node.home, node.workers, node.address.port) == ("home.test", 4, 8443)
    for identity in (home.identity, node.identity):
        assert identity.server.verify_mode == identity.client.verify_mode == ssl.CERT_REQUIRED
        assert identity.server.minimum_version == identity.client.minimum_version == ssl.TLSVersion.TLSv1_3
        assert identity.client.check_hostname


def test_without_nodes_nothing_is_read(tmp_path: Path) -> None:
    assert read_home(Settings(home=tmp_path, cluster_workers=2, cluster_tls_key=tmp_path / "nowhere")) is None


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"cluster_workers": 0}, "cluster_workers above 0"),
        ({"cluster_nodes": ("10.0.0.6:8443",)}, "cluster_nodes as name=host:port"),
        ({"cluster_nodes": ("Node=10.0.0.6:8443",)}, "cluster_nodes as name=host:port"),
        ({"cluster_nodes": ("*.test=10.0.0.6:8443",)}, "cluster_nodes as name=host:port"),
        ({"cluster_nodes": ("home=10.0.0.6:8443",)}, "and not home"),
        ({"cluster_nodes": ("machine.test=10.0.0.6:8443",)}, "found a name of cluster_nodes in"),
        ({"cluster_nodes": ("a=10.0.0.6:1", "a=10.0.0.7:1")}, "found a name or an address twice"),
        ({"cluster_nodes": ("a=10.0.0.6:1", "b=10.0.0.6:1")}, "found a name or an address twice"),
        ({"cluster_nodes": tuple(f"n{n}=10.0.0.{n}:1" for n in range(1, 10))}, "at most 8 cluster_nodes"),
        ({"cluster_workers": 256, "cluster_nodes": tuple(f"n{n}=10.0.0.{n}:1" for n in range(1, 6))}, "and 1024"),
        ({"cluster_address": ""}, "cluster_address as host:port"),
        ({"cluster_address": "0.0.0.0:8443"}, "one address of this machine"),
        ({"cluster_tls_ca": None}, "mutual TLS only"),
        ({"cluster_tls_certificate": Path("/nowhere/a.crt")}, "cluster_tls_certificate, found No such file"),
    ],
)
def test_wrong_settings_of_home(given: dict[str, Any], changed: dict[str, Any], sentence: str) -> None:
    settings = Settings(**{**given, "node_address": "", **changed})
    with pytest.raises(TlsError, match=sentence):
        read_home(settings)
    (found,) = [finding for finding in find_problems(settings) if finding.name.startswith("compute nodes")]
    assert sentence.split(",")[0] in found.problem


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"node_address": "[::]:8443"}, "node_address as host:port"),
        ({"node_home": "Home"}, "node_home the name"),
        ({"node_home": "machine.test"}, "found the name in node_home in cluster_tls_certificate"),
        ({"node_workers": 0}, "node_workers how many"),
        ({"cluster_tls_key": None}, "mutual TLS only"),
    ],
)
def test_wrong_settings_of_a_node(given: dict[str, Any], changed: dict[str, Any], sentence: str) -> None:
    settings = Settings(**{**given, **changed})
    with pytest.raises(TlsError, match=sentence):
        read_node(settings)
    (found,) = [finding for finding in find_problems(settings) if finding.name == "this machine as a compute node"]
    assert sentence in found.problem


def test_the_doctor_is_content_with_a_node(given: dict[str, Any]) -> None:
    found = look_at_this_node(Settings(**given))
    assert found is not None and found.problem == ""
    assert found.said.startswith("this machine as a compute node of home.test (4 workers, certificate until 20")


def test_a_nodes_folder_is_its_own_and_in_memory(tmp_path: Path) -> None:
    on_disk = tmp_path / "node"
    with pytest.raises(NodeError, match="in memory"):
        take_folder(on_disk)
    on_disk.chmod(0o755)
    with pytest.raises(NodeError, match="root alone"):
        take_folder(on_disk)
    (tmp_path / "link").symlink_to(on_disk)
    with pytest.raises(NodeError, match="root alone"):
        take_folder(tmp_path / "link")


def test_one_node_per_folder_and_nothing_is_left_of_the_last(tmp_path: Path) -> None:
    folder = Path("/dev/shm") / f"enclave-test-{tmp_path.name}-{tmp_path.parent.name}"
    try:
        with take_folder(folder), pytest.raises(NodeError, match="no other node"):
            (folder / "run" / "ws").mkdir(parents=True)
            take_folder(folder)
        with take_folder(folder):
            assert not (folder / "run").exists()
    finally:
        (folder / ".lock").unlink(missing_ok=True)
        folder.rmdir()
