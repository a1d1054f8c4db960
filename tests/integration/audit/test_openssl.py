"""An independent verifier: openssl accepts the checkpoint's signature, and refuses a changed checkpoint."""

import base64
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from running_log import event


def openssl_verifies(folder, text):
    (folder / "text").write_bytes(text)
    files = ["-inkey", folder / "key.pem", "-in", folder / "text", "-sigfile", folder / "signature"]
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin", *files]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


@pytest.fixture
def checkpoint(running_log):
    receipt = running_log.client().record(event())
    running_log.client().wait_published(receipt.index, running_log.log_dir)
    return (running_log.log_dir / "checkpoint").read_bytes()


def test_openssl_accepts_the_checkpoint(running_log, checkpoint, tmp_path):
    # read by hand, not with our parser: name+id+base64 and text, blank line, "— name base64"
    public = base64.b64decode(running_log.vkey.split("+", 2)[2])[1:]
    key = Ed25519PublicKey.from_public_bytes(public)
    (tmp_path / "key.pem").write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    text, signature_line = checkpoint.split(b"\n\n")
    (tmp_path / "signature").write_bytes(base64.b64decode(signature_line.split()[2])[4:])
    assert openssl_verifies(tmp_path, text + b"\n")
    assert not openssl_verifies(tmp_path, text.replace(b"\n1\n", b"\n2\n") + b"\n")
