"""Setting the archive's key: the private half leaves, the public half stays, and both are on record first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as replaced
from pathlib import Path

from audit.event import AuditEvent
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.files import write_atomically
from enclave.settings import Settings
from enclave.shown.sealing import fingerprint, make_key, read_public_key


def set_key(
    settings: Settings,
    record: Callable[[AuditEvent], object],
    out: Path,
    passphrase: bytes | None,
    *,
    replace: bool = False,
) -> str:
    """Write the private half to ``out``; the new key's fingerprint. Raises RefusedError, AuditUnavailable, OSError."""
    if settings.shown_key.exists() and not replace:
        raise RefusedError("There is a key already. Add --replace, and keep the old private key for what it sealed.")
    if out.exists():
        raise RefusedError(f"Expected no file at {out.name}, found one. Name another.")
    private, public = make_key(passphrase)
    write_atomically(out, private, mode=0o600)
    made = settings.shown_key.with_suffix(".new")
    try:
        write_atomically(made, public)
        name = fingerprint(read_public_key(made))
        event = AuditEvent(type=EventType.SHOWN_ARCHIVE_KEY_SET, actor="system:cli", data={"key": name})
        record(event)
        try:
            made.rename(settings.shown_key)
        except OSError:
            record(replaced(event, type=EventType.ACTION_FAILED, data={**event.data, "event": event.type}))
            raise
    except BaseException:
        made.unlink(missing_ok=True)
        out.unlink()
        raise
    return name
