"""A certificate authority made for one test run, for the gateway's TCP port and its clients."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Issued:
    """PEM texts and, once written, their files."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        files = folder / f"{name}.crt", folder / f"{name}.key"
        for file, content, mode in zip(files, (self.certificate, self.key), (0o644, 0o600), strict=True):
            file.write_bytes(content)
            file.chmod(mode)
        return files


class Authority:
    """``certificate`` is what clients trust; ``issue`` makes certificates for servers and clients."""

    def __init__(self, name: str = "Test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        lasting = timedelta(days=30)
        self.certificate = _pem(_signed(self._name, self._name, self._key, self._key, lasting, None))

    def issue(self, name: str, *, lasting: timedelta = timedelta(days=30), server: bool = False) -> Issued:
        """A certificate with ``name`` as its first alternative name; for a server on loopback when asked."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(name)]
        if server:
            names += [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        found = _signed(subject, self._name, key, self._key, lasting, x509.SubjectAlternativeName(names))
        shape, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return Issued(_pem(found), key.private_bytes(serialization.Encoding.PEM, shape, plain))


def tcp_environment(home: Path, authority: Authority, address: str, *, mutual: bool = False) -> dict[str, str]:
    """What the next front that starts has to be told to listen at ``address``; its files are written below ``home``."""
    certificate, key = authority.issue("gateway.test", server=True).write(home, "server")
    told = {
        "ENCLAVE_GATEWAY_TCP": address,
        "ENCLAVE_GATEWAY_TLS_CERTIFICATE": str(certificate),
        "ENCLAVE_GATEWAY_TLS_KEY": str(key),
    }
    if mutual:
        (home / "ca.crt").write_bytes(authority.certificate)
        (home / "ca.crt").chmod(0o644)
        told["ENCLAVE_GATEWAY_TLS_CLIENT_CA"] = str(home / "ca.crt")
    return told


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signing_key: ec.EllipticCurvePrivateKey,
    lasting: timedelta,
    names: x509.SubjectAlternativeName | None,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + lasting) - timedelta(days=1))
        .not_valid_after(now + lasting)
        .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
    )
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signing_key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
