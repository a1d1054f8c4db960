"""Encrypted payloads: readable with the key, gone without it, tied to their leaf."""

from datetime import UTC, datetime

import pytest

from audit.payloads import PayloadError, PayloadVault, commit, key_name

AT = datetime(2026, 11, 21, 23, 0, tzinfo=UTC)


def test_seal_and_open(tmp_path):
    sealed = PayloadVault(tmp_path).seal(b'{"sql":"secret literal"}', "p-1", AT)
    assert b"secret" not in sealed.blob
    assert PayloadVault(tmp_path).open(sealed.blob, sealed.commitment) == b'{"sql":"secret literal"}'
    assert (tmp_path / "2026-11" / "p-p-1.key").stat().st_mode & 0o777 == 0o600


def test_equal_payloads_have_different_commitments(tmp_path):
    vault = PayloadVault(tmp_path)
    assert vault.seal(b"same", "p", AT).commitment != vault.seal(b"same", "p", AT).commitment
    assert commit(b"s", b"p") != commit(b"t", b"p")


def test_every_changed_byte_is_noticed(tmp_path):
    vault = PayloadVault(tmp_path)
    sealed = vault.seal(b"payload", "p", AT)
    for offset in range(len(sealed.blob)):
        changed = bytearray(sealed.blob)
        changed[offset] ^= 1
        with pytest.raises(PayloadError):
            vault.open(bytes(changed), sealed.commitment)
    with pytest.raises(PayloadError):
        vault.open(sealed.blob, bytes(32))


def test_deleting_the_key_erases_at_once_and_only_that_project(tmp_path):
    vault = PayloadVault(tmp_path)
    one, two = vault.seal(b"one", "p-1", AT), vault.seal(b"two", "p-2", AT)
    (tmp_path / "2026-11" / "p-p-1.key").unlink()
    with pytest.raises(PayloadError, match="was erased"):
        vault.open(one.blob, one.commitment)
    assert vault.open(two.blob, two.commitment) == b"two"


def test_a_new_key_after_erasure_does_not_open_old_payloads(tmp_path):
    vault = PayloadVault(tmp_path)
    old = vault.seal(b"old", "p-1", AT)
    (tmp_path / "2026-11" / "p-p-1.key").unlink()
    new = vault.seal(b"new", "p-1", AT)
    assert vault.open(new.blob, new.commitment) == b"new"
    with pytest.raises(PayloadError):
        vault.open(old.blob, old.commitment)


@pytest.mark.parametrize(
    ("project", "name"),
    [(None, "none"), ("heart-2026", "p-heart-2026"), ("../../etc", None), ("Ünï", None), ("", None)],
)
def test_key_names_never_leave_their_folder(project, name):
    found = key_name(project, AT)
    assert found.startswith("2026-11/")
    assert found.count("/") == 1
    assert found == f"2026-11/{name}" if name else found.startswith("2026-11/h-")
