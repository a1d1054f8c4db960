"""The shell script an auditor can run without our code accepts our proofs, and refuses whatever else it is given."""

import base64
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from written_log import REPOSITORY, changed_entry

from audit.note import VerifierKey
from audit.proof import prove
from audit.reader import read_entry

SCRIPT = REPOSITORY / "docs" / "examples" / "check-proof.sh"


def check(folder, proof, record, key):
    (folder / "record").write_bytes(record)
    (folder / "receipt.tlog-proof").write_text(proof)
    command = [SCRIPT, folder / "receipt.tlog-proof", folder / "record", key]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def refusal(folder, proof, record, key):
    done = check(folder, proof, record, key)
    assert done.returncode == 1, (done.stdout, done.stderr)
    return done.stderr


@pytest.mark.parametrize("index", [0, 255, 256, 1023, 2048, 3002, -1])
def test_it_accepts_records_everywhere_in_the_tree(written_log, tmp_path, index):
    index %= written_log.size
    done = check(
        tmp_path, prove(written_log.directory, index), read_entry(written_log.directory, index), written_log.vkey
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"PROVEN: record {index} stands in log.example.test/enclave, which signed for {written_log.size} records\n"
    )


def test_it_accepts_the_key_as_pem_and_an_extra_line(written_log, tmp_path):
    public = Ed25519PublicKey.from_public_bytes(VerifierKey.parse(written_log.vkey).public)
    (tmp_path / "key.pem").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    proof = prove(written_log.directory, 7).replace("@v1\n", "@v1\nextra QUJD\n")
    assert check(tmp_path, proof, read_entry(written_log.directory, 7), tmp_path / "key.pem").returncode == 0


def test_it_refuses_another_record(written_log, tmp_path):
    proof, record = prove(written_log.directory, 7), read_entry(written_log.directory, 7)
    for other in (changed_entry(record), record + b"\n", read_entry(written_log.directory, 8), b""):
        assert "does not lead to the signed root" in refusal(tmp_path, proof, other, written_log.vkey)


def test_it_refuses_a_changed_proof(written_log, tmp_path):
    proof, record = prove(written_log.directory, 7), read_entry(written_log.directory, 7)
    lines = proof.split("\n")
    size = str(written_log.size)
    changed = {
        "no tlog-proof": proof.replace("@v1", "@v2"),
        "index and tree size": proof.replace("index 7", f"index {size}"),
        "does not lead": proof.replace("index 7", "index 6"),
        "did not sign": proof.replace(f"\n{size}\n", f"\n{int(size) + 1}\n"),
        "malformed": proof.replace(lines[2], base64.b64encode(bytes(31)).decode()),
    }
    for reason, text in changed.items():
        assert reason in refusal(tmp_path, text, record, written_log.vkey)
    for text in ("\n".join([*lines[:2], *lines[3:]]), "\n".join([*lines[:3], *lines[2:]])):
        refusal(tmp_path, text, record, written_log.vkey)


def test_it_refuses_another_key(written_log, tmp_path):
    proof, record = prove(written_log.directory, 7), read_entry(written_log.directory, 7)
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    assert "did not sign" in refusal(tmp_path, proof, record, str(VerifierKey("log.example.test/enclave", other)))
    assert "the key is of" in refusal(tmp_path, proof, record, str(VerifierKey("log.example.test/else", other)))
    short = base64.b64encode(b"\x01abc").decode()
    assert "did not sign" in refusal(tmp_path, proof, record, f"log.example.test/enclave+00000000+{short}")


def test_it_says_how_it_is_used():
    done = subprocess.run([SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "check-proof.sh PROOF RECORD KEY" in done.stderr
