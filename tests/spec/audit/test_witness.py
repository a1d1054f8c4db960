"""c2sp.org/tlog-witness: its example request and answer, and the form of each line."""

import base64

import pytest

from audit.witness.messages import (
    MessageError,
    encode_request,
    origin_hash,
    parse_request,
    parse_signatures,
    parse_size,
)

HASHES = """PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0="""
CHECKPOINT = (
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "— example.com/behind-the-sofa"
    " Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "— example.com/behind-the-sofa"
    " opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n"
)
REQUEST = f"old 20852014\n{HASHES}\n\n{CHECKPOINT}"
ANSWER = (
    "— witness.example/w1"
    " CMp+6LWBU0anHGH5aNDTJkH/gj79sG+T6+iP2ThYN5krrDJbR1HDnucjL39QsZTSvVjyQLrdk3DXDqI5G2HgLatVs0pWh6Up69HVOw==\n"
    "— witness.example/w1"
    " I7rEps0pvK2UqkS2gSpVUDhrhVtQV9lgF6pRrWAvjJHjyWpW7VcE3SiOlVlbQNt64vWhO+DlkL0+UfzuOBMh9ChdMkP1vi/lCAsmlw==\n"
    "— witness.example/w2"
    " AWui8Sk55XjYLOijihBjhqEH6nS1ndDymE0a+6idX7pLcnoB+dhnz0854aLZgrrKbYKA7nC3HNJhm/kWl7oJlqU3rXXvpysAdyP3wQ==\n"
)


def test_the_example_request():
    request = parse_request(REQUEST.encode())
    assert (request.old_size, request.checkpoint.size) == (20852014, 20852163)
    assert [base64.b64encode(item).decode() for item in request.proof] == HASHES.split("\n")
    assert len(request.note.signatures) == 2
    assert encode_request(request.old_size, request.proof, request.note.encode()).decode() == REQUEST


def test_the_example_answer():
    assert [line.name for line in parse_signatures(ANSWER.encode())] == [f"witness.example/w{n}" for n in (1, 1, 2)]


def many(count):
    return "\n".join([HASHES.split("\n")[0]] * count)


@pytest.mark.parametrize(
    ("clause", "body"),
    [
        ("old 0 with an empty proof", f"old 0\n\n{CHECKPOINT}"),
        ("63 proof lines", f"old 1\n{many(63)}\n\n{CHECKPOINT}"),
    ],
)
def test_a_request_is_accepted(clause, body):
    parse_request(body.encode())


@pytest.mark.parametrize(
    ("clause", "body"),
    [
        ("the old size line", REQUEST.replace("old 20852014\n", "")),
        ("the string old", REQUEST.replace("old ", "Old ")),
        ("a single space", REQUEST.replace("old ", "old  ")),
        ("decimal", REQUEST.replace("20852014", "0x10")),
        ("no leading zeroes", REQUEST.replace("20852014", "020852014")),
        ("no more than 63 proof lines", f"old 1\n{many(64)}\n\n{CHECKPOINT}"),
        ("base64", REQUEST.replace("PlRN", "Pl-N")),
        ("a single hash in each line", REQUEST.replace("PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=", "PlRN")),
        ("an empty line", f"old 1\n{HASHES}\n{CHECKPOINT.split(chr(10) * 2)[0]}\n"),
        ("followed by a checkpoint", f"old 1\n{HASHES}\n\n"),
        ("a checkpoint that is well-formed", REQUEST.replace("\n20852163\n", "\n020852163\n")),
        ("newlines only", REQUEST.replace("\n", "\r\n")),
        ("not empty", ""),
    ],
)
def test_a_request_is_refused(clause, body):
    with pytest.raises(MessageError):
        parse_request(body.encode())


@pytest.mark.parametrize("body", ["", "\n", ANSWER[:-1], ANSWER.replace("—", "-"), f"{ANSWER}\n", f"text\n\n{ANSWER}"])
def test_an_answer_is_made_of_signature_lines_only(body):
    with pytest.raises(MessageError):
        parse_signatures(body.encode())


def test_a_conflict_is_a_decimal_size_and_a_newline():
    assert parse_size(b"20852014\n") == 20852014
    assert parse_size(b"0\n") == 0
    for body in (b"20852014", b"020\n", b"-1\n", b"1\n\n", b"one\n", b""):
        with pytest.raises(MessageError):
            parse_size(body)


def test_the_origin_hash_is_sha256_in_lower_case_hex():
    assert origin_hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
