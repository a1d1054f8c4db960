"""Names of settings, so that none is passed over because it is misspelt (ADR 37). SATRE 2.4.03.

Contract: a name in ``enclave.toml`` that no setting has stops whatever would read it. In the environment the prefix
``ENCLAVE_`` is also used by clients, workspaces and tests, and a container platform adds names of its own; there a
name that nobody knows is said, at the start and by ``enclave doctor``, and stops nothing. Non-goal: values, whose
types ``enclave.settings`` checks.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, TomlConfigSettingsSource

from enclave.domain.decisions import RefusedError

PREFIX = "ENCLAVE_"
NOT_SETTINGS = frozenset(
    PREFIX + name
    for name in (
        "CONFIG",  # where the file is
        "SHOWN_PASSPHRASE",
        *("TOKEN_FILE", "GATEWAY", "DASK_GATEWAY", "BASE_URL", "USERNAME", "IPC", "TERMINALS"),  # in a workspace
        *("LISTEN_FD", "HOST_FD"),  # from a parent to its child
        *("TEST_PORTS", "SCREENSHOTS", "E2E_INFO"),
    )
)
"""Environment variables with the prefix that are no settings; a test compares them with the code."""


@dataclass(frozen=True)
class UnknownName:
    """A name that no setting has, and the one that may be meant, empty when none is near."""

    name: str
    meant: str


def find_unknown(names: Iterable[str], known: Collection[str]) -> tuple[UnknownName, ...]:
    """Those of ``names`` that no setting has. ``known``: names of settings as in ``enclave.toml``."""
    return tuple(UnknownName(name, _nearest(name, known)) for name in sorted(set(names) - set(known)))


def find_unknown_variables(environment: Mapping[str, str], known: Collection[str]) -> tuple[UnknownName, ...]:
    """Variables with our prefix that are neither a setting, in whatever case, nor anything else of ours."""
    ours = (name for name in environment if name.upper().startswith(PREFIX) and name.upper() not in NOT_SETTINGS)
    variables = {f"{PREFIX}{name.upper()}" for name in known}
    unknown = sorted(name for name in ours if name.upper() not in variables)
    near = ((name, _nearest(name, known)) for name in unknown)
    return tuple(UnknownName(name, meant and f"{PREFIX}{meant.upper()}") for name, meant in near)


def _nearest(name: str, known: Collection[str]) -> str:
    plain = name.lower().replace("-", "_").removeprefix(PREFIX.lower())
    begun = [setting for setting in known if setting.startswith(plain)]
    return begun[0] if len(begun) == 1 else next(iter(get_close_matches(plain, sorted(known), 1, 0.75)), "")


class SettingsFile(TomlConfigSettingsSource):
    """``enclave.toml`` as a source of settings. Raises RefusedError when a name in it is not a setting's.

    ``is_named``: somebody said that this is the file, so it has to be there.
    """

    def __init__(self, settings_class: type[BaseSettings], file: Path, *, is_named: bool) -> None:
        self._file = file.absolute()
        if is_named and not file.is_file():
            raise RefusedError(
                f"Expected the settings in {self._file}, which ENCLAVE_CONFIG names, found no file there. Correct the "
                "path, or unset ENCLAVE_CONFIG."
            )
        super().__init__(settings_class, toml_file=file)
        check_names(self._file, self.toml_data, settings_class.model_fields)

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        try:
            return super()._read_file(file_path)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RefusedError(f"Expected TOML in {self._file}, found something else: {error}. Correct it.") from error


def check_names(file: Path, names: Iterable[str], known: Collection[str]) -> None:
    """Raise RefusedError, a sentence for each name in ``file`` that no setting has."""
    if unknown := find_unknown(names, known):
        raise RefusedError(*(_sentence(file, found) for found in unknown))


def _sentence(file: Path, found: UnknownName) -> str:
    remedy = f"Did you mean {found.meant}? " if found.meant else ""
    return (
        f"Expected names of settings in {file}, found {found.name}, which is none. {remedy}"
        "All of them are in docs/reference/processes.md."
    )
