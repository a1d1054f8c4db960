"""The settings of the TCP door: each way of being wrong is refused with a sentence that names it."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from enclave.cli.doctor import find_problems
from enclave.gateway.tls import TlsError, read_listener
from enclave.settings import Settings

_FILE = Path(__file__).parents[2] / "integration" / "gateway" / "authority.py"
_NAME = "gateway_authority"


def authority() -> Any:
    if _NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(_NAME, _FILE)
        assert spec is not None and spec.loader is not None
        sys.modules[_NAME] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[_NAME])
    return sys.modules[_NAME].Authority()


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """Settings that are right; a test changes one thing."""
    certificate, key = authority().issue("gateway.test", server=True).write(tmp_path, "server")
    return {
        "home": tmp_path,
        "gateway_tcp": "10.0.0.5:31337",
        "gateway_tls_certificate": certificate,
        "gateway_tls_key": key,
    }


def test_right_settings_give_a_listener_and_the_doctor_is_content(given: dict[str, Any]) -> None:
    listener = read_listener(Settings(**given, gateway_locations=("grpc+tls://10.0.0.5:31337",)))
    assert listener is not None
    assert (listener.address, listener.locations) == ("10.0.0.5:31337", ("grpc+tls://10.0.0.5:31337",))
    assert "PRIVATE" not in repr(listener)
    assert "gateway TLS" not in {finding.name for finding in find_problems(Settings(**given))}


def test_without_an_address_nothing_is_read(tmp_path: Path) -> None:
    assert read_listener(Settings(home=tmp_path)) is None


def test_another_address_than_the_setting_s_may_be_asked_for(given: dict[str, Any]) -> None:
    listener = read_listener(Settings(**given), "[::1]:4000")
    assert listener is not None and (listener.host, listener.port) == ("[::1]", 4000)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"gateway_tcp": "31337"}, "gateway_tcp as host:port"),
        ({"gateway_tcp": "localhost:70000"}, "gateway_tcp as host:port"),
        ({"gateway_tcp": "grpc://localhost:4000"}, "gateway_tcp as host:port"),
        ({"gateway_tls_key": None}, "TLS only, on loopback as well"),
        ({"gateway_tls_certificate": None}, "TLS only, on loopback as well"),
        ({"gateway_tls_certificate": Path("/nowhere/a.crt")}, "gateway_tls_certificate, found No such file"),
        ({"gateway_locations": ("grpc://10.0.0.5:31337",)}, r"gateway_locations as grpc\+tls"),
    ],
)
def test_a_wrong_setting_is_named(given: dict[str, Any], change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TlsError, match=sentence):
        read_listener(Settings(**{**given, **change}))


def loosen_key(given: dict[str, Any]) -> None:
    given["gateway_tls_key"].chmod(0o640)


def loosen_certificate(given: dict[str, Any]) -> None:
    given["gateway_tls_certificate"].chmod(0o666)


def loosen_authority(given: dict[str, Any]) -> None:
    given["gateway_tls_client_ca"] = given["home"] / "ca.crt"
    given["gateway_tls_client_ca"].write_bytes(given["gateway_tls_certificate"].read_bytes())
    given["gateway_tls_client_ca"].chmod(0o664)


def give_key_away(given: dict[str, Any]) -> None:
    os.chown(given["gateway_tls_key"], 4242, -1)


def swap_key(given: dict[str, Any]) -> None:
    _, given["gateway_tls_key"] = authority().issue("another.test", server=True).write(given["home"], "another")


def spoil_certificate(given: dict[str, Any]) -> None:
    given["gateway_tls_certificate"].write_text("no certificate")


def expire(given: dict[str, Any]) -> None:
    old = authority().issue("gateway.test", lasting=timedelta(hours=-1), server=True)
    given["gateway_tls_certificate"], given["gateway_tls_key"] = old.write(given["home"], "old")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (loosen_key, "gateway_tls_key that only its owner can use, found mode 0640"),
        (loosen_certificate, "gateway_tls_certificate that only its owner can write, found mode 0666"),
        (loosen_authority, "gateway_tls_client_ca that only its owner can write, found mode 0664"),
        (give_key_away, "root or the account of this process, found one of account 4242"),
        (swap_key, "private key of gateway_tls_certificate"),
        (spoil_certificate, "PEM certificates in the file of gateway_tls_certificate"),
        (expire, "certificate that holds now"),
    ],
)
def test_a_wrong_file_is_refused(
    given: dict[str, Any], change: Callable[[dict[str, Any]], None], sentence: str
) -> None:
    change(given)
    with pytest.raises(TlsError, match=sentence):
        read_listener(Settings(**given))
    (found,) = [finding for finding in find_problems(Settings(**given)) if finding.name == "gateway TLS"]
    assert found.problem


def test_the_doctor_says_when_a_certificate_ends_soon(given: dict[str, Any]) -> None:
    soon = authority().issue("gateway.test", lasting=timedelta(days=5), server=True)
    given["gateway_tls_certificate"], given["gateway_tls_key"] = soon.write(given["home"], "soon")
    (found,) = [finding for finding in find_problems(Settings(**given)) if finding.name == "gateway TLS"]
    assert "certificate ends on" in found.problem
