"""A start compares the log with what its witnesses have seen, and refuses to sign a second history."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from running_log import RunningLog, event, wait_until
from running_witness import RunningWitness
from witnessed_log import FAST, initialised, is_witnessed, policy_of, recorded, sizes

from audit.checkpoint import read_unverified
from audit.cosignature import Cosigner
from audit.note import VerifierKey


@pytest.fixture
def witnesses() -> Iterator[list[RunningWitness]]:
    made = [RunningWitness(f"witness.example.test/w{number}") for number in (1, 2)]
    yield made
    for witness in made:
        witness.remove()


def test_a_log_that_lost_records_refuses_to_start(prepared_log: RunningLog, witnesses: list[RunningWitness]) -> None:
    log = initialised(prepared_log)
    witnesses[0].start(log.vkey)
    policy = policy_of(log, witnesses[:1])
    log.start(*FAST, "--policy", str(policy))
    log.client().record(event())
    log.stop()
    assert is_witnessed(log, policy)
    early = read_unverified((log.log_dir / "checkpoint").read_bytes()).size
    saved = log.home / "saved"
    for name in ("log", "state"):
        shutil.copytree(log.home / name, saved / name)
    log.start(*FAST, "--policy", str(policy))
    for number in range(5):
        log.client(f"w{number}").record(event(number))
    log.stop()
    late = sizes(log)[-1]
    assert late == early + 5
    for name in ("log", "state"):
        shutil.rmtree(log.home / name)
        shutil.copytree(saved / name, log.home / name)
    said = log.refuse_start(*FAST, "--policy", str(policy))
    assert "records are missing" in said
    assert f"holds {early} records" in said
    assert f"checkpoint over {late} was signed" in said
    assert witnesses[0].url in said
    # without the policy, or without the witness, nothing here knows better: this is why the witness is another's
    witnesses[0].stop()
    log.start(*FAST, "--policy", str(policy))
    log.client().record(event(7))
    wait_until(lambda: recorded(log, "witness:lost") != [])
    log.kill()
    witnesses[0].start(log.vkey)
    assert "records are missing" in log.refuse_start(*FAST, "--policy", str(policy))


def test_a_rewritten_log_refuses_to_start(prepared_log: RunningLog, witnesses: list[RunningWitness]) -> None:
    log = initialised(prepared_log)
    witnesses[0].start(log.vkey)
    saved = log.home / "saved"
    for name in ("log", "state"):
        shutil.copytree(log.home / name, saved / name)
    policy = policy_of(log, witnesses[:1])
    log.start(*FAST, "--policy", str(policy))
    log.client().record(event())
    log.stop()
    size = sizes(log)[-1]
    cosigned = (log.log_dir / "cosigned" / str(size)).read_bytes()
    for name in ("log", "state"):
        shutil.rmtree(log.home / name)
        shutil.copytree(saved / name, log.home / name)
    log.start(*FAST)
    for number in range(10):
        log.client(f"w{number}").record(event(number))
    log.stop()
    assert "rewritten" in log.refuse_start(*FAST, "--policy", str(policy))
    witnesses[0].stop()
    for kept in (log.log_dir / "cosigned" / str(size), log.state_dir / "witness" / "newest"):
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(cosigned)
        assert "rewritten" in log.refuse_start(*FAST)
        kept.write_bytes(cosigned.replace(b"\n", b"\n\n", 1))
        assert "damaged checkpoint" in log.refuse_start(*FAST)
        kept.unlink()
    assert log.start(*FAST).stop() == 0


def test_a_policy_that_cannot_be_used(prepared_log: RunningLog) -> None:
    log = initialised(prepared_log)
    path = log.home / "policy"
    other = VerifierKey("other.example.test", bytes(32))
    path.write_text(f"log {other}\nquorum none\n")
    assert "but not this one" in log.refuse_start("--policy", str(path))
    path.write_text("quorum w\n")
    assert "line 1" in log.refuse_start("--policy", str(path))
    key = Cosigner("w", Ed25519PrivateKey.generate()).key
    path.write_text(f"witness w {key} ftp://example.test/\nquorum w\n")
    assert "cannot be asked" in log.refuse_start("--policy", str(path))
    assert "cannot be read" in log.refuse_start("--policy", str(log.home / "none"))
    assert "above 0" in log.refuse_start("--witness-seconds", "0")
