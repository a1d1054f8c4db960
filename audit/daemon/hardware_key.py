"""The log's Ed25519 key in a hardware security module (PKCS#11). ``python-pkcs11`` is imported only here, when used.

The module keeps the key from being copied, not from being used: whoever may run the daemon can sign. Witnesses stand
against that. SATRE 2.8.05.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit.note import SigningFailed

if TYPE_CHECKING:
    from pkcs11 import Session
    from pkcs11.types import Key, SignMixin

# DER of PrintableString "edwards25519" (PKCS#11 3.0, section 2.3.7), and what OpenSC writes instead: the OID of Ed25519
CURVE = b"\x13\x0cedwards25519"
RAW_BYTES = 32


class HardwareKeyError(RuntimeError):
    """The module, the token or the key cannot be used; the sentence says what to do. Never holds the PIN."""


@dataclass(frozen=True)
class HardwareKeySettings:
    """``module``: the vendor's library; ``token`` and ``label``: where the key is; ``pin_file``: one line."""

    module: Path
    token: str
    label: str
    pin_file: Path


class HardwareKey:
    """A :class:`audit.note.Signer`. Opens a session on construction; for one thread."""

    def __init__(self, settings: HardwareKeySettings) -> None:
        from pkcs11 import KeyType, Mechanism, NoSuchKey, ObjectClass, PKCS11Error

        self._failure, self._mechanism = PKCS11Error, Mechanism.EDDSA
        with sentences(settings):
            self._session = open_session(settings, rw=False)
            kind, label = KeyType.EC_EDWARDS, settings.label
            try:
                private = self._session.get_key(object_class=ObjectClass.PRIVATE_KEY, key_type=kind, label=label)
                public = self._session.get_key(object_class=ObjectClass.PUBLIC_KEY, key_type=kind, label=label)
            except NoSuchKey as error:
                raise HardwareKeyError(
                    f"The token {settings.token} has no Ed25519 key pair with the label {settings.label};"
                    " make one with 'enclave-audit key generate-pkcs11', or restore the token from its backup."
                ) from error
            self._private, self._public = cast("SignMixin", private), public_bytes(public)

    def public_key(self) -> Ed25519PublicKey:
        """The public half."""
        return Ed25519PublicKey.from_public_bytes(self._public)

    def sign(self, data: bytes) -> bytes:
        """An Ed25519 signature; raise :class:`SigningFailed`."""
        try:
            return bytes(self._private.sign(data, mechanism=self._mechanism))
        except self._failure as error:
            raise SigningFailed(
                f"The hardware key does not sign any more ({type(error).__name__}); check the module and start again."
            ) from error


def generate(settings: HardwareKeySettings) -> bytes:
    """Make a key pair that never leaves the module; return the public key's 32 bytes. Raise HardwareKeyError."""
    from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

    with sentences(settings), open_session(settings, rw=True) as session:
        attributes = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: settings.label}
        if list(session.get_objects(attributes)):
            raise HardwareKeyError(
                f"The token {settings.token} has a key with the label {settings.label} already; choose another label."
            )
        parameters = session.create_domain_parameters(KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: CURVE}, local=True)
        public, private = parameters.generate_keypair(
            mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
            store=True,
            label=settings.label,
            private_template={Attribute.EXTRACTABLE: False, Attribute.SENSITIVE: True, Attribute.PRIVATE: True},
        )
        if private[Attribute.EXTRACTABLE] or not private[Attribute.SENSITIVE]:
            raise HardwareKeyError("The module made a key that can be copied out; use another module.")
        return public_bytes(public)


def public_bytes(public: Key) -> bytes:
    """The 32 bytes of an Ed25519 public key, which modules give raw or as a DER octet string."""
    from pkcs11 import Attribute

    point = bytes(public[Attribute.EC_POINT])
    if len(point) == RAW_BYTES + 2 and point[:2] == b"\x04\x20":
        point = point[2:]
    if len(point) != RAW_BYTES:
        raise HardwareKeyError(
            f"Expected an Ed25519 public key of {RAW_BYTES} bytes in the module, found another kind."
        )
    return point


def open_session(settings: HardwareKeySettings, *, rw: bool) -> Session:
    """Log in to the token with the PIN in the file; raise HardwareKeyError or PKCS11Error."""
    import pkcs11

    try:
        pin = settings.pin_file.read_text().rstrip("\n")
    except (OSError, ValueError) as error:
        raise HardwareKeyError("The file with the PIN cannot be read; check --pkcs11-pin-file.") from error
    token = pkcs11.lib(str(settings.module)).get_token(token_label=settings.token)
    return token.open(rw=rw, user_pin=pin)


@contextmanager
def sentences(settings: HardwareKeySettings) -> Iterator[None]:
    """Turn the library's errors, which are mostly class names, into sentences."""
    from pkcs11 import PKCS11Error

    try:
        yield
    except PKCS11Error as error:
        raise HardwareKeyError(
            f"The token {settings.token} cannot be used ({type(error).__name__});"
            " check --pkcs11-module, --pkcs11-token and the PIN."
        ) from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this part."""
    parser.add_argument("--pkcs11-module", type=Path, help="PKCS#11 library that holds the signing key")
    parser.add_argument("--pkcs11-token", help="label of the token")
    parser.add_argument("--pkcs11-label", help="label of the key pair")
    parser.add_argument("--pkcs11-pin-file", type=Path, help="file with the token's PIN")


def read_arguments(parser: argparse.ArgumentParser, given: argparse.Namespace) -> HardwareKeySettings | None:
    """All four options or none; exits with 2 otherwise."""
    module, token, label, pin_file = given.pkcs11_module, given.pkcs11_token, given.pkcs11_label, given.pkcs11_pin_file
    if module is None and token is None and label is None and pin_file is None:
        return None
    if not (module and token and label and pin_file):
        parser.error("--pkcs11-module, --pkcs11-token, --pkcs11-label and --pkcs11-pin-file go together")
    return HardwareKeySettings(module, token, label, pin_file)
