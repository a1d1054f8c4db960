"""RFC 3161 time stamps over a checkpoint: a third party's word on when it existed at the latest.

``rfc3161-client`` is imported only when one is made or checked: a verifier without time stamps does not need it.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509

if TYPE_CHECKING:
    from rfc3161_client import TimeStampResponse

QUERY_TYPE = "application/timestamp-query"
HASHES = ("sha256", "sha512")
_OIDS = {"2.16.840.1.101.3.4.2.1": "sha256", "2.16.840.1.101.3.4.2.2": "sha384", "2.16.840.1.101.3.4.2.3": "sha512"}
_GRANTED = 0


class TimestampError(ValueError):
    """The bytes are no time stamp over this note, or nobody trusted made it; the sentence says which."""


def build_request(note: bytes, hash_name: str = "sha256") -> tuple[bytes, int]:
    """A request (DER) for a time stamp over the note's bytes, and its nonce."""
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    if hash_name not in HASHES:
        raise TimestampError(f"Expected one of {', '.join(HASHES)} as the hash of a time stamp, found another.")
    request = TimestampRequestBuilder().data(note).hash_algorithm(HashAlgorithm(hash_name.upper())).build()
    return request.as_bytes(), request.nonce or 0


def check_response(note: bytes, response: bytes, nonce: int | None = None) -> datetime:
    """The time a response claims for the note; raise :class:`TimestampError`. Who signed it is not checked here."""
    decoded = decode(response)
    imprint = decoded.tst_info.message_imprint
    hash_name = _OIDS.get(imprint.hash_algorithm.dotted_string)
    if hash_name is None:
        raise TimestampError("Expected a time stamp over SHA-256, SHA-384 or SHA-512, found another hash.")
    if imprint.message != hashlib.new(hash_name, note).digest():
        raise TimestampError("The time stamp is for other bytes than this note.")
    if nonce is not None and decoded.tst_info.nonce != nonce:
        raise TimestampError("The time stamp answers another request (nonce); ask again.")
    return aware(decoded.tst_info.gen_time)


def verify_timestamp(note: bytes, response: bytes, certificates: bytes) -> datetime:
    """When the note existed at the latest, on the word of a time-stamping authority.

    ``certificates``: PEM with the authority's root and, where the response does not carry them, the certificates
    below it. Raise :class:`TimestampError`.
    """
    from rfc3161_client import VerificationError, VerifierBuilder

    at = check_response(note, response)
    try:
        trusted = x509.load_pem_x509_certificates(certificates)
    except ValueError as error:
        raise TimestampError("Expected the authority's certificates as PEM.") from error
    roots = [item for item in trusted if item.issuer == item.subject]
    if not roots:
        raise TimestampError("Expected a root certificate (issued by itself) among the authority's certificates.")
    verifier = VerifierBuilder(roots=roots, intermediates=[item for item in trusted if item not in roots]).build()
    try:
        verifier.verify_message(decode(response), note)
    except (VerificationError, ValueError) as error:
        raise TimestampError(f"The time stamp is not by a trusted authority: {error}") from error
    return at


def decode(response: bytes) -> TimeStampResponse:
    """Read a response; raise :class:`TimestampError` when it is none or the authority refused."""
    from rfc3161_client import decode_timestamp_response

    try:
        decoded = decode_timestamp_response(response)
        if decoded.status != _GRANTED:
            raise TimestampError(f"The time-stamping authority did not grant the request (status {decoded.status}).")
        _ = decoded.tst_info.gen_time
    except TimestampError:
        raise
    except ValueError as error:
        raise TimestampError("Expected an RFC 3161 response (DER), found something else.") from error
    return decoded


def aware(moment: datetime) -> datetime:
    """In UTC, whatever the library says about zones (RFC 3161 times are UTC)."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
