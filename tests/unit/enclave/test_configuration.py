"""A misspelt setting is not passed over, nobody sends passwords in clear by accident, and serve says so at once."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import structlog

from enclave.before_start import check_before_start, warn_of_unknown_variables
from enclave.cli import doctor, serve
from enclave.configuration import NOT_SETTINGS, UnknownName, find_unknown_variables
from enclave.domain.decisions import RefusedError
from enclave.edge.tls import TlsError, check_listener
from enclave.settings import REPOSITORY, Settings

KNOWN = Settings.model_fields


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('hospitl = "House"\n', ["found hospitl, which is none. Did you mean hospital?"]),
        ("ENCLAVE_PORT = 8001\n", ["found ENCLAVE_PORT, which is none. Did you mean port?"]),
        ("edge-tls-key = 1\nport = 8001\n", ["found edge-tls-key, which is none. Did you mean edge_tls_key?"]),
        ("[edge]\nport = 8001\n[zzz]\n", ["found edge, which is none. All", "found zzz, which is none. All"]),
        ("port = \n", ["Expected TOML in"]),
    ],
)
def test_a_file_with_a_name_that_is_no_setting_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: list[str]
) -> None:
    file = tmp_path / "enclave.toml"
    file.write_text(text)
    monkeypatch.setenv("ENCLAVE_CONFIG", str(file))
    with pytest.raises(RefusedError) as refused:
        Settings()
    assert len(refused.value.reasons) == len(said)
    assert all(part in reason and str(file) in reason for part, reason in zip(said, refused.value.reasons, strict=True))


def test_a_file_that_is_named_has_to_be_there_and_one_that_is_not_named_has_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ENCLAVE_CONFIG", raising=False)
    assert Settings().port == KNOWN["port"].default
    monkeypatch.setenv("ENCLAVE_CONFIG", "enclave.tom")
    with pytest.raises(RefusedError, match=r"found no file there"):
        Settings()
    (tmp_path / "enclave.tom").write_text('port = 8001\nhospital = "House"\n')
    assert (Settings().port, Settings().hospital) == (8001, "House")


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"ENCLAVE_HOST": "a", "enclave_port": "1", "ENCLAVE_TOKEN_FILE": "x", "PATH": "/"}, []),
        ({"ENCLAVE_SHEME": "https"}, [("ENCLAVE_SHEME", "ENCLAVE_SCHEME")]),
        ({"ENCLAVE_EDGE_TLS_CERT": "x"}, [("ENCLAVE_EDGE_TLS_CERT", "ENCLAVE_EDGE_TLS_CERTIFICATE")]),
        ({"ENCLAVE_PORT_8000_TCP_ADDR": "10.0.0.1"}, [("ENCLAVE_PORT_8000_TCP_ADDR", "")]),
    ],
)
def test_what_nobody_reads_in_the_environment(environment: dict[str, str], found: list[tuple[str, str]]) -> None:
    assert find_unknown_variables(environment, KNOWN) == tuple(UnknownName(*pair) for pair in found)


def test_the_start_and_the_doctor_say_what_nobody_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "environ", {"ENCLAVE_SHEME": "a-value", "ENCLAVE_PORT_8000_TCP_ADDR": "a-value"})
    with structlog.testing.capture_logs() as logs:
        warn_of_unknown_variables()
    assert [(line["name"], line["meant"]) for line in logs] == [
        ("ENCLAVE_PORT_8000_TCP_ADDR", ""),
        ("ENCLAVE_SHEME", "ENCLAVE_SCHEME"),
    ]
    monkeypatch.setattr(doctor, "CHECKS", (doctor._variables,))
    monkeypatch.setattr(doctor, "get_settings", Settings.model_construct)
    with pytest.raises(SystemExit, match="1"):
        doctor.doctor()
    said = capsys.readouterr().out
    assert "ENCLAVE_SHEME (did you mean ENCLAVE_SCHEME?)" in said
    assert "note     ENCLAVE_PORT_8000_TCP_ADDR" in said
    assert "a-value" not in said + str(logs)


_NAME = re.compile(r"\bENCLAVE_[A-Z0-9_]*[A-Z0-9]\b(?!_)")
_PLACES = ("enclave", "audit", "egress_review", "workspace_images", "scripts", "docs", "benchmarks", "Makefile")
_EXAMPLES = {"ENCLAVE_TCP", "ENCLAVE_MARKER"}
"""Of docs/clients.md, a variable of the reader's own script; a text in the table of SQL attacks."""


def test_every_variable_in_code_and_docs_is_a_setting_or_known_as_something_else() -> None:
    settings = {f"ENCLAVE_{name.upper()}" for name in KNOWN}
    files = [path for place in _PLACES for path in [REPOSITORY / place, *(REPOSITORY / place).rglob("*")]]
    named: dict[str, set[str]] = {}
    for path in files:
        if path.is_file() and path.suffix in ("", ".py", ".md", ".R", ".toml", ".js", ".service"):
            for name in _NAME.findall(path.read_text(encoding="utf-8", errors="replace")):
                named.setdefault(name, set()).add(path.name)
    unknown = {name: paths for name, paths in named.items() if name not in settings | NOT_SETTINGS | _EXAMPLES}
    assert unknown == {}
    assert NOT_SETTINGS - set(named) <= {"ENCLAVE_TEST_PORTS", "ENCLAVE_E2E_INFO"}  # those of tests/ alone


BEYOND = [
    ({"host": "0.0.0.0"}, True),
    ({"host": "::"}, True),
    ({"host": ""}, True),
    ({"host": "10.1.2.3"}, True),
    ({"host": "portal.localhost"}, True),  # a name may be any machine's
    ({"host": "0.0.0.0", "scheme": "https"}, False),  # a terminator of the site's
    ({"host": "0.0.0.0", "passwords_in_clear_over_the_network": True}, False),
    ({"host": "127.0.0.1"}, False),
    ({"host": "127.8.8.8"}, False),
    ({"host": "::1"}, False),
    ({"host": "localhost"}, False),
]


@pytest.mark.parametrize(("given", "is_refused"), BEYOND)
def test_plain_http_beyond_this_machine_is_for_who_asks_for_it(given: dict[str, Any], is_refused: bool) -> None:
    settings = Settings(**given)
    try:
        check_listener(settings)
    except TlsError as error:
        assert is_refused
        assert "in clear" in str(error)
    else:
        assert not is_refused
    assert bool(doctor._edge(settings).problem) == is_refused


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"host": "0.0.0.0"}, "in clear"),
        ({"edge_tls_key": Path("/k.pem")}, "ENCLAVE_EDGE_TLS_CERTIFICATE"),
        ({"database_url": "postgresql://db/portal?sslmod=require"}, "sslmod"),
    ],
)
def test_serve_refuses_before_it_makes_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], said: str
) -> None:
    settings = Settings(home=tmp_path / "home", **given)
    monkeypatch.setattr(serve, "configure", lambda process: None)
    monkeypatch.setattr(serve, "get_settings", lambda: settings)
    with pytest.raises(RefusedError, match=said):
        serve.serve()
    assert not settings.root.exists()
    check_before_start(Settings(home=tmp_path))


def test_the_doctor_reads_the_database_address() -> None:
    assert "sslmod" in doctor._database(Settings(database_url="postgresql://db/portal?sslmod=require")).problem
    assert doctor._database(Settings(database_url="postgresql://db/portal?sslmode=verify-full")).problem == ""
