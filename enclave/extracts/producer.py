"""The data producer's side: registered data sets, opt-outs and pseudonym keys, all under ``producer/``.

Keys that re-identify never enter the enclave (DESIGN.md, invariant 5): ``keys/<domain>.key`` holds 32 random bytes,
mode 0600, and is read by the extract builder alone. ``python -m enclave.extracts.producer --key DOMAIN`` creates one.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import secrets
import stat
import sys
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from enclave.domain.decisions import RefusedError
from enclave.extracts.plan import PersonKind
from enclave.extracts.pseudonyms import KEY_BYTES
from enclave.extracts.source_schema import is_postgres
from enclave.files import write_atomically
from enclave.settings import Settings, get_settings


class ProducerError(RefusedError):
    """Something on the producer's side is missing or unsafe."""


@dataclass(frozen=True)
class Dataset:
    """A registered data set. ``source`` is an absolute path or a ``postgresql://`` URL."""

    name: str
    version: str
    source: str
    opt_outs: Path | None
    """CSV with one column: person ids (EHDS art. 71, right to opt out)."""
    identities: Path | None
    """Who the people are; never read by the builder."""

    @property
    def source_path(self) -> Path | None:
        """The source's place on disk, or None for a database."""
        return None if is_postgres(self.source) else Path(self.source)


def dataset_file(settings: Settings, name: str) -> Path:
    """``producer/datasets/<name>.yaml``."""
    return settings.producer_dir / "datasets" / f"{name}.yaml"


def key_file(settings: Settings, domain: str) -> Path:
    """``producer/keys/<domain>.key``."""
    return settings.producer_dir / "keys" / f"{domain}.key"


def register_dataset(
    settings: Settings, name: str, version: str, source: str, opt_outs: Path | None, identities: Path | None
) -> Dataset:
    """Write the registration (mode 0600: a URL may hold a password), replacing an older one."""
    location = source if is_postgres(source) else str(Path(source).absolute())
    content = {
        "name": name,
        "version": version,
        "source": location,
        "opt_outs": str(opt_outs.absolute()) if opt_outs else None,
        "identities": str(identities.absolute()) if identities else None,
    }
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(content, text)
    _write_private(dataset_file(settings, name), text.getvalue().encode())
    return read_dataset(settings, name)


def read_dataset(settings: Settings, name: str) -> Dataset:
    """The registration of a data set. Raises ProducerError."""
    content = _read(
        dataset_file(settings, name), f"a registration of the data set {name}", "Register the data set first."
    )
    try:
        found = YAML(typ="safe", pure=True).load(content)
        opt_outs, identities = found["opt_outs"], found["identities"]
        return Dataset(
            name=str(found["name"]),
            version=str(found["version"]),
            source=str(found["source"]),
            opt_outs=Path(opt_outs) if opt_outs else None,
            identities=Path(identities) if identities else None,
        )
    except (YAMLError, KeyError, TypeError) as error:
        raise ProducerError(
            f"Expected name, version, source, opt_outs and identities in the registration of {name}, "
            f"found a file without them ({type(error).__name__}). Register the data set again."
        ) from None


def ensure_pseudonym_key(settings: Settings, domain: str) -> None:
    """Create the key of a pseudonym domain when there is none; an existing key is never replaced."""
    if not key_file(settings, domain).exists():
        _write_private(key_file(settings, domain), secrets.token_bytes(KEY_BYTES))


def read_pseudonym_key(settings: Settings, domain: str) -> bytes:
    """The key of a pseudonym domain. Raises ProducerError when missing, readable by others or of another length."""
    path = key_file(settings, domain)
    advice = "Restore it from the producer's backup; only for a new domain create one."
    key = _read(path, f"a pseudonym key of the domain {domain}", advice)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ProducerError(
            f"Expected mode 0600 on the pseudonym key of {domain}, found {mode:04o}. Mend it with chmod 600."
        )
    if len(key) != KEY_BYTES:
        raise ProducerError(f"Expected {KEY_BYTES} bytes in the pseudonym key of {domain}, found {len(key)}. {advice}")
    return key


def read_opt_outs(path: Path | None, kind: PersonKind) -> frozenset[str]:
    """Canonical person ids of everybody who opted out. An entry that is no id of ``kind`` refuses the whole list:
    silently skipping it would put a person into the extract who said no."""
    if path is None:
        return frozenset()
    advice = "Restore the list; an extract without it could hold people who opted out."
    text = _read(path, f"the opt-out list {path.name}", advice)
    rows = [row for row in csv.reader(io.StringIO(text.decode("utf-8-sig", errors="replace"))) if any(row)]
    if not rows or any(len(row) != 1 for row in rows):
        raise ProducerError(f"Expected one column with a header in {path.name}, found another form. {advice}")
    found = set()
    for number, row in enumerate(rows[1:], start=2):
        person = canonical_person(row[0], kind)
        if person is None:
            raise ProducerError(
                f"Expected a person id ({kind}) in entry {number} of {path.name}, found something else. {advice}"
            )
        found.add(person)
    return frozenset(found)


def canonical_person(text: str, kind: PersonKind) -> str | None:
    """A person id as DuckDB writes it, or None when it is no id of that kind."""
    stripped = text.strip()
    try:
        match kind:
            case PersonKind.INTEGER:
                return str(int(stripped)) if "_" not in stripped else None
            case PersonKind.UUID:
                return str(uuid.UUID(stripped))
            case PersonKind.TEXT:
                return stripped or None
    except ValueError:
        return None


def write_opt_outs(settings: Settings, name: str, people: Iterable[str]) -> Path:
    """``producer/opt-outs/<name>.csv``; returns its path."""
    path = settings.producer_dir / "opt-outs" / f"{name}.csv"
    _write_private(path, "\n".join(["person_id", *people, ""]).encode())
    return path


def write_identities(settings: Settings, name: str, lines: Iterable[Iterable[str]]) -> Path:
    """``producer/identities/<name>.csv`` with a header as the first line; returns its path."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    path = settings.producer_dir / "identities" / f"{name}.csv"
    _write_private(path, text.getvalue().encode())
    return path


def _write_private(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(path, content, mode=0o600)


def _read(path: Path, what: str, advice: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ProducerError(f"Expected {what}, found: {os.strerror(error.errno or 0)}. {advice}") from None


def main() -> int:
    """Create a pseudonym key; run in a sandbox that can write ``producer/keys`` and nothing else."""
    parser = argparse.ArgumentParser(description="Create the pseudonym key of a domain unless there is one.")
    parser.add_argument("--key", required=True, metavar="DOMAIN")
    ensure_pseudonym_key(get_settings(), parser.parse_args().key)
    return 0


if __name__ == "__main__":
    sys.exit(main())
