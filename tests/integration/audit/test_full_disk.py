"""A disk that fills up, for real (a small tmpfs): nothing acknowledged is lost, the log says it is full and goes on."""

import contextlib
import subprocess

import pytest
from running_log import event, wait_until

from audit.client import AuditRefused, AuditUnavailable
from audit.reader import read_entries
from audit.verify import verify_log

pytestmark = pytest.mark.needs_root
BALLAST_BYTES = 1_500_000
RESERVE = ("--reserve-bytes", str(256 * 1024))


@pytest.fixture
def small_disk(prepared_log):
    """A file system of 4 MiB with something else on it that can be deleted."""
    disk = prepared_log.home / "small"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=755", "tmpfs", str(disk)], check=True, timeout=60)
    (disk / "ballast").write_bytes(bytes(BALLAST_BYTES))
    yield disk
    if prepared_log.process is not None and prepared_log.process.poll() is None:
        prepared_log.kill()
    subprocess.run(["umount", str(disk)], check=True, timeout=60)


def fill(log):
    """Record until the log refuses; return the receipts and the refusal."""
    client, receipts = log.client("filler"), []
    with pytest.raises(AuditRefused) as refused:
        for number in range(20000):
            receipts.append(client.record(event(number, data={"text": "x" * 500}), timeout=10))
            if number % 100 == 0:
                # a real disk does not fill up within one interval of publication
                with contextlib.suppress(AuditUnavailable):
                    client.wait_published(receipts[-1].index, log.log_dir, 2)
    client.close()
    return receipts, str(refused.value)


def records_again(log):
    """True once a record is taken."""
    try:
        return log.client("later").record(event(), timeout=5).index >= 0
    except AuditUnavailable:
        return False


def check_whole(log, receipts):
    """The log verifies, holds every acknowledged record, and says once that it was full and once that it was not."""
    assert log.stop() == 0, log.errors.read_text()
    report = verify_log(log.log_dir, log.vkey)
    assert report.ok, report.lines()
    entries = list(read_entries(log.log_dir))
    assert [entries[receipt.index].leaf_hash for receipt in receipts] == [receipt.leaf_hash for receipt in receipts]
    own = [entry.leaf["type"] for entry in entries if entry.leaf["writer"] == "audit"]
    assert own == ["audit:log-full", "audit:log-space"]


def test_a_full_disk_is_recorded_and_overcome(prepared_log, small_disk):
    prepared_log.log_dir, prepared_log.state_dir = small_disk / "log", small_disk / "state"
    prepared_log.start(*RESERVE)
    receipts, said = fill(prepared_log)
    assert "No space left" in said or "disk is full" in said
    assert len(receipts) > 50
    assert not (prepared_log.state_dir / "reserve").exists()
    with pytest.raises(AuditRefused, match="disk is full; free some disk space"):
        prepared_log.client().record(event())
    assert prepared_log.process.poll() is None
    (small_disk / "ballast").unlink()
    wait_until(lambda: records_again(prepared_log))
    assert (prepared_log.state_dir / "reserve").stat().st_size == 256 * 1024
    assert records_again(prepared_log)
    check_whole(prepared_log, receipts)


def test_a_kill_on_a_full_disk_loses_nothing(prepared_log, small_disk):
    prepared_log.log_dir, prepared_log.state_dir = small_disk / "log", small_disk / "state"
    prepared_log.start(*RESERVE)
    receipts, _ = fill(prepared_log)
    prepared_log.kill()
    (small_disk / "ballast").unlink()
    prepared_log.start(*RESERVE)
    assert prepared_log.client().record(event()).index > receipts[-1].index
    assert prepared_log.stop() == 0
    entries = list(read_entries(prepared_log.log_dir))
    assert [entries[receipt.index].leaf_hash for receipt in receipts] == [receipt.leaf_hash for receipt in receipts]
    assert verify_log(prepared_log.log_dir, prepared_log.vkey).ok


def test_a_public_directory_without_room_refuses_records_until_there_is_some(prepared_log, small_disk):
    """Write-ahead log and reserve have a disk of their own here: only publishing is stuck."""
    prepared_log.log_dir = small_disk / "log"
    prepared_log.start(*RESERVE)
    receipts, said = fill(prepared_log)
    assert "disk is full" in said
    assert "cannot be published" in prepared_log.errors.read_text()
    (small_disk / "ballast").unlink()
    wait_until(lambda: records_again(prepared_log))
    check_whole(prepared_log, receipts)
