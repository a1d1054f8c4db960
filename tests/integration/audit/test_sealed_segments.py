"""Write-ahead segments that are full: payloads copied, old segments removed, and a crash at any step in between."""

import shutil

import pytest
from running_log import event, wait_until

from audit.client import AuditRefused
from audit.reader import read_entries
from audit.verify import verify_log

SMALL = ("--segment-bytes", "20000")
COUNT = 400


def names(folder):
    return sorted(path.name[:20] for path in folder.iterdir())


def first_of(path):
    return int(path.name[:20])


@pytest.fixture
def sealed_log(prepared_log):
    """Four hundred records with payloads, many segments ago."""
    prepared_log.start(*SMALL)
    client = prepared_log.client()
    for number in range(COUNT):
        receipt = client.record(event(number, payload={"n": number}))
    client.wait_published(receipt.index, prepared_log.log_dir)
    wait_until(lambda: len(prepared_log.segments) <= 3)
    return prepared_log


def payload_files(log):
    # not what is being written: a copy has another name, .….tmp, until it is whole
    return sorted((log.state_dir / "payloads").glob("[0-9]*"))


def check_all_there(log):
    client = log.client("later")
    numbers = [0, 1, COUNT // 2, COUNT - 1]
    assert [client.payload(number, "u-auditor")["n"] for number in numbers] == numbers
    receipt = client.record(event(COUNT))
    client.wait_published(receipt.index, log.log_dir)
    entries = list(read_entries(log.log_dir))
    assert [entry.leaf["counts"]["n"] for entry in entries[:COUNT]] == list(range(COUNT))
    report = verify_log(log.log_dir, log.vkey)
    assert report.ok, report.lines()


def test_two_sealed_segments_stay_and_all_payloads_are_readable(sealed_log):
    assert len(sealed_log.segments) == 3
    assert first_of(sealed_log.segments[0]) > 0
    assert names(sealed_log.state_dir / "wal")[:2] == names(sealed_log.state_dir / "payloads")[-2:]
    check_all_there(sealed_log)
    for end in (sealed_log.stop, sealed_log.kill):
        end()
        sealed_log.start(*SMALL)
        check_all_there(sealed_log)


def test_a_record_sent_again_long_after_its_segment_went_is_still_kept_once(sealed_log):
    from raw_socket import exchange

    from audit.wire import encode_message

    leaf = next(read_entries(sealed_log.log_dir)).leaf
    sealed_log.kill()
    sealed_log.start(*SMALL)
    own = {key: leaf[key] for key in ("event_id", "writer", "boot", "seq")}
    again = {"op": "record", "event": {"type": "query:intent", "actor": "u-1"}, **own}
    (answer,) = exchange(sealed_log.socket, encode_message(again))
    assert answer["index"] == 0


def test_a_crash_between_copy_and_removal(sealed_log):
    """The newest sealed segments are all still there beside their copies; and one half-written copy."""
    sealed_log.kill()
    kept = {path: path.read_bytes() for path in sealed_log.segments}
    (sealed_log.state_dir / "payloads" / ".00000000000000000400.pay.ff.tmp").write_bytes(b"half")
    sealed_log.start(*SMALL)
    check_all_there(sealed_log)
    assert all(path.read_bytes()[: len(data)] == data for path, data in kept.items() if path.exists())
    assert not list((sealed_log.state_dir / "payloads").glob(".*"))


def test_a_crash_before_the_copy(sealed_log):
    sealed_log.kill()
    there = names(sealed_log.state_dir / "wal")
    copies = [path for path in payload_files(sealed_log) if path.name[:20] in there]
    assert copies
    for path in copies:
        path.unlink()
    sealed_log.start(*SMALL)
    check_all_there(sealed_log)
    wait_until(lambda: len(sealed_log.segments) <= 3)
    assert set(copies) <= set(payload_files(sealed_log))


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("first payload segment", "segments are missing in the state directory"),
        ("middle payload segment", "is missing: the next one begins at"),
        ("all payload segments", "instead of 0 or earlier"),
        ("middle write-ahead segment", "restore the missing or damaged file"),
        ("first write-ahead segment and its copy", "only"),
        ("last write-ahead segment", "a checkpoint over"),
        ("published log", "instead of 0 or earlier"),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_started(sealed_log, gone, said):
    sealed_log.stop()
    payloads, segments = payload_files(sealed_log), sealed_log.segments
    for path in {
        "first payload segment": payloads[:1],
        "middle payload segment": payloads[2:3],
        "all payload segments": payloads,
        "middle write-ahead segment": segments[1:2],
        "first write-ahead segment and its copy": [segments[0], *payloads[-2:]],
        "last write-ahead segment": segments[-1:],
        "published log": [],
    }[gone]:
        path.unlink()
    if gone == "published log":
        shutil.rmtree(sealed_log.log_dir)
        (sealed_log.state_dir / "checkpoint").unlink()
    assert said in sealed_log.refuse_start(*SMALL)


def test_a_damaged_copy_is_refused_when_it_is_read_and_the_log_lives_on(sealed_log):
    path = payload_files(sealed_log)[0]
    damaged = bytearray(path.read_bytes())
    damaged[60] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(AuditRefused, match=r"payload of record 0 .* is damaged"):
        sealed_log.client().payload(0, "u-auditor")
    assert sealed_log.client().payload(COUNT - 1, "u-auditor") == {"n": COUNT - 1}
