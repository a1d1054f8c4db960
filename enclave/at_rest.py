"""Is what the enclave writes encrypted on its disks, as far as this machine can see? SATRE 2.8.01.

Contract: looks for dm-crypt (LUKS, plain) in the stack of devices under a folder and under swap, through partitions,
logical volumes, RAID and loop devices; a stack is encrypted when every device below it is. Reads sysfs and /proc only.
Non-goal: a verdict. Storage that encrypts by itself (a disk array, a cloud's volume, a self-encrypting disk) and file
systems that do (ZFS, fscrypt) do not show here, so this is said as a note and refuses nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """Where to look; a test has folders of its own."""

    sysfs: Path = Path("/sys")
    proc: Path = Path("/proc")

    def device_of(self, path: Path) -> Path | None:
        """The block device that holds ``path``, as its folder in sysfs; None when there is none to be seen."""
        number = path.stat().st_dev
        return self._device(number) or self._mounted(f"{os.major(number)}:{os.minor(number)}")

    def device_at(self, node: Path) -> Path | None:
        """The device of a file in /dev."""
        return self._device(node.stat().st_rdev)

    def _device(self, number: int) -> Path | None:
        folder = self.sysfs / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}"
        return folder.resolve() if folder.exists() else None

    def _mounted(self, number: str) -> Path | None:
        """A file system with a number of its own (btrfs) names its device as the mount's source (proc(5))."""
        for line in (self.proc / "self" / "mountinfo").read_text().splitlines():
            fields = line.split()
            source = Path(fields[fields.index("-") + 2])
            if fields[2] == number and source.is_absolute() and source.exists():
                return self.device_at(source)
        return None


def find_notes(home: Path, machine: Machine | None = None) -> Iterator[str]:
    """A sentence for each thing that is written in the clear, or of which that cannot be seen."""
    machine = machine or Machine()
    match is_encrypted_under(home, machine):
        case False:
            yield (
                f"The disk under {home} is not encrypted as far as can be seen here (no dm-crypt below it): extracts, "
                "homes and keys are plain files there. Encrypt it, unless the storage does so by itself."
            )
        case None:
            yield f"Whether the storage under {home} is encrypted cannot be seen from here. See to it that it is."
    if plain := [name for name in _swaps(machine) if not _is_swap_encrypted(Path(name), machine)]:
        yield (
            f"Swap is on and not encrypted as far as can be seen here ({', '.join(plain)}): what workspaces and "
            "queries hold in memory may be written there. Encrypt it (crypttab, swap) or turn it off (swapoff -a)."
        )


def is_encrypted_under(folder: Path, machine: Machine) -> bool | None:
    """None when no device is to be seen: a network's or memory's file system, ZFS, or one of a container's."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        device = machine.device_of(folder)
        return None if device is None else _is_encrypted(device, machine)
    except OSError:
        return None


def _is_encrypted(device: Path, machine: Machine) -> bool:
    uuid = device / "dm" / "uuid"
    if uuid.is_file() and uuid.read_text().startswith("CRYPT-"):
        return True
    if (device / "partition").exists():
        return _is_encrypted(device.parent, machine)
    below = sorted(device.glob("slaves/*"))
    if below:
        return all(_is_encrypted(slave.resolve(), machine) for slave in below)
    backing = device / "loop" / "backing_file"
    return backing.is_file() and bool(is_encrypted_under(Path(backing.read_text().strip()), machine))


def _swaps(machine: Machine) -> Iterator[str]:
    """Names of what is swapped to, but for compressed memory (zram)."""
    swaps = machine.proc / "swaps"
    lines = swaps.read_text().splitlines()[1:] if swaps.is_file() else []
    for line in lines:
        name = line.split()[0]
        if not Path(name).name.startswith("zram"):
            yield name


def _is_swap_encrypted(place: Path, machine: Machine) -> bool:
    if not place.is_block_device():
        return bool(is_encrypted_under(place, machine))
    device = machine.device_at(place)
    return device is not None and _is_encrypted(device, machine)
