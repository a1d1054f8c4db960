"""Filters for quantities and money: in the reader's notation, and never a nought for something that was used."""

from __future__ import annotations

from decimal import Decimal

from django import template
from django.utils.formats import number_format
from django.utils.translation import get_language

register = template.Library()
_HUNDREDTH = Decimal("0.01")


@register.filter
def quantity(value: Decimal | int) -> str:
    """Two decimals, thousands apart; ``< 0.01`` for less than that. Whole numbers stay whole."""
    if isinstance(value, int):
        return _number(value, 0)
    return f"< {_number(_HUNDREDTH, 2)}" if 0 < value < _HUNDREDTH else _number(value, 2)


@register.filter
def unit_price(value: Decimal, currency: str) -> str:
    """Money with all the decimals it has, at least two."""
    exponent = value.normalize().as_tuple().exponent
    return _with_sign(_number(value, max(2, -exponent if isinstance(exponent, int) else 2)), currency)


@register.filter
def money(value: Decimal, currency: str) -> str:
    """``EUR 1,234.50`` or ``1 234,50 EUR``; the currency's own sign for euros, pounds and dollars."""
    return _with_sign(_number(value, 2), currency)


def _with_sign(amount: str, currency: str) -> str:
    sign = _SIGNS.get(currency, currency)
    if (get_language() or "en").startswith("fr"):
        return f"{amount} {sign}"
    return f"{sign}{amount}" if sign != currency else f"{currency} {amount}"


_SIGNS = {"EUR": "€", "GBP": "£", "USD": "$"}


def _number(value: Decimal | int, decimals: int) -> str:
    # A space that does not break where the language's own would.
    return number_format(value, decimals, use_l10n=True, force_grouping=True).replace(" ", "\u202f")
