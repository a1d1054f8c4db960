"""The verifier on real logs: payloads erased, pruned and damaged; and ``enclave-audit verify`` as people call it."""

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from running_log import UNSAFE_KEEPS_NO_YEAR, event

from audit.cosignature import Cosigner
from audit.policy import parse_policy
from audit.report import Question, Status
from audit.verify import VerifyError, verify_log


def cli(*arguments):
    command = [sys.executable, "-m", "audit.cli", "verify", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def payload_verdict(log):
    return verify_log(log.log_dir, log.vkey, payloads=log.state_dir).verdicts[Question.PAYLOADS]


@pytest.fixture
def log(prepared_log):
    """600 records in a few projects, each tenth with a payload, all published."""
    prepared_log.program = UNSAFE_KEEPS_NO_YEAR
    running_log = prepared_log.start()
    client = running_log.client("gateway")
    for number in range(600):
        payload = {"sql": f"SELECT {number}"} if number % 10 == 0 else None
        receipt = client.record(event(number, project=f"p-{number % 3}", payload=payload))
        if number == 400:
            (running_log.home / "saved").write_text(receipt.checkpoint)
    client.wait_published(receipt.index, running_log.log_dir)
    running_log.sender = client
    return running_log


def test_payloads_are_withheld_unless_the_state_is_shown(log):
    verdict = verify_log(log.log_dir, log.vkey).verdicts[Question.PAYLOADS]
    assert verdict.status is Status.NOT_CHECKED
    assert [str(item) for item in verdict.notices] == ["withheld: 60 record(s) carry a payload that was not shown."]
    assert (payload_verdict(log).status, payload_verdict(log).notices) == (Status.OK, [])


def test_an_erasure_that_is_recorded_is_withheld_and_one_that_is_not_is_a_problem(log):
    month = datetime.now(UTC).strftime("%Y-%m")
    receipt = log.sender.redact(month, "p-1", by="u-dpo", legal_basis="gdpr-art-17")
    log.sender.wait_published(receipt.index, log.log_dir)
    verdict = payload_verdict(log)
    assert verdict.status is Status.OK, verdict.problems
    assert [str(item) for item in verdict.notices] == [
        "withheld: 20 payload(s), whose key was erased as the log records."
    ]
    assert log.stop() == 0
    (log.state_dir / "keys" / month / "p-p-2.key").unlink()
    verdict = payload_verdict(log)
    assert len(verdict.problems) == 20
    assert f"The key {month}/p-p-2 is gone, and no audit:redacted record explains it." in str(verdict.problems[0])
    assert verdict.problems[0].entry == 20


def test_a_changed_payload_is_tampered_with(log):
    assert log.stop() == 0
    segment = log.segments[0]
    data = segment.read_bytes()
    found = data.index(b"p-p-0", data.index(b"p-p-0") + 1)
    # the first payload's encrypted bytes, past its key's name and nonce; the frame's checksum no longer holds either
    segment.write_bytes(data[: found + 40] + bytes([data[found + 40] ^ 1]) + data[found + 41 :])
    verdict = payload_verdict(log)
    assert verdict.status is Status.FAILED
    assert len(verdict.problems) > 1
    assert {item.message for item in verdict.problems} == {
        "tampered: the write-ahead log is damaged before or at this record."
    }


def test_a_pruned_log(log):
    before = (datetime.now(UTC)).isoformat()
    receipt = log.sender.prune(before, by="u-dpo")
    log.sender.wait_published(receipt.index, log.log_dir)
    assert log.stop() == 0
    assert not (log.log_dir / "tile" / "entries" / "000").exists()
    saved = (log.home / "saved").read_text()
    report = verify_log(log.log_dir, log.vkey, saved, payloads=log.state_dir)
    assert report.ok, report.lines()
    assert str(report.verdicts[Question.ENTRIES].notices[0]).startswith(
        f"entry {receipt.index}: 512 records below index 512 were pruned"
    )
    assert not [item for item in report.verdicts[Question.COMPLETENESS].notices if "missing" in item.message]
    withheld = [str(item) for item in report.verdicts[Question.PAYLOADS].notices]
    assert report.verdicts[Question.PAYLOADS].status is Status.OK, withheld


def test_pruning_excuses_nothing_else(log, tmp_path):
    receipt = log.sender.prune(datetime.now(UTC).isoformat(), by="u-dpo")
    log.sender.wait_published(receipt.index, log.log_dir)
    assert log.stop() == 0
    copy = tmp_path / "log"
    shutil.copytree(log.log_dir, copy)
    last = max((copy / "tile" / "entries" / "002.p").iterdir(), key=lambda path: int(path.name))
    last.unlink()
    report = verify_log(copy, log.vkey)
    named = [item.file for item in report.verdicts[Question.ENTRIES].problems]
    assert named == ["tile/entries/000", "tile/entries/001", f"tile/entries/002.p/{last.name}"]
    shutil.rmtree(copy)
    shutil.copytree(log.log_dir, copy)
    tile = copy / "tile" / "0" / "001"
    raw = tile.read_bytes()
    tile.write_bytes(raw[:64] + bytes([raw[64] ^ 1]) + raw[65:])
    report = verify_log(copy, log.vkey)
    assert report.verdicts[Question.TREE].status is Status.FAILED
    assert "tile/0/001" in {item.file for item in report.problems}, report.lines()


def test_verify_while_the_log_is_written(log):
    for number in range(20):
        log.sender.record(event(number, project="p-1", payload={"n": number}))
        report = verify_log(log.log_dir, log.vkey, payloads=log.state_dir)
        assert report.ok, report.lines()


def test_every_option_of_the_command(log):
    receipt = log.home / "receipt"
    receipt.write_text(prove(log, 17))
    policy = log.home / "policy"
    policy.write_text(f"log {log.vkey}\nquorum none\n")
    done = cli(
        log.log_dir, "--policy", policy, "--since", log.home / "saved", "--since", log.log_dir / "checkpoint",
        "--receipt", receipt, "--max-age", "10m", "--payloads", log.state_dir, "--processes", "2", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    verdicts = {name: verdict["status"] for name, verdict in json.loads(done.stdout)["verdicts"].items()}
    assert list(verdicts) == [
        "signature", "tree", "entries", "consistency", "files",
        "witnesses", "timestamps", "completeness", "receipts", "payloads",
    ]  # fmt: skip
    assert {name for name, status in verdicts.items() if status != "ok"} == {"timestamps"}


def prove(log, index):
    done = subprocess.run(
        [sys.executable, "-m", "audit.cli", "prove", str(log.log_dir), str(index)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "The log's verifier key is not known"),
        (("--key", "KEY", "--receipt", "CHECKPOINT"), "Receipt 1 cannot be read: Expected a proof"),
        (("--key", "KEY", "--max-age", "soon"), "--max-age: expected a number and s, m, h or d"),
        (("--key", "KEY", "--since", "VKEY"), "The earlier checkpoint is not one by this log's key"),
        (("--policy", "CHECKPOINT"), "is not a policy. Policy line 1"),
        (("--policy", "NOTHING"), "cannot be read"),
        (("--key", "KEY", "--payloads", "LOG"), "There are no payload keys there"),
        (("--key", "NOTHING"), "nothing cannot be read"),
    ],
)
def test_inputs_that_cannot_be_read_exit_with_2_and_a_sentence(log, arguments, sentence):
    names = {
        "KEY": log.vkey,
        "VKEY": log.state_dir / "log.vkey",
        "LOG": log.log_dir,
        "CHECKPOINT": log.log_dir / "checkpoint",
        "NOTHING": log.home / "nothing",
    }
    done = cli(log.log_dir, *[names.get(word, word) for word in arguments])
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_certificate_that_is_none(log):
    assert log.stop() == 0, "a daemon that goes on takes partial files away while they are copied"
    shutil.copytree(log.log_dir, log.home / "copy")
    assert verify_log(log.home / "copy", log.vkey, tsa_certificate=b"text").ok, "nothing to check it against"


def test_a_policy_whose_witnesses_never_saw_the_log(log):
    witness = Cosigner("witness.example.test/w", Ed25519PrivateKey.generate()).key
    policy = parse_policy(f"log {log.vkey}\nwitness w {witness}\nquorum w\n".encode())
    report = verify_log(log.log_dir, None, policy=policy, max_age=timedelta(days=9))
    (problem,) = report.problems
    assert str(problem) == "No checkpoint in this log carries the cosignatures that the policy asks for (w)."
    with pytest.raises(VerifyError, match="verifier key is not known"):
        verify_log(log.log_dir, None)
