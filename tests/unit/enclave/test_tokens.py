"""Tokens: what is accepted, and that every altered, foreign or late one is refused with a sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enclave import tokens
from enclave.domain.ids import PersonId, ProjectId, Username, WorkspaceId

KEY = Ed25519PrivateKey.generate()


def make(ttl: timedelta = timedelta(minutes=5), key: Ed25519PrivateKey = KEY, **binding: Any) -> str:
    return tokens.issue(
        key,
        person=PersonId("u-000000000001"),
        username=Username("amelie"),
        project=ProjectId("heart"),
        workspace=WorkspaceId("w-000000000001"),
        ttl=ttl,
        **binding,
    )


def test_a_token_says_who_where_and_until_when() -> None:
    claims = tokens.verify(KEY.public_key(), make())
    assert (claims.person, claims.username, claims.project) == ("u-000000000001", "amelie", "heart")
    assert claims.workspace == "w-000000000001"
    assert claims.expires_at - claims.issued_at == 300


def test_two_tokens_never_share_an_id() -> None:
    assert tokens.verify(KEY.public_key(), make()).token_id != tokens.verify(KEY.public_key(), make()).token_id


@pytest.mark.parametrize("position", range(0, 300, 7))
def test_any_changed_character_is_refused(position: int) -> None:
    token = make()
    position %= len(token) - 1  # the last character of base64url may carry unused bits
    other = "A" if token[position] != "A" else "B"
    with pytest.raises(tokens.TokenError):
        tokens.verify(KEY.public_key(), token[:position] + other + token[position + 1 :])


def test_a_token_for_the_port_says_so_and_may_name_a_certificate() -> None:
    assert tokens.verify(KEY.public_key(), make()).door is tokens.DoorKind.UNIX
    claims = tokens.verify(KEY.public_key(), make(door=tokens.DoorKind.TCP, client="dask-1.test"))
    assert (claims.door, claims.client) == (tokens.DoorKind.TCP, "dask-1.test")


@pytest.mark.parametrize(
    "binding",
    [{"door": "pigeon"}, {"door": 1}, {"cnf": {"x5t#S256": "abc"}}, {"cnf": "x"}, {"cnf": {"tls-client-name": 3}}],
)
def test_a_binding_that_is_not_known_here_is_refused(binding: dict[str, object]) -> None:
    known = jwt.decode(make(), options={"verify_signature": False})
    token = jwt.encode({**known, **binding}, KEY, algorithm="EdDSA")
    with pytest.raises(tokens.TokenError, match="another binding"):
        tokens.verify(KEY.public_key(), token)


def test_a_late_token_says_that_it_is_late() -> None:
    with pytest.raises(tokens.TokenError, match="expired"):
        tokens.verify(KEY.public_key(), make(ttl=timedelta(seconds=-1)))


def test_a_token_of_another_enclave_is_refused() -> None:
    with pytest.raises(tokens.TokenError, match="altered or from elsewhere"):
        tokens.verify(KEY.public_key(), make(key=Ed25519PrivateKey.generate()))


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_other_algorithms_are_refused(algorithm: str) -> None:
    claims = {"iss": tokens.ISSUER, "aud": tokens.AUDIENCE, "sub": "u", "exp": datetime.now(UTC) + timedelta(hours=1)}
    token = jwt.encode(claims, None if algorithm == "none" else "x" * 64, algorithm=algorithm)
    with pytest.raises(tokens.TokenError):
        tokens.verify(KEY.public_key(), token)


@pytest.mark.parametrize("missing", ["sub", "usr", "prj", "wsp", "jti", "iat", "exp", "aud", "iss"])
def test_every_claim_is_needed(missing: str) -> None:
    claims = jwt.decode(make(), options={"verify_signature": False})
    del claims[missing]
    with pytest.raises(tokens.TokenError):
        tokens.verify(KEY.public_key(), jwt.encode(claims, KEY, algorithm="EdDSA"))
