"""Money in exact fractions: decimals as written, and what a subscription is worth a month in minor units."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction

MONTHS = {"day": Fraction(12, 365), "week": Fraction(12, 52), "month": Fraction(1), "year": Fraction(12)}
"""In one interval. METRICS.md 3.6: "per month (year / 12, week x 52 / 12, day x 365 / 12"."""
INTERVALS = tuple(MONTHS)
LARGEST_MONEY = 10**15  # major units; is one too many
CHARACTERS, DECIMALS = 50, 30
DECIMAL = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


def decimal_of(text: str) -> Fraction | None:
    """The amount that a text is, exactly; None: it is none, "0 <= x < 10^15, at most 50 characters and 30
    decimals".
    """
    if len(text) > CHARACTERS or DECIMAL.fullmatch(text) is None:
        return None
    try:
        decimal = Decimal(text)
    except InvalidOperation:  # an exponent of many digits
        return None
    if decimal == 0:
        return Fraction(0)
    exponent = decimal.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -DECIMALS or not 0 < decimal < LARGEST_MONEY:
        return None
    return Fraction(decimal)


def monthly_minor_units(
    amount: Fraction,
    quantity: int,
    discount: Fraction,
    interval: str,
    interval_count: int,
    decimals: int,
    percent: Fraction = Fraction(0),
) -> int:
    """METRICS.md 3.6: "amount x quantity - discount, per month ... half-even to the minor unit"; rounded once.

    `amount` and `discount` are major units per `interval_count` intervals, of a currency with so many `decimals`. A
    discount that is larger than the price makes it free, not negative. EVENTS.md: `percent` is "of amount x quantity,
    taken before `discount`".
    """
    every = MONTHS[interval] * interval_count
    return monthly_minor_units_of([(amount, quantity, every)], percent, discount / every, decimals)


def monthly_minor_units_of(
    items: list[tuple[Fraction, int, Fraction]], percent: Fraction, discount_a_month: Fraction, decimals: int
) -> int:
    """The same of items, each an amount, a quantity and a number of months: EVENTS.md has "their sum"."""
    price = sum((amount * quantity / months for amount, quantity, months in items), Fraction(0))
    price = max(Fraction(0), price * (100 - percent) / 100 - discount_a_month)
    scale: int = 10**decimals
    return round(price * scale)  # a Fraction rounds half to even
