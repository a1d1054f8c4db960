"""Every ``sh`` block of audit/FORMAT.md runs as it stands there, on a sound log; and fails on a broken one."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from written_log import REPOSITORY, WrittenLog, flip

from audit.checkpoint import parse_checkpoint
from audit.cosignature import Cosigner
from audit.note import SignedNote, parse_note

pytestmark = pytest.mark.timeout(900)

BLOCKS = re.findall(r"```sh\n(.*?)```", (REPOSITORY / "audit" / "FORMAT.md").read_text(), re.S)
NAMES = ["signature", "record", "proof", "cosignature", "whole-log"]
WITNESS = [
    Cosigner("w.example.test/1", MLDSA44PrivateKey.generate()),
    Cosigner("w.example.test/1", Ed25519PrivateKey.generate()),
]


@pytest.fixture
def cosigned_log(broken_log) -> WrittenLog:
    """A copy of the log with a cosigned checkpoint, by a witness with two keys of one name."""
    raw = (broken_log.directory / "checkpoint").read_bytes()
    note = parse_note(raw)
    lines = [cosigner.cosign(parse_checkpoint(note), datetime.now(UTC)) for cosigner in WITNESS]
    folder = broken_log.directory / "cosigned"
    folder.mkdir()
    (folder / str(broken_log.size)).write_bytes(SignedNote(note.text, (*note.signatures, *lines)).encode())
    return broken_log


def run(block, log, size, scratch, strangers, index):
    scratch.mkdir(exist_ok=True)
    places = [Path(sys.executable).parent, strangers.program.parent, REPOSITORY / "docs" / "examples"]
    own = {
        "PATH": ":".join([*map(str, places), os.environ["PATH"]]),
        "LOG": str(log.directory),
        "VKEY": log.vkey,
        "INDEX": str(index),
        "WITNESS": str(WITNESS[1].key),
        "SIZE": str(size),
        "EARLIER": str(log.earlier[1000]),
    }
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=scratch,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_there_are_as_many_blocks_as_names():
    assert len(BLOCKS) == len(NAMES)


@pytest.mark.parametrize(
    ("name", "index"),
    [*((name, 0) for name in NAMES), *((name, index) for name in ("record", "proof") for index in (700, 3000))],
)
def test_the_commands_accept_our_log(name, index, cosigned_log, strangers, tmp_path):
    block = BLOCKS[NAMES.index(name)]
    done = run(block, cosigned_log, cosigned_log.size, tmp_path / "scratch", strangers, index)
    assert done.returncode == 0, done.stdout + done.stderr


def spoil_signatures(log):
    """Another size in both notes; each keeps its name."""
    size = log.size
    for path in (log.directory / "checkpoint", log.directory / "cosigned" / str(size)):
        path.write_text(path.read_text().replace(f"\n{size}\n", f"\n{size + 1}\n"))


def edit_record_512(log):
    flip(log.directory / "tile/entries/002", 100)


@pytest.mark.parametrize(
    ("name", "breakage"),
    [
        ("signature", spoil_signatures),
        ("record", edit_record_512),
        ("proof", edit_record_512),
        ("cosignature", spoil_signatures),
        ("whole-log", edit_record_512),
    ],
)
def test_the_commands_reject_a_broken_copy(name, breakage, cosigned_log, strangers, tmp_path):
    size = cosigned_log.size
    breakage(cosigned_log)
    block = BLOCKS[NAMES.index(name)]
    done = run(block, cosigned_log, size, tmp_path / "scratch", strangers, 512)
    assert done.returncode != 0, done.stdout + done.stderr
