"""Units, months, costs: the arithmetic of the cost grid, by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from enclave.domain.usage import Asked, Computed, Month, Position, Prices, StorageKind, Usage, cost_of, grid_of, total
from enclave.metering.address import MetricsAddressError, metrics_address
from enclave.metering.prices import NO_PRICES, PricesError, load_prices
from enclave.settings import Settings

NOVEMBER = Month(2026, 11)
GB = 10**9
USAGE = Usage(
    Computed(cpu_ns=90 * 60 * 10**9, memory_byte_seconds=2 * GB * 3600 * 10, memory_peak_bytes=3 * GB, seconds=7200),
    Asked(queries=1234, rows=10, bytes=20, duration_ms=30),
    {StorageKind.HOME: 5 * GB * 86_400 * 15, StorageKind.VAULT: GB * 86_400 * 30},
)


def test_the_months_of_the_calendar() -> None:
    assert Month.parse("2026-11") == NOVEMBER == Month.of(date(2026, 11, 30))
    assert (NOVEMBER.before, NOVEMBER.after.after, Month(2026, 1).before) == (
        Month(2026, 10),
        Month(2027, 1),
        Month(2025, 12),
    )
    assert (NOVEMBER.days, Month(2028, 2).days, str(Month(2026, 3))) == (30, 29, "2026-03")


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-13", "2026-1", "26-01", "2026-11-01", " 2026-11", "2026-11\n", "9999-12", "1999-12"]
)
def test_other_texts_are_no_month(text: str) -> None:
    with pytest.raises(ValueError):
        Month.parse(text)


def test_a_grid_in_the_units_that_are_charged() -> None:
    units = {
        Position.CPU_HOUR: Decimal("0.05"),
        Position.MEMORY_GB_HOUR: Decimal("0.01"),
        Position.STORAGE_GB_MONTH: Decimal("0.10"),
    }
    lines = {line.position: line for line in grid_of(USAGE, NOVEMBER, Prices("EUR", units))}
    assert (lines[Position.CPU_HOUR].quantity, lines[Position.CPU_HOUR].cost) == (Decimal("1.5"), Decimal("0.08"))
    assert (lines[Position.MEMORY_GB_HOUR].quantity, lines[Position.MEMORY_GB_HOUR].cost) == (20, Decimal("0.20"))
    # five GB for half the month and one for all of it
    assert (lines[Position.STORAGE_GB_MONTH].quantity, lines[Position.STORAGE_GB_MONTH].cost) == (
        Decimal("3.5"),
        Decimal("0.35"),
    )
    queries = lines[Position.THOUSAND_QUERIES]
    assert (queries.quantity, queries.price, queries.cost) == (Decimal("1.234"), None, None)
    assert cost_of(lines.values()) == Decimal("0.63")
    assert cost_of(grid_of(USAGE, NOVEMBER, NO_PRICES)) is None
    free = Prices("EUR", {Position.CPU_HOUR: Decimal(0)})
    assert cost_of(grid_of(USAGE, NOVEMBER, free)) == 0  # a price of nothing is a price


def test_days_add_up_and_peaks_do_not() -> None:
    both = total([USAGE, USAGE])
    assert (both.cpu_hours, both.memory_peak_gb, both.asked.queries) == (3, 3, 2468)
    assert both.stored_byte_seconds[StorageKind.VAULT] == 2 * GB * 86_400 * 30


def test_prices_are_read_exactly(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('currency = "CHF"\ncpu-hour = 0.1\nthousand-queries = 2\n')
    prices = load_prices(file)
    assert prices == Prices("CHF", {Position.CPU_HOUR: Decimal("0.1"), Position.THOUSAND_QUERIES: Decimal(2)})
    assert load_prices(None) == NO_PRICES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cpu_hour = 1", "found `cpu_hour`"),
        ("cpu-hour = -1", "not negative"),
        ("cpu-hour = inf", "not negative"),
        ("cpu-hour = nan", "not negative"),
        ('cpu-hour = "1"', "not negative"),
        ("cpu-hour = true", "not negative"),
        ("cpu-hour = [1, 2]", "not negative"),
        ("cpu-hour = 2026-01-01", "not negative"),
        ('currency = "euros"', "three letters"),
        ("= 1", "Expected TOML"),
        (None, "No such file"),
    ],
)
def test_prices_that_are_not_right_are_refused(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "prices.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(PricesError, match=said):
        load_prices(file)


@pytest.mark.parametrize("place", ["127.0.0.1:9464", "[::1]:9464", "127.3.2.1:1"])
def test_figures_are_served_on_this_machine(place: str) -> None:
    assert metrics_address(Settings(metrics=place)) == (place.rpartition(":")[0].strip("[]"), int(place.split(":")[-1]))


@pytest.mark.parametrize(
    "place", ["0.0.0.0:9464", "10.1.2.3:9464", "localhost:9464", "[::]:9464", "9464", "127.0.0.1:", "x"]
)
def test_and_nowhere_else(place: str) -> None:
    with pytest.raises(MetricsAddressError, match="on this machine alone"):
        metrics_address(Settings(metrics=place))


def test_off_and_a_unix_socket() -> None:
    assert metrics_address(Settings(metrics="")) is None
    assert metrics_address(Settings(home=Path("/srv/e"))) == Path("/srv/e/run/metrics.sock")
