"""The cursor: kill -9, a hung receiver beside a working log, replaced logs, pruned logs, files, one-off exports."""

import json
import subprocess
import sys
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from exporter import hashes, leaf, made_log, record_events, wait_until
from running_log import event

from audit.exports.formats import FormatName
from audit.reader import read_checkpoint
from audit.tiles import ENTRIES, TileId


def ocsf(receiver, **settings):
    return {"name": "siem", "format": "ocsf", "to": receiver.url, "batch": 5, **settings}


def test_kill_9_in_the_middle_leaves_no_gap(tmp_path, exporter, receiver):
    made_log(tmp_path / "log", [leaf(number) for number in range(400)])
    exporter.configure(tmp_path / "log", ocsf(receiver))
    for goal in (40, 120, 200, 280):
        exporter.start()
        wait_until(lambda goal=goal: len(receiver.events()) >= goal, f"{goal} events")
        exporter.kill()
    exporter.start()
    exporter.wait_exported("siem", tmp_path / "log")
    assert receiver.found() == hashes(tmp_path / "log")
    # at least once: what was taken but not yet noted is sent again, and nothing else
    assert len(receiver.events()) <= 400 + 4 * 5


def test_a_hung_siem_holds_up_no_commit(running_log, exporter, receiver):
    receiver.script = ["hang"] * 1000
    # the exporter looks at the log from its start: it must not be a bystander
    record_events(running_log.client(), running_log.log_dir, 10)
    exporter.configure(running_log.log_dir, ocsf(receiver, timeout_seconds=1)).start()
    wait_until(lambda: receiver.requests >= 1, "the exporter waits for the receiver")
    receipts = []

    def write(writer):
        client = running_log.client(f"writer-{writer}")
        receipts.extend(client.record(event(number)).index for number in range(100))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(receipts)) == 400
    running_log.client().wait_published(max(receipts), running_log.log_dir)
    assert exporter.cursor("siem") == 0
    wait_until(lambda: (exporter.status("siem").get("failures") or 0) >= 1, "it says so")
    receiver.script.clear()
    receiver.released.set()
    wait_until(lambda: set(receipts) <= set(receiver.found()), "resumed")
    published = hashes(running_log.log_dir)
    assert receiver.found().items() <= published.items()
    wait_until(lambda: exporter.status("siem").get("lag_records") == 0, "no lag")


def test_one_failing_target_does_not_stop_another(tmp_path, exporter, receiver):
    made_log(tmp_path / "log", [leaf(number) for number in range(50)])
    receiver.script = ["hang"] * 1000
    file = {"name": "agent", "format": "otlp", "to": f"file:{tmp_path}/out.ndjson"}
    nobody = {"name": "nobody", "format": "syslog", "to": "syslog+tls://127.0.0.1:1"}
    exporter.configure(tmp_path / "log", ocsf(receiver), nobody, file).start()
    exporter.wait_exported("agent", tmp_path / "log")
    assert len((tmp_path / "out.ndjson").read_text().splitlines()) == 50
    wait_until(lambda: "Connection refused" in exporter.status("nobody").get("problem", ""), "nobody")
    assert exporter.cursor("siem") == exporter.cursor("nobody") == 0
    assert exporter.stop() == 0


@pytest.mark.parametrize("change", ["rewritten", "shorter", "other"])
def test_a_replaced_log_halts_the_target(tmp_path, exporter, receiver, change):
    key = Ed25519PrivateKey.generate()
    signer = made_log(tmp_path / "log", [leaf(number) for number in range(20)], key)
    verifier = {"verifier_key": str(signer.verifier)} if change == "other" else {}
    exporter.configure(tmp_path / "log", ocsf(receiver), **verifier).start()
    exporter.wait_exported("siem", tmp_path / "log")
    exporter.stop()
    before = receiver.requests
    count = 15 if change == "shorter" else 30
    leaves = [
        leaf(number, subject="forged" if change == "rewritten" and number == 3 else "s") for number in range(count)
    ]
    made_log(tmp_path / "new", leaves, Ed25519PrivateKey.generate() if change == "other" else key)
    (tmp_path / "log").rename(tmp_path / "old")
    (tmp_path / "new").rename(tmp_path / "log")
    exporter.start()
    wait_until(lambda: exporter.status("siem").get("state") == "halted" or _said(exporter, "export-halted"), "halted")
    said = _said(exporter, "export-halted")[0]["reason"]
    expected = {"rewritten": "not those seen before", "shorter": "had 20 records, found 15", "other": "not signed by"}
    assert expected[change] in said
    assert receiver.requests == before


def _said(exporter, what):
    return [line for line in exporter.said() if line["event"] == what]


def test_pruned_records_are_passed_over_and_named(tmp_path, exporter, receiver):
    leaves = [leaf(number) for number in range(600)]
    pruned = {"type": "audit:pruned", "writer": "audit", "actor": "system:audit", "counts": {"minimum_index": 256}}
    made_log(tmp_path / "log", [*leaves, leaf(600, **pruned)])
    (tmp_path / "log" / TileId(ENTRIES, 0).path).unlink()
    exporter.configure(tmp_path / "log", ocsf(receiver, batch=100)).start()
    exporter.wait_exported("siem", tmp_path / "log")
    assert sorted(receiver.found()) == list(range(256, 601))
    (gap,) = exporter.dead("siem")
    assert (gap["first"], gap["last"]) == (0, 255)


def test_a_missing_bundle_that_was_not_pruned_is_not_passed_over(tmp_path, exporter, receiver):
    made_log(tmp_path / "log", [leaf(number) for number in range(600)])
    (tmp_path / "log" / TileId(ENTRIES, 0).path).unlink()
    exporter.configure(tmp_path / "log", ocsf(receiver)).start()
    wait_until(lambda: "tile/entries/000" in exporter.status("siem").get("problem", ""), "problem")
    assert (receiver.requests, exporter.cursor("siem")) == (0, 0)


def test_a_second_exporter_on_the_same_state_refuses(tmp_path, exporter, receiver):
    made_log(tmp_path / "log", [leaf(0)])
    exporter.configure(tmp_path / "log", ocsf(receiver)).start()
    exporter.wait_exported("siem", tmp_path / "log")
    command = [sys.executable, "-m", "audit.exports", "--config", str(exporter.config)]
    second = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert second.returncode == 3
    assert b"Another exporter works in exports" in second.stderr


def test_status_says_how_far_behind(running_log, exporter, receiver):
    receiver.script = ["hang"] * 1000
    record_events(running_log.client(), running_log.log_dir, 7)
    exporter.configure(running_log.log_dir, ocsf(receiver, timeout_seconds=0.5, start="beginning")).start()
    wait_until(lambda: exporter.status("siem").get("lag_records") is not None, "lag")
    status = exporter.status("siem")
    assert status["lag_records"] >= 7
    assert status["lag_seconds"] >= 0
    whole = json.loads((exporter.state / "status.json").read_text())
    assert whole["size"] == read_checkpoint(running_log.log_dir)[1].size


@pytest.mark.parametrize("chosen", [str(name) for name in FormatName])
def test_a_single_export_to_a_file(tmp_path, chosen):
    made_log(tmp_path / "log", [leaf(number) for number in range(300)])
    out = tmp_path / "out"
    done = once(tmp_path / "log", chosen, f"file:{out}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == b"300 records delivered, 0 refused; next index 300"
    lines = out.read_bytes().splitlines()
    assert len(lines) == 300
    everything = hashes(tmp_path / "log")
    assert all(everything[index].encode() in line for index, line in enumerate(lines))


def test_a_single_export_that_cannot_be_delivered_fails(tmp_path, receiver):
    made_log(tmp_path / "log", [leaf(number) for number in range(3)])
    receiver.judge = lambda headers, body: (400, b"") if b'"sequence":1,' in body else (200, b"")
    done = once(tmp_path / "log", "ocsf", receiver.url)
    assert done.returncode == 1
    assert done.stderr.startswith(b"1: The receiver answered 400")
    assert sorted(receiver.found()) == [0, 2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--once", "--format", "ocsf", "--to", "file:/x"], b"Expected either --config FILE"),
        (["--log", "x", "--once", "--format", "syslog", "--to", "https://a.test"], b"Expected file:PATH"),
        (["--log", "x", "--once", "--format", "fhir", "--to", "file:/tmp/x"], b"no readable checkpoint"),
    ],
)
def test_a_single_export_says_what_is_wrong(arguments, said):
    command = [sys.executable, "-m", "audit.cli", "export", *arguments]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert said in done.stderr


def once(log_dir, chosen, to):
    command = [
        sys.executable,
        "-m",
        "audit.cli",
        "export",
        "--log",
        str(log_dir),
        "--format",
        chosen,
        "--once",
        "--to",
        to,
    ]
    return subprocess.run(command, capture_output=True, timeout=60, check=False)


def test_a_configuration_that_cannot_be_used_refuses_to_start(tmp_path):
    command = [sys.executable, "-m", "audit.cli", "export", "--config", str(tmp_path / "exports.toml")]
    (tmp_path / "exports.toml").write_text('log = "x"')
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 3
    assert b"Expected at least one [[target]]" in done.stderr
