"""The verifier's answer does not depend on the number of processes, nor on where the log is cut into stretches."""

import random
import shutil

import pytest
from attack_actions import deleted, reordered
from attack_table import ATTACKS, AUDIT_AT
from house import House
from running_log import wait_until

from audit import inventory, parallel, rebuild
from audit.canonical import canonical_json
from audit.parallel import WorkerDied, in_order
from audit.verify import VerifyError, verify_log


def answer(house: House, processes: int, since: str | None = None) -> dict:
    report = verify_log(
        house.log_dir,
        house.vkey,
        since or house.saved,
        policy=house.policy,
        receipts=[house.receipt],
        now=AUDIT_AT,
        processes=processes,
        payloads=house.state,
    )
    return report.as_json()


@pytest.fixture
def same_answer(monkeypatch):
    """Compare: the whole log in one stretch, one bundle per stretch here, one bundle per stretch in two processes."""
    monkeypatch.setattr(inventory, "SETTLE_SECONDS", 0.0)

    def compare(house):
        whole = answer(house, 1)
        with monkeypatch.context() as patch:
            patch.setattr(rebuild, "SMALL", 0)
            patch.setattr(rebuild, "STRETCH", 1)
            assert answer(house, 1) == whole
            assert answer(house, 2) == whole
        return whole

    return compare


def test_an_undamaged_log(house, same_answer):
    assert same_answer(house)["ok"]


@pytest.mark.parametrize("attack", ATTACKS[::2], ids=lambda row: f"{row.name}: {row.what}")
def test_attacked_logs(attack, house, tmp_path, same_answer):
    victim = house.copy(tmp_path / "house")
    attack.attack(victim)
    same_answer(victim)


def doubled(entries):
    """The same numbers again, within a stretch and across several."""
    return [*entries[:10], entries[5], *entries[10:], entries[3], entries[300], entries[699]]


def shuffled(entries):
    chance = random.Random(5)
    order = list(entries)
    chance.shuffle(order)
    return order


def no_records(entries):
    return [*entries[:250], b"[]", b"{", b"[" * 3000, b'"text"', *entries[254:], b"{}"]


def odd_records(entries):
    leaves = [
        {"writer": "w", "boot": "b", "seq": True},
        {"writer": ["w"], "boot": "b", "seq": 1, "at": 7, "type": ["query:intent"]},
        {"writer": "w", "boot": "b", "seq": 2, "at": "later", "type": {"x": 1}},
        {"writer": "w", "boot": "b", "seq": 2, "at": "", "type": "query:intent", "request_id": 5},
        {"writer": "audit", "boot": "b", "seq": 9, "type": "audit:pruned", "counts": [], "data": "x"},
        {"type": "canary:scheduled", "project": 5, "data": {"template_sha256": 3, "due": "never"}},
    ]
    return [*entries[:254], *map(canonical_json, leaves), *entries[254:]]


@pytest.mark.parametrize(
    "change", [doubled, shuffled, no_records, odd_records, deleted, lambda entries: reordered(entries, 255)]
)
def test_logs_signed_over_strange_records(change, house, tmp_path, same_answer):
    victim = house.copy(tmp_path / "house")
    victim.publish(change(victim.entries))
    same_answer(victim)


def test_files_missing_or_cut(house, tmp_path, same_answer):
    victim = house.copy(tmp_path / "house")
    for path in [path for path in sorted((victim.log_dir / "tile").rglob("*")) if path.is_file()][::3]:
        original = path.read_bytes()
        path.write_bytes(original[:-40])
        same_answer(victim)
        path.unlink()
        same_answer(victim)
        path.write_bytes(original)


def test_a_log_of_several_real_stretches(house, tmp_path):
    """More records than one stretch holds, published in one go: the ordinary settings, two processes."""
    victim = House(tmp_path / "big", house.signer, house.witnesses, house.policy)
    victim.home.mkdir()
    at = "2026-03-02T08:00:00.000Z"
    victim.entries = [
        b'{"at":"%s","boot":"b","seq":%d,"type":"a:b","writer":"w"}' % (at.encode(), number + 1)
        for number in range(66_000)
    ]
    victim.publish(victim.entries)
    reports = [verify_log(victim.log_dir, victim.vkey, processes=processes) for processes in (1, 2)]
    assert all(report.ok for report in reports)
    assert reports[0].as_json() == reports[1].as_json()
    path = victim.log_dir / "tile" / "entries" / "256"
    path.write_bytes(path.read_bytes().replace(b'"a:b"', b'"a:c"', 1))
    reports = [verify_log(victim.log_dir, victim.vkey, processes=processes) for processes in (1, 2)]
    assert reports[0].as_json() == reports[1].as_json()
    assert [(item.file, item.entry) for item in reports[0].problems if item.file] == [("tile/entries/256", 65_536)]
    shutil.rmtree(victim.home)


def test_a_process_that_dies_is_an_error_of_its_own(house, monkeypatch):
    begun = []
    begin = parallel._Worker.__init__

    def remember(worker, work):
        begin(worker, work)
        begun.append(worker)
        worker._process.kill()
        worker._process.wait()

    monkeypatch.setattr(rebuild, "SMALL", 0)
    monkeypatch.setattr(rebuild, "STRETCH", 1)
    monkeypatch.setattr(parallel._Worker, "__init__", remember)
    with pytest.raises(VerifyError, match="ended unexpectedly"):
        answer(house, 2)
    assert all(worker._process.poll() is not None for worker in begun)
    assert len(begun) == 2


def test_no_process_is_left_behind(monkeypatch):
    begun = []
    begin = parallel._Worker.__init__
    monkeypatch.setattr(
        parallel._Worker, "__init__", lambda worker, work: (begin(worker, work), begun.append(worker))[0]
    )
    answers = in_order(abs, range(-50, 0), 2)
    assert next(answers) == 50
    answers.close()
    assert len(begun) == 2
    wait_until(lambda: all(worker._process.poll() is not None for worker in begun))
    assert list(in_order(abs, range(-50, 0), 3)) == list(range(50, 0, -1))


def test_what_a_worker_raises_is_raised_here():
    with pytest.raises(TypeError):
        list(in_order(abs, ["text", 1], 2))
    assert issubclass(WorkerDied, RuntimeError)
