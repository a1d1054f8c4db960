"""The site's prices: a TOML file that ``settings.usage_prices`` names.

    currency = "EUR"
    cpu-hour = 0.04
    memory-gb-hour = 0.006
    storage-gb-month = 0.05
    thousand-queries = 0.10

A position that is left out has no price. Anything else in the file is refused: a misspelt price must not count as none.
"""

from __future__ import annotations

import tomllib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from enclave.domain.usage import Position, Prices

NO_PRICES = Prices()


class PricesError(Exception):
    """The file cannot be used; the sentence says what is wrong with it."""


def load_prices(file: Path | None) -> Prices:
    """Raises PricesError."""
    if file is None:
        return NO_PRICES
    try:
        content = tomllib.loads(file.read_text(), parse_float=Decimal)
    except OSError as error:
        raise PricesError(
            f"Expected the prices in {file.name}, found {error.strerror}. Put the file there, or take "
            "`usage_prices` out of the settings."
        ) from error
    except (UnicodeDecodeError, ValueError) as error:  # TOMLDecodeError is a ValueError
        raise PricesError(f"Expected TOML in {file.name}, found other text. Compare it with docs/admin.md.") from error
    currency = content.pop("currency", NO_PRICES.currency)
    if not isinstance(currency, str) or not (currency.isascii() and currency.isupper() and len(currency) == 3):
        raise PricesError('Expected a currency of three letters such as "EUR". Change `currency`.')
    return Prices(currency, dict(_price(name, value) for name, value in content.items()))


def _price(name: str, value: Any) -> tuple[Position, Decimal]:
    if name not in set(Position):
        names = ", ".join(Position)
        raise PricesError(f"Expected prices named {names}, found `{name[:40]}`. Change or remove that line.")
    try:
        price = None if isinstance(value, (bool, str)) else Decimal(value)
    except (InvalidOperation, TypeError, ValueError):
        price = None
    if price is None or not price.is_finite() or price < 0:
        raise PricesError(f"Expected a number that is not negative for `{name}`. Change that line.")
    return Position(name), price
