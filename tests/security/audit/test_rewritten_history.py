"""What an attacker with the disk, or an insider with the signing key, can and cannot hide."""

import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.merkle import leaf_hash, tree_hash
from audit.note import NoteSigner
from audit.publisher import Publisher
from audit.reader import read_raw_entries
from audit.report import Question, Status
from audit.tiles import TileTree
from audit.verify import VerifyError, verify_log

SIZE = 700


def entries_of(log):
    return list(read_raw_entries(log.log_dir, 0, SIZE))


def insider(log):
    """A signer with the log's own key."""
    pem = (log.state_dir / "signing.key").read_bytes()
    return NoteSigner(log.vkey.split("+")[0], load_pem_private_key(pem, None))


def rebuilt(folder, entries, signer):
    """A complete, coherent log of other entries."""
    log_dir, staging = folder / "forged", folder / "staging"
    log_dir.mkdir()
    staging.mkdir()
    hashes = [leaf_hash(entry) for entry in entries]
    head = Checkpoint(signer.verifier.name, len(entries), tree_hash(hashes))
    Publisher(log_dir, staging, TileTree(), []).publish(entries, hashes, sign_checkpoint(head, signer))
    return log_dir


def failed(report):
    return {question for question, verdict in report.verdicts.items() if verdict.status is Status.FAILED}


def edited(entries):
    return [entry.replace(b'"n":7', b'"n":8') if place == 7 else entry for place, entry in enumerate(entries)]


FORGERIES = {
    "edited": edited,
    "deleted": lambda entries: entries[:7] + entries[8:],
    "reordered": lambda entries: [entries[1], entries[0], *entries[2:]],
    "inserted": lambda entries: [*entries[:7], b'{"type":"a:b"}', *entries[7:]],
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_history_rewritten_under_another_key(finished_log, tmp_path, forgery):
    signer = NoteSigner(finished_log.vkey.split("+")[0], Ed25519PrivateKey.generate())
    log_dir = rebuilt(tmp_path, FORGERIES[forgery](entries_of(finished_log)), signer)
    assert Question.SIGNATURE in failed(verify_log(log_dir, finished_log.vkey))


@pytest.mark.parametrize("forgery", FORGERIES)
def test_history_rewritten_by_an_insider_is_shown_by_a_checkpoint_kept_outside(finished_log, tmp_path, forgery):
    log_dir = rebuilt(tmp_path, FORGERIES[forgery](entries_of(finished_log)), insider(finished_log))
    earlier = (finished_log.home / "earlier.note").read_text()
    assert Question.CONSISTENCY in failed(verify_log(log_dir, finished_log.vkey, earlier))


def test_a_log_cut_below_a_checkpoint_kept_outside(finished_log, tmp_path):
    log_dir = rebuilt(tmp_path, entries_of(finished_log)[:300], insider(finished_log))
    earlier = (finished_log.home / "earlier.note").read_text()
    report = verify_log(log_dir, finished_log.vkey, earlier)
    assert failed(report) == {Question.CONSISTENCY}
    assert "The log shrank: it holds 300 records, the earlier checkpoint 401" in str(report.problems[0])


def test_new_tiles_under_the_old_checkpoint(finished_log, tmp_path):
    log_dir = rebuilt(tmp_path, edited(entries_of(finished_log)), insider(finished_log))
    shutil.copy(finished_log.log_dir / "checkpoint", log_dir / "checkpoint")
    assert Question.TREE in failed(verify_log(log_dir, finished_log.vkey))


def test_one_number_used_twice_is_found(finished_log, tmp_path):
    entries = entries_of(finished_log)
    log_dir = rebuilt(tmp_path, [*entries, entries[3]], insider(finished_log))
    report = verify_log(log_dir, finished_log.vkey)
    assert failed(report) == {Question.COMPLETENESS}
    assert report.problems[0].entry == SIZE


def test_a_record_left_out_shows_as_a_gap(finished_log, tmp_path):
    log_dir = rebuilt(tmp_path, FORGERIES["deleted"](entries_of(finished_log)), insider(finished_log))
    report = verify_log(log_dir, finished_log.vkey)
    notices = [str(notice) for notice in report.verdicts[Question.COMPLETENESS].notices]
    assert any("1 number(s) missing from gateway" in notice and "from 8 on" in notice for notice in notices)


def test_a_second_signature_line_is_not_ours(finished_log, tmp_path):
    shutil.copytree(finished_log.log_dir, tmp_path / "log")
    path = tmp_path / "log" / "checkpoint"
    stranger = NoteSigner("stranger", Ed25519PrivateKey.generate())
    text, _ = path.read_bytes().split(b"\n\n")
    path.write_bytes(path.read_bytes() + stranger.sign(text.decode() + "\n").split(b"\n\n")[1])
    assert failed(verify_log(tmp_path / "log", finished_log.vkey)) == {Question.FILES}


def test_an_extension_line_is_refused(finished_log, tmp_path):
    shutil.copytree(finished_log.log_dir, tmp_path / "log")
    path = tmp_path / "log" / "checkpoint"
    text, _ = path.read_text().split("\n\n")
    path.write_bytes(insider(finished_log).sign(text + "\nextension\n"))
    assert failed(verify_log(tmp_path / "log", finished_log.vkey)) == {Question.FILES}


def test_an_entry_that_is_no_record(finished_log, tmp_path):
    log_dir = rebuilt(tmp_path, [*entries_of(finished_log), b"[" * 5000], insider(finished_log))
    report = verify_log(log_dir, finished_log.vkey)
    assert [(problem.file, problem.entry) for problem in report.problems] == [("tile/entries/002.p/189", SIZE)]


def test_nothing_to_verify_is_an_error_of_its_own(finished_log, tmp_path):
    with pytest.raises(VerifyError):
        verify_log(tmp_path / "nowhere", finished_log.vkey)
    with pytest.raises(VerifyError):
        verify_log(finished_log.log_dir, "no key")
    with pytest.raises(VerifyError):
        verify_log(finished_log.log_dir, finished_log.vkey, "not a note")
    assert failed(verify_log(tmp_path, finished_log.vkey)) == {Question.SIGNATURE}
