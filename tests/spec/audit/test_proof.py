"""c2sp.org/tlog-proof: its example with the signatures filled in, and the form of each line."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.merkle import inclusion_proof, leaf_hash, tree_hash
from audit.note import NoteSigner
from audit.proof import ProofError, parse_proof, verify_proof

SIGNER = NoteSigner("example.com/fancylog", Ed25519PrivateKey.generate())
HASHES = """gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=
RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=
AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk="""
EXAMPLE = f"""c2sp.org/tlog-proof@v1
extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6
index 73894
{HASHES}

example.com/fancylog
109482
sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=

— example.com/fancylog hI2DJ2m5oY0hgVxk8gkB1roloI0=
"""


def test_the_example():
    proof = parse_proof(EXAMPLE)
    assert proof.index == 73894
    assert [base64.b64encode(item).decode() for item in proof.hashes] == HASHES.split("\n")
    assert proof.checkpoint.decode() == EXAMPLE.split("\n\n", 1)[1]


@pytest.mark.parametrize(
    ("clause", "text"),
    [
        ("the first line is the header", EXAMPLE.replace("@v1", "@v2")),
        ("the first line is the header", EXAMPLE.replace("c2sp.org/", "C2SP.org/")),
        ("the header is the whole line", EXAMPLE.replace("@v1", "@v1 ")),
        ("index is there", EXAMPLE.replace("index 73894\n", "")),
        ("index is decimal", EXAMPLE.replace("73894", "0x12")),
        ("index has no leading zeroes", EXAMPLE.replace("73894", "073894")),
        ("index has no sign", EXAMPLE.replace("73894", "-1")),
        ("one space after index", EXAMPLE.replace("index ", "index  ")),
        ("extra comes before index", EXAMPLE.replace("extra ", "index 1\nextra ")),
        ("hashes are base64", EXAMPLE.replace("gSKy", "g-Ky")),
        ("hashes are SHA-256", EXAMPLE.replace("gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=", "gSKy")),
        ("an empty line before the checkpoint", EXAMPLE.replace("5vk=\n\n", "5vk=\n")),
    ],
)
def test_it_is_refused(clause, text):
    with pytest.raises(ProofError):
        parse_proof(text)


def proof_in_a_tree_of(size, index):
    entries = [f"entry {number}".encode() for number in range(size)]
    hashes = [leaf_hash(entry) for entry in entries]
    path = inclusion_proof(index, size, lambda level, at: tree_hash(hashes[at << level : (at + 1) << level]))
    note = sign_checkpoint(Checkpoint("example.com/fancylog", size, tree_hash(hashes)), SIGNER).decode()
    lines = [base64.b64encode(item).decode() for item in path]
    return "\n".join(["c2sp.org/tlog-proof@v1", f"index {index}", *lines]) + "\n\n" + note, entries[index]


@pytest.mark.parametrize(("size", "index"), [(1, 0), (2, 1), (7, 4), (7, 6), (8, 0), (300, 299)])
def test_verification_follows_the_four_steps(size, index):
    text, entry = proof_in_a_tree_of(size, index)
    assert verify_proof(text, entry, str(SIGNER.verifier)).size == size
    with pytest.raises(ProofError):
        verify_proof(text, entry + b"!", str(SIGNER.verifier))
    with pytest.raises(ProofError):
        verify_proof(text, entry, str(NoteSigner("example.com/fancylog", Ed25519PrivateKey.generate()).verifier))
    with pytest.raises(ProofError):
        verify_proof(text.replace(f"\n{size}\n", f"\n{size + 1}\n"), entry, str(SIGNER.verifier))


def test_extra_data_is_never_trusted():
    text, entry = proof_in_a_tree_of(7, 3)
    with_extra = text.replace("@v1\n", "@v1\nextra aW5kZXggNA==\n")
    assert verify_proof(with_extra, entry, str(SIGNER.verifier)).size == 7
