"""Erasing the payloads of one month and project: recorded first, gone at once, whatever crashes in between."""

import json
import secrets
from datetime import UTC, datetime

import pytest
from enclave_test_live_processes import contents_below  # type: ignore[import-not-found]
from in_process import Clock, opened, own_leaves, put
from raw_socket import exchange
from running_log import event
from typer.testing import CliRunner

from audit.cli import app
from audit.client import AuditRefused
from audit.payloads import PayloadError, PayloadVault
from audit.reader import read_entries
from audit.verify import verify_log
from audit.wire import encode_message

PAYLOAD = '{"sql":"SELECT 1"}'


def this_month():
    return f"{datetime.now(UTC):%Y-%m}"


def test_redaction_erases_and_records_and_the_log_still_verifies(running_log):
    client = running_log.client()
    for number in range(5):
        client.record(event(number, payload={"who": "Marguerite"}))
    kept = client.record(event(project="p-2", payload={"who": "Odile"})).index
    (key,) = running_log.state_dir.glob("keys/*/p-p-1.key")
    secret = key.read_bytes()
    receipt = client.redact(this_month(), "p-1", by="u-dpo", legal_basis="gdpr-art-17")
    with pytest.raises(AuditRefused, match="was erased"):
        client.payload(0, "u-auditor")
    assert client.payload(kept, "u-auditor") == {"who": "Odile"}
    assert not [path for path, content in contents_below(running_log.state_dir) if secret in content]
    running_log.stop()
    leaf = list(read_entries(running_log.log_dir))[receipt.index].leaf
    assert (leaf["type"], leaf["actor"]) == ("audit:redacted", "system:audit")
    assert leaf["subject"] == f"key:{this_month()}/p-p-1"
    assert leaf["counts"] == {"payloads": 5, "generation": 1}
    assert leaf["data"] == {"legal_basis": "gdpr-art-17", "by": "u-dpo"}
    assert verify_log(running_log.log_dir, running_log.vkey).ok


def test_later_payloads_go_under_a_new_key_also_after_a_restart(prepared_log):
    prepared_log.start()
    client = prepared_log.client()
    client.record(event(payload={"n": 0}))
    client.redact(this_month(), "p-1", by="u-dpo", legal_basis="gdpr-art-17")
    later = client.record(event(payload={"n": 1})).index
    assert client.payload(later, "u") == {"n": 1}
    prepared_log.kill()
    prepared_log.start()
    again = client.record(event(payload={"n": 2})).index
    assert (client.payload(later, "u"), client.payload(again, "u")) == ({"n": 1}, {"n": 2})
    with pytest.raises(AuditRefused, match="was erased"):
        client.payload(0, "u")
    assert [path.name for path in prepared_log.state_dir.glob("keys/*/*.key")] == ["p-p-1.2.key"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"month": "2026-13"}, "expected a month"),
        ({"month": 5}, "expected text"),
        ({"project": "other"}, "There is no key"),
        ({"by": "not a person"}, "id of the person"),
        ({"legal_basis": "because Marguerite asked"}, "a short token"),
    ],
)
def test_what_cannot_be_redacted_is_refused_and_not_recorded(running_log, asked, said):
    running_log.client().record(event(payload={"n": 0}))
    order = {"op": "redact", "month": this_month(), "project": "p-1", "by": "u-dpo", "legal_basis": "art-17"}
    (answer,) = exchange(running_log.socket, encode_message({**order, "event_id": "e-1", **asked}))
    assert said in answer["error"]
    assert running_log.client().payload(0, "u") == {"n": 0}


def test_an_order_sent_twice_is_carried_out_once(running_log):
    client = running_log.client()
    client.record(event(payload={"n": 0}))
    order = {"op": "redact", "month": this_month(), "project": "p-1", "by": "u-dpo", "legal_basis": "art-17"}
    sent = encode_message({**order, "event_id": secrets.token_hex(8)})
    first, second = exchange(running_log.socket, sent, sent)
    assert first["ok"]
    assert (first["index"], first["leaf_hash"]) == (second["index"], second["leaf_hash"])


def test_redaction_on_the_command_line(running_log):
    running_log.client().record(event(payload={"n": 0}))
    arguments = ["--socket", str(running_log.socket), "--month", this_month(), "--project", "p-1", "--by", "u-dpo"]
    done = CliRunner().invoke(app, ["redact", *arguments, "--legal-basis", "gdpr-art-17", "--json"])
    assert (done.exit_code, json.loads(done.stdout)["index"]) == (0, 1)
    again = CliRunner().invoke(app, ["redact", *arguments, "--legal-basis", "gdpr-art-17"])
    assert again.exit_code == 2


def test_a_crash_between_record_and_erasure_is_made_good_at_start(tmp_path, monkeypatch):
    log = opened(tmp_path, Clock())
    put(log, payload=PAYLOAD)
    with monkeypatch.context() as crash:
        crash.setattr(PayloadVault, "erase", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            log.redact("2026-11", "p-1", "u-dpo", "art-17")
    log.close()
    assert list(tmp_path.glob("state/keys/*/*.key"))
    again = opened(tmp_path, Clock())
    with pytest.raises(PayloadError, match="was erased"):
        again.erasure.read(0)
    new = put(again, 1, payload=PAYLOAD).index
    assert again.erasure.read(new) == PAYLOAD
    again.close()
    # the record of the first erasure must not erase the next generation at the start after this one
    third = opened(tmp_path, Clock())
    assert third.erasure.read(new) == PAYLOAD
    third.close()
    assert [kind for kind, _ in own_leaves(tmp_path / "log")] == ["audit:redacted"]


def test_a_key_marked_as_erased_but_still_there_is_destroyed_at_start(tmp_path):
    log = opened(tmp_path, Clock())
    put(log, payload=PAYLOAD)
    log.close()
    (tmp_path / "state/keys/2026-11/p-p-1.erased").touch()
    (tmp_path / "state/keys/2026-11/.p-p-9.key.aa.tmp").write_bytes(bytes(32))
    opened(tmp_path, Clock()).close()
    assert [path.name for path in tmp_path.glob("state/keys/*/*")] == ["p-p-1.erased"]


def test_a_key_deleted_by_hand_is_not_made_again_under_its_name(tmp_path):
    log = opened(tmp_path, Clock())
    put(log, payload=PAYLOAD)
    (tmp_path / "state/keys/2026-11/p-p-1.key").unlink()
    new = put(log, 1, payload=PAYLOAD).index
    assert log.erasure.read(new) == PAYLOAD
    with pytest.raises(PayloadError, match="was erased"):
        log.erasure.read(0)
    log.close()
