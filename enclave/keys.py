"""Keys and service secrets: files under ``keys/`` (mode 0700), created once, never settings and never in the log.

Pseudonym keys are *not* here: they stay on the producer's side (``enclave.extracts.producer``).
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from enclave.files import write_atomically
from enclave.settings import Settings

_ED25519 = ("token", "receipt")
_SECRETS = ("service.secret", "hub-api.secret", "oidc-client.secret", "django.secret", "proxy.secret", "cookie.secret")


class KeyMissingError(Exception):
    """A key file is not there or not readable; says which one and how to create it."""


def ensure_keys(settings: Settings) -> None:
    """Create every missing key and secret; existing ones stay as they are."""
    folder = settings.keys_dir
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    for name in _ED25519:
        if not (folder / f"{name}.key").exists():
            _write_ed25519(folder, name, Ed25519PrivateKey.generate())
    if not (folder / "oidc.key").exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
        write_atomically(folder / "oidc.key", _private_pem(key), mode=0o600)
    for name in _SECRETS:
        if not (folder / name).exists():
            write_atomically(folder / name, secrets.token_hex(32).encode(), mode=0o600)


def _private_pem(key: Ed25519PrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_ed25519(folder: Path, name: str, key: Ed25519PrivateKey) -> None:
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_atomically(folder / f"{name}.pub", public, mode=0o644)
    write_atomically(folder / f"{name}.key", _private_pem(key), mode=0o600)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyMissingError(
            f"Expected the key file {path.name} under keys/, found {os.strerror(error.errno or 0)}. "
            "Run `enclave serve` or `enclave demo` as the account that owns the enclave's home."
        ) from error


def _private(settings: Settings, name: str) -> Ed25519PrivateKey:
    key = serialization.load_pem_private_key(_read(settings.keys_dir / f"{name}.key"), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyMissingError(f"Expected an Ed25519 key in {name}.key, found {type(key).__name__}.")
    return key


def _public(settings: Settings, name: str) -> Ed25519PublicKey:
    key = serialization.load_pem_public_key(_read(settings.keys_dir / f"{name}.pub"))
    if not isinstance(key, Ed25519PublicKey):
        raise KeyMissingError(f"Expected an Ed25519 key in {name}.pub, found {type(key).__name__}.")
    return key


def token_private_key(settings: Settings) -> Ed25519PrivateKey:
    """Signs workspace tokens; the portal's."""
    return _private(settings, "token")


def token_public_key(settings: Settings) -> Ed25519PublicKey:
    """Verifies workspace tokens; the gateway's."""
    return _public(settings, "token")


def receipt_private_key(settings: Settings) -> Ed25519PrivateKey:
    """Signs release receipts."""
    return _private(settings, "receipt")


def receipt_public_key(settings: Settings) -> Ed25519PublicKey:
    """Verifies release receipts; may be published."""
    return _public(settings, "receipt")


def oidc_private_key_pem(settings: Settings) -> str:
    """RSA key of the OpenID provider, as PEM text."""
    return _read(settings.keys_dir / "oidc.key").decode()


def _secret(settings: Settings, name: str) -> str:
    return _read(settings.keys_dir / name).decode().strip()


def service_secret(settings: Settings) -> str:
    """Header ``X-Enclave-Service`` between our own processes."""
    return _secret(settings, "service.secret")


def hub_api_token(settings: Settings) -> str:
    """The runner's token at JupyterHub's REST API."""
    return _secret(settings, "hub-api.secret")


def oidc_client_secret(settings: Settings) -> str:
    """The hub's client secret at the portal."""
    return _secret(settings, "oidc-client.secret")


def django_secret(settings: Settings) -> str:
    """Django's SECRET_KEY."""
    return _secret(settings, "django.secret")


def proxy_auth_token(settings: Settings) -> str:
    """The hub's token at the edge's route API."""
    return _secret(settings, "proxy.secret")


def cookie_secret(settings: Settings) -> bytes:
    """JupyterHub's cookie secret, 32 bytes."""
    return bytes.fromhex(_secret(settings, "cookie.secret"))
