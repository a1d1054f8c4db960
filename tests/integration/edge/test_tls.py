"""TLS at the edge with an authority made here: who is answered, what is refused at start."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from enclave_test_stand import REPOSITORY, LoopbackTransport, Stand  # type: ignore[import-not-found]
from stand_in_workspace import StandInWorkspace  # type: ignore[import-not-found]

from enclave.edge.tls import TlsError, find_tls_context
from enclave.settings import Settings

NAMES = ("portal.localhost", "hub.localhost", "*.hub.localhost")


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def make_certificates(folder: Path) -> dict[str, Path]:
    """An authority, and a certificate for the portal, the hub and every workspace below it."""
    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)

    def builder(subject: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("Test authority"))
        made = made.public_key(key).serial_number(x509.random_serial_number())
        return made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))

    root = builder("Test authority", authority.public_key())
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    leaf = builder("edge", server.public_key()).add_extension(
        x509.SubjectAlternativeName([x509.DNSName(text) for text in NAMES]), critical=False
    )
    key = server.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = serialization.Encoding.PEM
    files = {
        "authority": root.sign(authority, hashes.SHA256()).public_bytes(pem),
        "certificate": leaf.sign(authority, hashes.SHA256()).public_bytes(pem),
        "key": key,
    }
    for file, content in files.items():
        (folder / f"{file}.pem").write_bytes(content)
        (folder / f"{file}.pem").chmod(0o600)
    return {file: folder / f"{file}.pem" for file in files}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_certificates(tmp_path_factory.mktemp("tls"))


class LoopbackTls(LoopbackTransport):  # type: ignore[misc]
    """Connects to 127.0.0.1 and checks the certificate for the name that was asked for."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "sni_hostname": request.url.host}
        answer: httpx.Response = super().handle_request(request)
        return answer


class TlsStand(Stand):  # type: ignore[misc]
    def __init__(self, files: dict[str, Path]) -> None:
        super().__init__(with_hub=False)
        self._files = files
        changed = {"scheme": "https", "edge_tls_certificate": files["certificate"], "edge_tls_key": files["key"]}
        self.settings = self.settings.model_copy(update=changed)

    def environment(self) -> dict[str, str]:
        tls = {
            "ENCLAVE_SCHEME": "https",
            "ENCLAVE_EDGE_TLS_CERTIFICATE": str(self._files["certificate"]),
            "ENCLAVE_EDGE_TLS_KEY": str(self._files["key"]),
        }
        return {**super().environment(), **tls}

    def anonymous(self) -> httpx.Client:
        trusted = ssl.create_default_context(cafile=self._files["authority"])
        return httpx.Client(transport=LoopbackTls(verify=trusted), timeout=60, follow_redirects=False)


@pytest.fixture(scope="module")
def stand(files: dict[str, Path]) -> Iterator[Any]:
    with TlsStand(files) as stand:
        yield stand


def test_the_portal_answers_over_tls_and_asks_browsers_to_stay(stand: Any) -> None:
    with stand.anonymous() as client:
        answer = client.get(f"{stand.settings.portal_url}/x")
    assert answer.status_code == 200
    assert answer.json()["h"]["X-Forwarded-Proto"] == "https"
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")


def test_a_workspaces_own_name_is_covered_and_its_cookie_is_safe(stand: Any) -> None:
    with StandInWorkspace(stand) as workspace:
        workspace.pages["/lab"] = ("text/html", b"lab")
        assert workspace.origin.startswith("https://alice--study-one.hub.localhost:")
        plain = workspace.call("GET", "/lab")
        assert plain.status_code == 403, "over TLS only the cookie that siblings cannot set is taken"
        cookie = workspace.pass_cookie().replace("enclave-pass", "__Host-enclave-pass")
        assert workspace.call("GET", "/lab", headers={"Cookie": cookie}).text == "lab"


def test_a_stranger_that_does_not_know_the_authority_is_not_fooled(stand: Any) -> None:
    with (
        httpx.Client(transport=LoopbackTls(verify=ssl.create_default_context()), timeout=60) as client,
        pytest.raises(httpx.ConnectError, match="certificate verify failed"),
    ):
        client.get(f"{stand.settings.portal_url}/x")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_and_plain_http_are_not_spoken(stand: Any, files: dict[str, Path]) -> None:
    context = ssl.create_default_context(cafile=files["authority"])
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", stand.settings.port), timeout=60) as raw, pytest.raises(ssl.SSLError):
        context.wrap_socket(raw, server_hostname="portal.localhost")
    with socket.create_connection(("127.0.0.1", stand.settings.port), timeout=60) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: portal.localhost\r\n\r\n")
        assert not raw.recv(100).startswith(b"HTTP/1.1 2")


def settings_with(files: dict[str, Path], **changed: Any) -> Settings:
    given = {"scheme": "https", "edge_tls_certificate": files["certificate"], "edge_tls_key": files["key"], **changed}
    return Settings(**given)


def test_a_key_that_others_can_read_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    key = tmp_path / "open.pem"
    key.write_bytes(files["key"].read_bytes())
    key.chmod(0o640)
    with pytest.raises(TlsError, match="mode 640"):
        find_tls_context(settings_with(files, edge_tls_key=key))


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"edge_tls_key": None}, "both"),
        ({"edge_tls_certificate": None}, "both"),
        ({"scheme": "http"}, "ENCLAVE_SCHEME"),
        ({"edge_tls_key": Path("/nowhere/key.pem")}, "key.pem"),
        ({"edge_tls_certificate": Path("/nowhere/cert.pem")}, "cert.pem"),
    ],
)
def test_half_a_configuration_is_refused(files: dict[str, Path], changed: dict[str, Any], word: str) -> None:
    with pytest.raises(TlsError, match=word):
        find_tls_context(settings_with(files, **changed))


def test_a_key_of_another_certificate_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(TlsError, match="belong together"):
        find_tls_context(settings_with(files, edge_tls_key=make_certificates(tmp_path)["key"]))


def test_the_process_says_why_it_does_not_start(files: dict[str, Path], stand: Any) -> None:
    environment = {**stand.environment(), "ENCLAVE_SCHEME": "http"}
    command = [sys.executable, "-m", "enclave.edge.serve"]
    ended = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "ENCLAVE_SCHEME=https" in ended.stderr


def test_without_a_certificate_there_is_no_tls() -> None:
    assert find_tls_context(Settings()) is None
