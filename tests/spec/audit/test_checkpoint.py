"""c2sp.org/tlog-checkpoint: its example, and the form of each line."""

import pytest

from audit.checkpoint import Checkpoint, parse_checkpoint
from audit.note import NoteError, SignedNote, parse_note

ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
EXAMPLE = (
    "example.com/behind-the-sofa\n"
    "20852163\n"
    f"{ROOT}\n"
    "\n"
    "— example.com/behind-the-sofa"
    " Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)


def test_the_example():
    note = parse_note(EXAMPLE.encode())
    checkpoint = parse_checkpoint(note)
    assert checkpoint == Checkpoint("example.com/behind-the-sofa", 20852163, checkpoint.root)
    assert checkpoint.text() == note.text
    assert checkpoint.root.hex().startswith("0ac5186a91863e8e")


@pytest.mark.parametrize(
    ("clause", "text", "size"),
    [
        ("the origin SHOULD, not MUST, be a schema-less URL", f"any text at all\n1\n{ROOT}\n", 1),
        ("an empty tree's size is 0", f"o\n0\n{ROOT}\n", 0),
        ("extension lines are opaque and optional", f"o\n7\n{ROOT}\nanything\nat all\n", 7),
        ("sizes up to 63 bits", f"o\n9223372036854775807\n{ROOT}\n", 2**63 - 1),
    ],
)
def test_it_is_accepted(clause, text, size):
    checkpoint = parse_checkpoint(SignedNote(text, ()))
    assert checkpoint.size == size
    assert checkpoint.text() == text


@pytest.mark.parametrize(
    ("clause", "text"),
    [
        ("at least three lines", "o\n1\n"),
        ("lines are not empty", f"\n1\n{ROOT}\n"),
        ("extension lines are not empty", f"o\n1\n{ROOT}\n\nx\n"),
        ("the size is decimal", f"o\n0x1\n{ROOT}\n"),
        ("the size is ASCII", f"o\n١\n{ROOT}\n"),
        ("no leading zeroes", f"o\n01\n{ROOT}\n"),
        ("no sign", f"o\n+1\n{ROOT}\n"),
        ("no sign", f"o\n-1\n{ROOT}\n"),
        ("no space", f"o\n 1\n{ROOT}\n"),
        ("the root is base64", f"o\n1\n{ROOT[:-1]}\n"),
        ("the root is standard base64", f"o\n1\n{ROOT.replace('/', '_')}\n"),
        ("the root is a SHA-256 hash", "o\n1\nAAAA\n"),
    ],
)
def test_it_is_refused(clause, text):
    with pytest.raises(NoteError):
        parse_checkpoint(SignedNote(text, ()))
