"""exports.toml: a full example, and a sentence for each fault."""

from pathlib import Path

import pytest
from records import entry

from audit.exports.config import ConfigError, Filter, load_settings, settings_of
from audit.exports.formats import FormatName

EXAMPLE = """
log = "/srv/log"
state = "/srv/exports"

[site]
name = "Sample hospital"
host = "audit.example.test"
enterprise_number = 12345

[[target]]
name = "siem"
format = "syslog"
to = "syslog+tls://siem.example.test:6514"
ca_file = "/etc/siem-ca.pem"
exclude_types = ["audit:heartbeat"]

[[target]]
name = "repository"
format = "fhir"
to = "https://fhir.example.test/r4"
token_file = "/etc/fhir.token"
types = ["query:*"]
projects = ["p-1"]
batch = 50
timeout_seconds = 3
"""


def base(**target):
    found = {"name": "a", "format": "ocsf", "to": "https://siem.example.test/x", **target}
    return {"log": "/l", "state": "/s", "target": [found]}


def test_a_full_example_is_read(tmp_path):
    (tmp_path / "exports.toml").write_text(EXAMPLE)
    settings = load_settings(tmp_path / "exports.toml")
    siem, repository = settings.targets
    assert (siem.format, siem.tls.ca, siem.resend) == (FormatName.SYSLOG, Path("/etc/siem-ca.pem"), 10_000)
    assert (repository.batch, repository.timeout_seconds, repository.filter.projects) == (50, 3.0, ("p-1",))
    assert settings.site.enterprise_number == 12345


def test_the_example_of_the_documentation_is_read():
    settings = load_settings(Path(__file__).parents[3] / "docs" / "examples" / "exports.toml")
    assert [target.name for target in settings.targets] == ["siem", "fhir"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({**base(), "logs": 1}, "logs: no such setting"),
        (base(batsh=1), "target 1.batsh: no such setting"),
        (base(batch="many"), "target 1.batch: expected a whole number"),
        (base(batch=True), "target 1.batch: expected a whole number"),
        (base(batch=0), "must be above zero"),
        (base(format="cef"), "expected one of fhir, ocsf, syslog, otlp"),
        (base(to="http://siem.example.test/x"), "http:// only to a loopback"),
        (base(to="https://user:secret@siem.example.test/x"), "name a token_file instead"),
        (base(to="syslog+tls://siem.example.test"), "Expected file:PATH"),
        (base(format="syslog", to="syslog+tls://siem.example.test:none"), "with a port number"),
        (base(name="../x"), "letters, digits and hyphens"),
        (base(start="soon"), "expected 'beginning' or 'now'"),
        (base(types=[1]), "target 1.types: expected a list of text"),
        ({"log": "/l", "state": "/s"}, "at least one"),
        ({**base(), "target": base()["target"] * 2}, "a name of its own"),
        ({**base(), "verifier_key": "a+b+c"}, "verifier_key"),
    ],
)
def test_each_fault_has_its_sentence(raw, message):
    with pytest.raises(ConfigError, match=message) as caught:
        settings_of(raw)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("chosen", "wanted"),
    [
        (Filter(), True),
        (Filter(types=("query:*",)), True),
        (Filter(types=("login:*",)), False),
        (Filter(types=("query:*",), exclude_types=("query:intent",)), False),
        (Filter(projects=("p-1",)), True),
        (Filter(projects=("p-2",)), False),
    ],
)
def test_filters_choose_by_type_and_project(chosen, wanted):
    assert chosen.wants(entry("query:intent")) is wanted


def test_a_shown_address_holds_no_query():
    target = settings_of(base(to="https://siem.example.test/in?apikey=hush")).targets[0]
    assert target.shown_address == "https://siem.example.test"
