"""What the running daemon publishes: in time, provable, complete after a stop."""

import os
import threading
import time

import pytest
from running_log import event, wait_until

from audit.proof import ProofError, prove, verify_proof
from audit.reader import LogUnreadable, read_entry
from audit.verify import verify_log


def test_publication_is_at_most_a_second_behind(running_log):
    """The best of five: a busy machine delays some."""
    client, took = running_log.client(), []
    for number in range(5):
        receipt = client.record(event(number))
        begun = time.monotonic()
        client.wait_published(receipt.index, running_log.log_dir, 60)
        took.append(time.monotonic() - begun)
    assert min(took) < 1.0


def test_proofs_lead_from_the_record_to_the_key(running_log):
    client = running_log.client()
    for number in range(20):
        receipt = client.record(event(number))
    client.wait_published(receipt.index, running_log.log_dir)
    proof = prove(running_log.log_dir, 7)
    leaf = read_entry(running_log.log_dir, 7)
    assert verify_proof(proof, leaf, running_log.vkey).size == 20
    for wrong in (leaf + b" ", "00" * 32, "zz"):
        with pytest.raises(ProofError):
            verify_proof(proof, wrong, running_log.vkey)
    for text in (
        "",
        proof.replace("index 7", "index 8"),
        proof.replace("index 7", "index 07"),
        proof.replace("\n\n", "\n"),
    ):
        with pytest.raises(ProofError):
            verify_proof(text, leaf, running_log.vkey)
    with_extra = proof.replace("@v1\n", "@v1\nextra QUJD\n")
    assert verify_proof(with_extra, leaf, running_log.vkey).size == 20
    for outside in (20, -1):
        with pytest.raises(LogUnreadable):
            prove(running_log.log_dir, outside)


def test_a_clean_stop_publishes_everything_and_leaves_nothing_else(prepared_log):
    prepared_log.start()
    client = prepared_log.client()
    for number in range(300):
        client.record(event(number))
    assert prepared_log.stop() == 0
    assert not prepared_log.socket.exists()
    report = verify_log(prepared_log.log_dir, prepared_log.vkey)
    assert report.ok, report.lines()
    assert report.size == 300
    assert not list((prepared_log.state_dir / "staging").iterdir())
    assert not list((prepared_log.log_dir / "tile").rglob("000.p/[2-9]*"))


def test_an_empty_log_verifies(running_log):
    report = verify_log(running_log.log_dir, running_log.vkey)
    assert report.ok
    assert (report.size, report.root) == (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


def test_verification_of_a_log_that_is_being_written(running_log):
    client = running_log.client()
    going = True

    def write():
        number = 0
        while going:
            client.record(event(number))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        sizes = []
        while len(sizes) < 4 or sizes[-1] < 600:  # past two full bundles, whose partials go while we read
            wait_until(lambda: published_size(running_log) > (sizes[-1] if sizes else 0))
            report = verify_log(running_log.log_dir, running_log.vkey)
            assert report.ok, report.lines()
            sizes.append(report.size)
    finally:
        going = False
        writer.join(60)
    assert sizes == sorted(sizes)


def published_size(log):
    return int((log.log_dir / "checkpoint").read_text().split("\n")[1])


def test_a_folder_of_partials_that_goes_while_the_log_is_listed(running_log, monkeypatch):
    client = running_log.client()
    client.wait_published(client.record(event()).index, running_log.log_dir)
    gone = running_log.log_dir / "tile" / "entries" / "000.p"
    real_scandir = os.scandir

    def scandir(path):
        if str(path) == str(gone):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return real_scandir(path)

    with monkeypatch.context() as race:
        race.setattr(os, "scandir", scandir)
        assert verify_log(running_log.log_dir, running_log.vkey).ok
