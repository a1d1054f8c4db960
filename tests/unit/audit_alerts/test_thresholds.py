"""Thresholds: the shipped file, a site's own keys, and every way to write them wrongly."""

from dataclasses import fields
from datetime import time
from zoneinfo import ZoneInfo

import pytest

from audit.alerts.describe import threshold_rows
from audit.alerts.rules import RULES
from audit.alerts.thresholds import Thresholds, ThresholdsError, load_thresholds, parse_thresholds


def test_as_shipped(thresholds):
    assert thresholds.site.small_count == 11
    assert thresholds.site.time_zone == ZoneInfo("Europe/Paris")
    assert thresholds.off_hours.opens == time(7)
    assert thresholds.mass_extraction.factor == 10


def test_every_rule_has_a_section_and_every_key_a_comment(thresholds):
    sections = [kind.name.replace("_", "-") for kind in fields(Thresholds)]
    assert sections == ["site", *[rule.id for rule in RULES]]
    for section in sections:
        rows = threshold_rows(section, thresholds)
        assert len(rows) == len(fields(getattr(thresholds, section.replace("-", "_"))))
        assert all(len(comment) > 20 for _, _, comment in rows)


def test_a_site_overrides_key_by_key(tmp_path, thresholds):
    file = tmp_path / "own.toml"
    file.write_text(
        '[site]\ntime_zone = "Indian/Reunion"\nsmall_count_by_project = {"p-1" = 5}\n[differencing]\nhours = 8'
    )
    own = load_thresholds(file)
    assert own.site.time_zone == ZoneInfo("Indian/Reunion")
    assert own.site.small_count_by_project == {"p-1": 5}
    assert own.differencing.hours == 8
    assert own.site.small_count == thresholds.site.small_count
    assert own.off_hours == thresholds.off_hours


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[mass-extractions]\nfactor = 3", "mass-extractions"),
        ("[mass-extraction]\nfaktor = 3", "mass-extraction.faktor"),
        ("[mass-extraction]\nfactor = 3.5", "mass-extraction.factor"),
        ("[mass-extraction]\nfactor = true", "mass-extraction.factor"),
        ("[mass-extraction]\nfactor = 0", "mass-extraction.factor"),
        ("[mass-extraction]\nfactor = '3'", "mass-extraction.factor"),
        ("[mass-extraction]\nfloor_rows = 9007199254740993", "mass-extraction.floor_rows"),
        ("site = 3", "site"),
        ("[site]\ntime_zone = 'Europe/Atlantis'", "site.time_zone"),
        ("[site]\ntime_zone = '../etc/passwd'", "site.time_zone"),
        ("[site]\ntime_zone = ''", "site.time_zone"),
        ("[site]\ntime_zone = 1", "site.time_zone"),
        ("[site]\nsmall_count_by_project = 11", "site.small_count_by_project"),
        ("[site.small_count_by_project]\nheart = 'five'", "site.small_count_by_project.heart"),
        ("[off-hours]\nopens = '7 o clock'", "off-hours.opens"),
        ("[off-hours]\nopens = 07:00:00", "off-hours.opens"),
        ("[off-hours]\nopens = '21:00'", "off-hours.closes"),
        ("[off-hours]\nweekdays = ['monday']", "off-hours.weekdays"),
        ("[off-hours]\nweekdays = ['mon', 'mon']", "off-hours.weekdays"),
        ("[off-hours]\nweekdays = 'mon'", "off-hours.weekdays"),
        ("[off-hours]\nweekdays = [['mon']]", "off-hours.weekdays"),
        ("not toml", "TOML"),
    ],
)
def test_what_is_wrong_is_named(text, named):
    with pytest.raises(ThresholdsError, match=named.replace(".", r"\.")):
        parse_thresholds(text)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ThresholdsError, match=r"none\.toml"):
        load_thresholds(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ThresholdsError, match=r"binary\.toml"):
        load_thresholds(tmp_path / "binary.toml")
