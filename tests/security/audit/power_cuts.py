"""The ways in which power can go, for :mod:`lossy_disk`: from 'nothing unsynced is there' to arbitrary sectors."""

from __future__ import annotations

import random

from lossy_disk import SECTOR, File, Loss, NameChange, Resized


def dropped(file: File) -> bytes:
    """Only what was synced."""
    return file.durable


def kept(file: File) -> bytes:
    """Everything, by luck."""
    return bytes(file.data)


def zeroed(file: File) -> bytes:
    """The sizes reached the disk, the bytes did not."""
    data = bytearray(len(file.data))
    data[: len(file.durable)] = file.durable[: len(file.data)]
    return bytes(data)


def holes(chance: random.Random, file: File) -> bytes:
    """Each sector of the pending writes is there or not, on its own: later ones without earlier ones, too."""
    data = bytearray(file.data)
    before = zeroed(file)
    for change in file.pending:
        if isinstance(change, Resized):
            continue
        for sector in range(change.offset // SECTOR, (change.offset + len(change.data) - 1) // SECTOR + 1):
            if chance.random() < 0.4:
                data[sector * SECTOR : (sector + 1) * SECTOR] = before[sector * SECTOR : (sector + 1) * SECTOR]
    return bytes(data)


def cut(chance: random.Random, file: File) -> bytes:
    """Some of the pending writes in their order, the last of them ending at any byte."""
    whole = chance.randint(0, len(file.pending) - 1)
    before, data = file.after(whole), file.after(whole + 1)
    if len(data) > len(before):
        del data[chance.randint(len(before), len(data)) :]
    return bytes(data)


def always(_: NameChange) -> bool:
    return True


def never(_: NameChange) -> bool:
    return False


def losses(chance: random.Random) -> list[Loss]:
    """The extremes, and two by chance."""

    def some(_: NameChange) -> bool:
        return chance.random() < 0.5

    return [
        Loss("nothing unsynced is there", never, dropped),
        Loss("names there, bytes not", always, dropped),
        Loss("names and sizes there, bytes zero", always, zeroed),
        Loss("bytes there, names not", never, kept),
        Loss("names there, bytes cut", always, lambda file: cut(chance, file)),
        Loss("some names there, some sectors", some, lambda file: holes(chance, file)),
    ]
