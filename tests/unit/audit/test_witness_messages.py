"""The bodies of the witness protocol: the specification's examples, and arbitrary bytes."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.note import NoteSigner
from audit.witness.messages import (
    MessageError,
    encode_request,
    encode_signatures,
    origin_hash,
    parse_request,
    parse_signatures,
    parse_size,
)

SPEC_REQUEST = (
    "old 20852014\n"
    "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n"
    "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n"
    "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n"
    "/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n"
    "\n"
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+"
    "zyWE+xeMcTOAYQ8=\n"
    "— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5"
    "Rovnzv++qbSzm9Q=\n"
).encode()
SPEC_ANSWER = (
    "— witness.example/w1 CMp+6LWBU0anHGH5aNDTJkH/gj79sG+T6+iP2ThYN5krrDJbR1HDnucjL39QsZTSvVjyQLrdk3DXDqI5G2HgLatVs0p"
    "Wh6Up69HVOw==\n"
    "— witness.example/w1 I7rEps0pvK2UqkS2gSpVUDhrhVtQV9lgF6pRrWAvjJHjyWpW7VcE3SiOlVlbQNt64vWhO+DlkL0+UfzuOBMh9ChdMkP"
    "1vi/lCAsmlw==\n"
    "— witness.example/w2 AWui8Sk55XjYLOijihBjhqEH6nS1ndDymE0a+6idX7pLcnoB+dhnz0854aLZgrrKbYKA7nC3HNJhm/kWl7oJlqU3rXX"
    "vpysAdyP3wQ==\n"
).encode()
NOTE = sign_checkpoint(Checkpoint("x", 9, bytes(32)), NoteSigner("x", Ed25519PrivateKey.generate()))


def test_the_request_of_the_specification() -> None:
    request = parse_request(SPEC_REQUEST)
    assert (request.old_size, len(request.proof), request.checkpoint.size) == (20852014, 4, 20852163)
    assert request.checkpoint.origin == "example.com/behind-the-sofa"
    assert len(request.note.signatures) == 2
    assert encode_request(request.old_size, request.proof, request.note.encode()) == SPEC_REQUEST


def test_the_answer_of_the_specification() -> None:
    signatures = parse_signatures(SPEC_ANSWER)
    assert [item.name for item in signatures] == ["witness.example/w1", "witness.example/w1", "witness.example/w2"]
    assert encode_signatures(signatures) == SPEC_ANSWER


@pytest.mark.parametrize("count", [0, 1, 63])
def test_up_to_63_proof_lines(count: int) -> None:
    proof = [bytes([number]) * 32 for number in range(count)]
    assert parse_request(encode_request(3, proof, NOTE)).proof == tuple(proof)


@pytest.mark.parametrize("body", [b"", b"\n", b"x", b"12", b"012\n", b"-1\n", b"1\n\n", b"1 \n", b"9" * 20 + b"\n"])
def test_what_is_no_size(body: bytes) -> None:
    with pytest.raises(MessageError):
        parse_size(body)


def test_sizes() -> None:
    assert (parse_size(b"0\n"), parse_size(b"20852163\n")) == (0, 20852163)


@pytest.mark.parametrize("body", [b"", b"\n", SPEC_ANSWER[:-1], SPEC_ANSWER + b"\n", SPEC_ANSWER * 12, b"\xff\n"])
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(MessageError):
        parse_signatures(body)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_in_words(body: bytes) -> None:
    for parse in (parse_request, parse_signatures, parse_size):
        try:
            parse(body)
        except MessageError as error:
            assert str(error)


@given(st.integers(0, len(SPEC_REQUEST) - 1), st.binary(min_size=1, max_size=3))
def test_damaged_requests_are_refused_or_say_the_same(place: int, put: bytes) -> None:
    damaged = SPEC_REQUEST[:place] + put + SPEC_REQUEST[place + len(put) :]
    try:
        request = parse_request(damaged)
    except MessageError:
        return
    assert encode_request(request.old_size, request.proof, request.note.encode()) == damaged


def test_the_monitoring_path_is_the_hash_of_the_origin() -> None:
    assert origin_hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
