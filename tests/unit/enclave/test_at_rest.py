"""Encryption at rest, seen in a sysfs made here: stacks of devices, swap, and what cannot be seen."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from enclave.at_rest import Machine, find_notes
from enclave.cli import doctor
from enclave.settings import Settings

LUKS = "CRYPT-LUKS2-0123456789abcdef-vault"
LVM = "LVM-abcdef"


@dataclass
class Made:
    """A sysfs in a folder. ``home`` lies on the device that ``hold`` names."""

    folder: Path
    home: Path = field(init=False)

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        for folder in (self.home, self.folder / "dev/block", self.folder / "proc/self"):
            folder.mkdir(parents=True)
        (self.folder / "proc/self/mountinfo").write_text("")
        self.swap()

    def device(self, name: str, *below: str, uuid: str = "", part_of: str = "", backing: Path | None = None) -> None:
        made = self.folder / "devices" / part_of / name
        (made / "slaves").mkdir(parents=True)
        for slave in below:
            (made / "slaves" / slave).symlink_to(next((self.folder / "devices").rglob(slave)))
        if part_of:
            (made / "partition").write_text("1\n")
        for place, text in ((made / "dm/uuid", uuid), (made / "loop/backing_file", str(backing or ""))):
            if text:
                place.parent.mkdir()
                place.write_text(f"{text}\n")

    def hold(self, name: str) -> None:
        number = self.home.stat().st_dev
        place = self.folder / f"dev/block/{os.major(number)}:{os.minor(number)}"
        place.symlink_to(next((self.folder / "devices").rglob(name)))

    def swap(self, *names: str) -> None:
        lines = ["Filename Type Size Used Priority", *(f"{name} partition 100 0 -2" for name in names)]
        (self.folder / "proc/swaps").write_text("\n".join(lines) + "\n")

    def notes(self) -> list[str]:
        return list(find_notes(self.home, Machine(self.folder, self.folder / "proc")))


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def plain_disk(made: Made) -> None:
    made.device("sda")
    made.hold("sda")


def plain_partition(made: Made) -> None:
    made.device("sda")
    made.device("sda1", part_of="sda")
    made.hold("sda1")


def luks_on_a_partition(made: Made) -> None:
    made.device("sda")
    made.device("sda1", part_of="sda")
    made.device("dm-0", "sda1", uuid=LUKS)
    made.hold("dm-0")


def volume_on_luks(made: Made) -> None:
    made.device("sda")
    made.device("dm-0", "sda", uuid=LUKS)
    made.device("dm-1", "dm-0", uuid=LVM)
    made.hold("dm-1")


def volume_of_which_half_is_plain(made: Made) -> None:
    made.device("sda")
    made.device("sdb")
    made.device("dm-0", "sda", uuid=LUKS)
    made.device("dm-1", "dm-0", "sdb", uuid=LVM)
    made.hold("dm-1")


def partition_of_a_raid_on_luks(made: Made) -> None:
    for disk, vault in (("sda", "dm-0"), ("sdb", "dm-1")):
        made.device(disk)
        made.device(vault, disk, uuid=LUKS)
    made.device("md0", "dm-0", "dm-1")
    made.device("md0p1", part_of="md0")
    made.hold("md0p1")


def loop_on_a_file_that_went(made: Made) -> None:
    made.device("loop0", backing=Path("/proc/no such place/image"))
    made.hold("loop0")


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (plain_disk, "is not encrypted"),
        (plain_partition, "is not encrypted"),
        (luks_on_a_partition, ""),
        (volume_on_luks, ""),
        (volume_of_which_half_is_plain, "is not encrypted"),
        (partition_of_a_raid_on_luks, ""),
        (loop_on_a_file_that_went, "is not encrypted"),
        (lambda made: None, "cannot be seen"),
    ],
)
def test_what_is_under_home(made: Made, build: object, said: str) -> None:
    build(made)  # type: ignore[operator]
    notes = made.notes()
    assert len(notes) == bool(said)
    assert all(said in note and str(made.home) in note for note in notes)
    made.home = made.home / "not" / "made" / "yet"
    assert len(made.notes()) == bool(said)


def test_swap_is_named_unless_it_is_encrypted_or_memory(made: Made) -> None:
    volume_on_luks(made)
    made.swap("/dev/zram0", str(made.home / "swapfile"))  # a file on the encrypted disk, and compressed memory
    assert made.notes() == []
    made.swap("/dev/zram0", "/dev/no-such-device")
    (note,) = [note for note in made.notes() if "Swap" in note]
    assert "(/dev/no-such-device)" in note


def test_a_swap_file_on_a_plain_disk(made: Made) -> None:
    plain_disk(made)
    made.swap(str(made.home / "swapfile"))
    assert ["is not encrypted" in made.notes()[0], "Swap is on and not encrypted" in made.notes()[1]] == [True, True]


def test_the_doctor_says_it_and_fails_for_nothing_of_it(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain_disk(made)
    monkeypatch.setattr("enclave.at_rest.Machine", lambda: Machine(made.folder, made.folder / "proc"))
    monkeypatch.setattr(doctor, "CHECKS", ())
    monkeypatch.setattr(doctor, "get_settings", lambda: Settings(home=made.home))
    with pytest.raises(SystemExit, match="0"):
        doctor.doctor()
    assert f"note     The disk under {made.home} is not encrypted" in capsys.readouterr().out
