"""What is paid, from the texts of one event: prices, items and discounts; the rules are at the head of terms.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import msgspec

from flows.facts.values import Properties, currency_in, decimal_of, money_in, present, text_in, whole_in
from schemas.json_text import Wrong, kind_of, members_of, string_of

MONTHS: Final = {
    "day": Fraction(12, 365),
    "week": Fraction(12, 52),
    "month": Fraction(1),
    "year": Fraction(12),
}
"""How many months an interval has."""

QUANTITY: Final = 10**9
ITEMS: Final = 20
INTERVAL_COUNT: Final = 1000
"""Limits: seats, items and intervals (up to)."""

_AS_DISCOUNT: Final = "send what it takes off as discount or discount_percent"
_AS_PERCENT: Final = "send it as discount_percent"
_AS_RESULT: Final = "send the price that comes out as amount with quantity 1, or as items"
_AS_ITEMS: Final = "send them as items, each with its amount and interval"
_WITHOUT: Final = "send the full price that recurs as amount, and leave it out"

_NOT_UNDERSTOOD: Final = {
    **dict.fromkeys(("coupon", "coupons", "coupon_code", "coupon_codes", "promotion_code", "promo_code"), _AS_DISCOUNT),
    **dict.fromkeys(("discount_code", "discounts", "discount_amount", "amount_off"), _AS_DISCOUNT),
    **dict.fromkeys(("discount_percentage", "discount_pct", "discount_rate", "percentage_off"), _AS_PERCENT),
    "discount_type": "send a percentage as discount_percent",
    **dict.fromkeys(("tiers", "tiers_mode", "billing_scheme", "pricing_model"), _AS_RESULT),
    **dict.fromkeys(("transform_quantity", "usage_type"), _AS_RESULT),
    **dict.fromkeys(("addons", "add_ons"), _AS_ITEMS),
    **dict.fromkeys(("proration", "prorations", "proration_amount"), _WITHOUT),
    "trial_amount": "send status trialing until the trial ends, then status active with the full price as amount",
    "tax_inclusive": "send the price without tax as amount",
}
_SPELT_OTHERWISE: Final = {name: f"send it as {name}" for name in ("interval_count", "discount_percent", "percent_off")}
_PLAIN: Final = {
    "discount_type": ("amount", "fixed", "fixed_amount"),
    "billing_scheme": ("per_unit",),
    "pricing_model": ("flat_fee", "per_unit"),
    "usage_type": ("licensed",),
}


def _in_camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


NOT_UNDERSTOOD: Final[Mapping[str, str]] = _NOT_UNDERSTOOD | {
    _in_camel_case(name): advice for name, advice in (_NOT_UNDERSTOOD | _SPELT_OTHERWISE).items() if "_" in name
}
"""Properties that change what is paid and that nothing can be computed from, with what to send in their place.

The names are those of the billing systems (Stripe, Chargebee, Recurly, Paddle) and near misses of those understood, in
snake_case and camelCase. Not among them: taxes and setup fees, which are no recurring revenue, and ids of price lists.
"""
PLAIN: Final[Mapping[str, tuple[str, ...]]] = _PLAIN | {_in_camel_case(name): words for name, words in _PLAIN.items()}
"""Their words for the plain case, which changes nothing; nor do null, false, 0 and whatever is empty."""

PERCENTS: Final = ("discount_percent", "percent_off")
_ITS_OWN_PRICE: Final = ("amount", "interval", "interval_count", "quantity")
_NOT_OF_AN_ITEM: Final = (*PERCENTS, "discount")

_array: Final = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Price:
    """What recurs."""

    amount: Fraction  # as sent, for one
    quantity: int
    months: Fraction  # from one payment to the next


def monthly(prices: Sequence[Price], percent: Fraction, discount: Fraction, unit: Fraction, decimals: int) -> int:
    """Minor units a month of the sum of `prices` less `percent` of it less `discount`, which is as often as the first.

    Amounts and `discount` are in so many major units as `unit` says. Half to even; a discount beyond the price makes
    it 0.
    """
    whole = sum((price.amount * price.quantity / price.months for price in prices), Fraction(0))
    reduced = max(Fraction(0), whole * (100 - percent) / 100 - discount / prices[0].months)
    return int(round(reduced * unit * 10**decimals))  # noqa: RUF046 - mypy knows no int here


def items_in(found: Properties) -> list[msgspec.Raw]:
    """The items, as JSON; Wrong where there are too many, or a price beside them."""
    text = present(found, "items")
    if text is None:
        return []
    if kind_of(text) != "array":
        raise Wrong("bad_type", f"$.properties.items: expected array, got {kind_of(text)}")
    items = _array.decode(text)
    if len(items) > ITEMS:
        raise Wrong("bad_property", f"$.properties.items: expected at most {ITEMS}, got {len(items)}")
    for name in _ITS_OWN_PRICE if items else ():
        if present(found, name) is not None:
            raise Wrong("bad_property", f"$.properties.{name}: beside items; send the price in the items, or no items")
    return items


def item_in(item: msgspec.Raw, place: str, paying: bool, currency: str) -> Price | None:
    """The price of one item; None as of `price_in`."""
    text = bytes(item)
    if kind_of(text) != "object":
        raise Wrong("bad_type", f"$.properties.{place}: expected object, got {kind_of(text)}")
    members, at = members_of(text), f"{place}."
    currency_in(members, "currency", currency, at=at)
    if paying:
        for name in _NOT_OF_AN_ITEM:
            if not _says_nothing(present(members, name)):
                raise Wrong("bad_property", f"$.properties.{at}{name}: off an item; send the item's amount less that")
        refuse_what_is_not_understood(members, at)
    return price_in(money_in(members, "amount", paying, at), members, paying, at)


def price_in(amount: Fraction | None, found: Properties, paying: bool, at: str = "") -> Price | None:
    """None where amount or interval are missing, which they may while nobody pays."""
    interval = text_in(found, "interval", paying, at)
    if interval is not None and interval.lower() not in MONTHS:
        raise Wrong("bad_property", f"$.properties.{at}interval: expected one of {' '.join(MONTHS)}, got another")
    interval_count = whole_in(found, "interval_count", 1, 1, INTERVAL_COUNT, at)
    quantity = whole_in(found, "quantity", 1, 0, QUANTITY, at)
    if amount is None or interval is None:
        return None
    return Price(amount, quantity, MONTHS[interval.lower()] * interval_count)


def plan_of(item: msgspec.Raw) -> bytes | None:
    """The plan that an item names."""
    plan = present(members_of(bytes(item)), "plan")
    return None if plan == b'""' else plan


def percent_in(found: Properties) -> Fraction:
    """The discount in percent, under either of its names."""
    percents = [(name, money_in(found, name)) for name in PERCENTS]
    said = [(name, percent) for name, percent in percents if percent is not None]
    for name, percent in said:
        if percent > 100:
            raise Wrong("bad_property", f"$.properties.{name}: expected a percentage from 0 to 100")
    if len(said) > 1:
        raise Wrong("bad_property", f"$.properties.{PERCENTS[1]}: beside {PERCENTS[0]}; send one of them")
    return said[0][1] if said else Fraction(0)


def refuse_what_is_not_understood(found: Properties, at: str = "") -> None:
    """Wrong where a property changes the price in a way that nothing can be computed from."""
    for name, advice in NOT_UNDERSTOOD.items():
        if name in found:
            text = present(found, name)
            if (
                text is None
                or _says_nothing(text)
                or (text[:1] == b'"' and string_of(text).lower() in PLAIN.get(name, ()))
            ):
                continue
            raise Wrong("bad_property", f"$.properties.{at}{name}: changes the price; {advice}")


def _says_nothing(text: bytes | None) -> bool:
    """Whether a value is null, false, 0, or empty."""
    if text is None:
        return True
    kind = kind_of(text)
    if kind == "array":
        return not _array.decode(text)
    if kind == "object":
        return not members_of(text)
    if kind == "bool":
        return text == b"false"
    plain = string_of(text) if kind == "str" else text.decode()
    return not plain or decimal_of(plain) == 0
