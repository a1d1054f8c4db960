"""Receipts and several saved checkpoints, held against logs that are not theirs."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from house import NOW, ORIGIN, RECEIPT_AT

from audit.checkpoint import open_checkpoint, sign_checkpoint
from audit.note import NoteSigner
from audit.proof import parse_proof, prove
from audit.report import Question, Status
from audit.verify import VerifyError, verify_log


def problems(house, *receipts):
    report = verify_log(house.log_dir, house.vkey, receipts=receipts, now=NOW)
    return [str(item) for item in report.verdicts[Question.RECEIPTS].problems]


def test_every_record_can_be_proven(house):
    receipts = [prove(house.log_dir, index) for index in (0, 255, 256, 511, 512, 699)]
    assert not problems(house, house.receipt, *receipts)


def test_a_receipt_by_another_key(house):
    proof = parse_proof(house.receipt)
    stranger = NoteSigner(ORIGIN, Ed25519PrivateKey.generate())
    checkpoint = open_checkpoint(proof.checkpoint, house.signer.verifier)
    forged = house.receipt.replace(proof.checkpoint.decode(), sign_checkpoint(checkpoint, stranger).decode())
    (found,) = problems(house, house.receipt, forged)
    assert found.startswith("entry 7: Receipt 2: it proves nothing about this log: Expected a signature by")


@pytest.mark.parametrize("index", ["6", "8", "559"])
def test_a_receipt_for_another_place(house, index):
    (found,) = problems(house, house.receipt.replace("index 7\n", f"index {index}\n"))
    assert "the record at this place is not the one that was proven" in found


def test_a_receipt_beyond_its_own_checkpoint(house):
    (found,) = problems(house, house.receipt.replace("index 7\n", "index 600\n"))
    assert f"index 600 lies beyond its own checkpoint of {RECEIPT_AT} records" in found


def test_a_receipt_given_at_a_size_the_log_no_longer_has(house, tmp_path):
    victim = house.copy(tmp_path / "house")
    victim.publish(victim.entries[:300])
    (found,) = problems(victim, victim.receipt)
    assert "the log shrank: it holds 300 records, the receipt was given at 560" in found


@pytest.mark.parametrize("text", ["", "c2sp.org/tlog-proof@v1\nindex 7\n", "index 7\n\nx\n\n"])
def test_a_text_that_is_no_receipt(house, text):
    with pytest.raises(VerifyError, match="Receipt 1 cannot be read"):
        problems(house, text)


def test_several_saved_checkpoints(house, tmp_path):
    saved = [house.checkpoint(house.entries[:size]).decode() for size in (0, 1, 255, 256, 512, 699, 700)]
    assert verify_log(house.log_dir, house.vkey, saved, now=NOW).verdicts[Question.CONSISTENCY].status is Status.OK
    victim = house.copy(tmp_path / "house")
    victim.publish(victim.entries[:300])
    found = verify_log(victim.log_dir, victim.vkey, saved, now=NOW).verdicts[Question.CONSISTENCY].problems
    assert [item.message.split(": it holds 300 records, ")[1] for item in found] == [
        f"the earlier checkpoint {size}." for size in (512, 699, 700)
    ]
