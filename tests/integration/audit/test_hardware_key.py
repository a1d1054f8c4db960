"""The signing key in a hardware security module: SoftHSM2 through PKCS#11, in a token of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from running_log import RunningLog, event, wait_until

from audit.checkpoint import open_checkpoint
from audit.client import AuditUnavailable
from audit.note import VerifierKey
from audit.reader import read_entries
from audit.verify import verify_log

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
CLI = [sys.executable, "-m", "audit.cli", "key", "generate-pkcs11"]
ORIGIN = "log.example.test/enclave"


@pytest.fixture
def token(prepared_log: RunningLog, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A fresh token; the options that name the key ``log`` in it."""
    tokens = prepared_log.home / "tokens"
    tokens.mkdir()
    configuration = prepared_log.home / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(configuration))
    words = ["--init-token", "--free", "--label", "audit", "--so-pin", "12345678", "--pin", "4711"]
    subprocess.run(["softhsm2-util", *words], check=True, capture_output=True, timeout=60)
    pin = prepared_log.home / "pin"
    pin.write_text("4711\n")
    return ["module", MODULE, "token", "audit", "label", "log", "pin-file", str(pin)]


def named(prefix: str, words: list[str], /, **changed: str) -> list[str]:
    pairs = dict(zip(words[::2], words[1::2], strict=True)) | {key.replace("_", "-"): it for key, it in changed.items()}
    return [part for key, value in pairs.items() for part in (f"--{prefix}{key}", value)]


def generate(words: list[str], /, **changed: str) -> subprocess.CompletedProcess[str]:
    command = [*CLI, "--origin", ORIGIN, *named("", words, **changed)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, text=True, env=os.environ.copy())


def test_the_log_signs_with_a_key_that_cannot_be_copied(prepared_log: RunningLog, token: list[str]) -> None:
    log, options = prepared_log, named("pkcs11-", token)
    assert "has no Ed25519 key pair" in log.refuse_start(*options)
    made = generate(token)
    assert made.returncode == 0, made.stderr
    vkey = made.stdout.strip()
    assert "already" in generate(token).stderr
    log.start(*options)
    assert log.vkey == vkey
    assert not (log.state_dir / "signing.key").exists()
    client = log.client()
    for number in range(20):
        receipt = client.record(event(number))
    open_checkpoint(receipt.checkpoint.encode(), VerifierKey.parse(vkey))
    log.stop()
    log.start(*options)
    log.client("second").record(event(20))
    log.kill()
    log.start(*options)
    log.stop()
    report = verify_log(log.log_dir, vkey)
    assert report.ok, report.lines()


def test_another_key_or_none_is_refused(prepared_log: RunningLog, token: list[str]) -> None:
    log = prepared_log
    assert generate(token).returncode == 0
    assert generate(token, label="other").returncode == 0
    log.start(*named("pkcs11-", token))
    log.stop()
    assert "log.vkey was written for another" in log.refuse_start(*named("pkcs11-", token, label="other"))
    assert "--pkcs11-module" in log.refuse_start()
    assert not (log.state_dir / "signing.key").exists()
    (log.state_dir / "log.vkey").unlink()
    said = log.refuse_start(*named("pkcs11-", token, label="other"))
    assert "is not this log's" in said


def test_a_log_with_its_key_in_a_file_does_not_change_to_the_module(running_log: RunningLog, token: list[str]) -> None:
    running_log.stop()
    assert generate(token).returncode == 0
    assert "log.vkey was written for another" in running_log.refuse_start(*named("pkcs11-", token))


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"token": "none"}, "cannot be used (NoSuchToken)"),
        ({"module": "none.so"}, "cannot be used (PKCS11Error)"),
        ({"pin_file": "nowhere"}, "PIN cannot be read"),
    ],
)
def test_what_is_wrong_with_the_options_is_said(
    prepared_log: RunningLog, token: list[str], changed: dict[str, str], found: str
) -> None:
    assert found in prepared_log.refuse_start(*named("pkcs11-", token, **changed))
    assert found in generate(token, **changed).stderr


def test_a_wrong_pin_is_not_repeated_in_the_message(prepared_log: RunningLog, token: list[str]) -> None:
    wrong = prepared_log.home / "wrong"
    wrong.write_text("98765\n")
    said = prepared_log.refuse_start(*named("pkcs11-", token, pin_file=str(wrong)))
    assert "PinIncorrect" in said
    assert "98765" not in said


def test_options_go_together(prepared_log: RunningLog) -> None:
    done = subprocess.run(prepared_log.command("--pkcs11-module", MODULE), capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert b"go together" in done.stderr


def test_a_vanished_module_stops_the_log(prepared_log: RunningLog, token: list[str]) -> None:
    """No record is acknowledged without a signed checkpoint; after the module is back the record is there."""
    log, options = prepared_log, named("pkcs11-", token)
    assert generate(token).returncode == 0
    log.start(*options)
    log.client().record(event())
    (tokens,) = (Path(log.home) / "tokens").iterdir()
    away = log.home / "away"
    tokens.rename(away)
    with pytest.raises(AuditUnavailable):
        log.client("late").record(event(1))
    away.rename(tokens)
    assert log.process is not None
    wait_until(lambda: log.process.poll() is not None)
    assert log.process.returncode == 1
    assert "does not sign any more" in log.errors.read_text()
    log.start(*options)
    log.stop()
    assert verify_log(log.log_dir, log.vkey).ok
    assert [
        entry.leaf["counts"]["n"] for entry in read_entries(log.log_dir) if entry.leaf["type"] == "query:intent"
    ] == [0, 1]
