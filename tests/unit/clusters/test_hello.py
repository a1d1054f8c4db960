"""Which cluster a TLS client asks for."""

from __future__ import annotations

import contextlib
import ssl

import pytest
from hypothesis import given, strategies

from enclave.clusters.hello import find_cluster, record_length

CLUSTER = "0123456789abcdef" * 2


def client_hello(name: str | None) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    said = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), said, server_hostname=name).do_handshake()
    return said.read()


@pytest.mark.parametrize(
    ("name", "cluster"),
    [
        (f"daskgateway-{CLUSTER}", CLUSTER),
        (CLUSTER, None),
        ("daskgateway", None),
        (None, None),
        ("portal.localhost", None),
    ],
)
def test_the_name_a_real_client_sends(name: str | None, cluster: str | None) -> None:
    hello = client_hello(name)
    assert record_length(hello[:5]) == len(hello)
    assert find_cluster(hello) == cluster


def test_a_beginning_names_nobody() -> None:
    hello = client_hello(f"daskgateway-{CLUSTER}")
    assert all(find_cluster(hello[:length]) is None for length in range(0, len(hello), 7))


@given(strategies.binary(max_size=600))
def test_anything_else_names_nobody(said: bytes) -> None:
    assert find_cluster(b"\x16\x03\x01" + said) is None
