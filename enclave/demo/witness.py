"""The demonstration's witness: it stands for another organisation, and shows what that adds.

A real site names witnesses that others run (``ENCLAVE_AUDIT_POLICY``): one under the same roof protects against an
accident, not against the people who run the log.
"""

from __future__ import annotations

from pathlib import Path

from audit.daemon.keys import load_signer
from audit.durable import make_directories, write_atomic
from audit.witness.state import create_keys
from enclave.settings import Settings

NAME = "witness.neighbour.example/enclave-demo"


def policy_path(root: Path) -> Path:
    """Where the demonstration's tlog-policy stands."""
    return root / "witness" / "policy.txt"


def prepare_witness(settings: Settings) -> None:
    """Keys for log and witness, and the policy that names both; harmless when they are there already."""
    if settings.audit_policy != policy_path(settings.root):
        return
    make_directories(settings.audit_dir, 0o700)
    make_directories(settings.log_dir, 0o755)
    log = load_signer(settings.audit_dir, settings.log_dir, settings.log_origin).verifier
    folder = policy_path(settings.root).parent
    make_directories(folder, 0o755)
    cosigners = create_keys(folder / "state", NAME)
    ed25519 = next(str(cosigner.key) for cosigner in cosigners if cosigner.key.kind_name == "ed25519")
    text = (
        "# Who must have seen this log. In a hospital, the witness belongs to somebody else.\n"
        f"log {log}\n"
        f"witness neighbour {ed25519} http://127.0.0.1:{settings.demo_witness_port}/\n"
        "quorum neighbour\n"
    )
    write_atomic(policy_path(settings.root), text.encode(), mode=0o644)
