"""What a subscription costs: its status, plan and price, from the texts of one event to minor units a month.

    status            one of STATUSES in any case, `canceled`, or a word of the config; absent or null: the one that the
                      config gives to the event's name; needed where it gives none
    plan              compared as a slug; absent, null or empty: unknown; an object or array: other
    currency          the reporting currency, in any case; another: unsupported_currency
    NOT_UNDERSTOOD    nothing that changes the price, while the status is active or past_due
    items             array of at most 20 objects, each with amount, interval, interval_count, quantity and plan as
                      here, and then none of the first four beside them; an empty one is none
    amount, discount  decimal as str or number, 0 <= x < 10^15, at most 50 characters and 30 decimals; beside items of
                      several intervals no discount
    discount_percent  the same up to 100, or percent_off in its place, not both
    interval          day week month year, in any case
    interval_count    whole number (3.0 is one), 1..1000, default 1
    quantity          whole number, 0..10^9, default 1

currency, and amount and interval (of each item), are needed where the status is active or past_due (nobody pays
otherwise), and looked at where they are there. The first in this order that is wrong is named (discount after
discount_percent). An MRR of 10^15 minor units or more is a bad_property of the amount or the items. The plan is that of
the first item, else the state's own. Money is computed in exact fractions and rounded once, half to even.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import msgspec

from flows.facts.field import Line, Said, Sample
from flows.facts.values import (
    MAJOR_UNITS,
    MINOR_UNITS,
    Properties,
    currency_in,
    decimal_of,
    money_in,
    present,
    text_in,
    whole_in,
)
from flows.facts.words import label_code
from schemas.json_schema import DECIMAL_TEXT
from schemas.json_text import Wrong, kind_of, members_of, scalar_text, string_of

STATUSES: Final = ("trialing", "active", "past_due", "paused", "cancelled", "expired")
PAYING: Final = ("active", "past_due")
OTHER_SPELLINGS: Final = {"canceled": "cancelled"}

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


class Looked(msgspec.Struct, frozen=True, gc=False):
    """The terms of one state, each right by itself."""

    status: str  # one of STATUSES
    plan: bytes | None  # JSON text
    prices: list[Price]
    percent: Fraction
    discount: Fraction
    of_items: bool


@dataclass(frozen=True)
class Terms:
    """Reads them under a config: the `Reading` of a Learnt field."""

    currency: str  # ISO 4217, upper case
    decimals: int  # of its minor unit
    statuses: Mapping[str, str]  # further words for STATUSES, in lower case
    minor: bool = False  # amounts and discounts are in minor units
    plans: tuple[str, ...] = ()  # slugs

    def look(self, found: Properties, said: Said) -> Looked:
        status = _status(found, said.stands_for, self)
        paying = status in PAYING
        plan = present(found, "plan")
        currency_in(found, "currency", self.currency, paying)
        if paying:
            _refuse_what_is_not_understood(found)
        items = _items(found)
        if items:
            prices = [_item(item, f"items[{number}]", paying, self) for number, item in enumerate(items)]
            plan = _named(items[0]) or plan
            percent, discount = _percent(found), money_in(found, "discount")
            if discount and len({price.months for price in prices if price}) > 1:
                raise Wrong(
                    "bad_property",
                    "$.properties.discount: off items of several intervals; send discount_percent, or one interval",
                )
        else:
            amount = money_in(found, "amount", paying)
            percent, discount = _percent(found), money_in(found, "discount")
            prices = [_price(amount, found, paying)]
        of_price = [price for price in prices if price]
        return Looked(status, plan, of_price, percent, discount or Fraction(0), bool(items))

    def come_to(self, value: Looked, said: Said) -> Mapping[str, int]:
        mrr = 0
        if value.status in PAYING:
            unit = Fraction(1, 10**self.decimals) if self.minor else Fraction(1)
            mrr = monthly(value.prices, value.percent, value.discount, unit, self.decimals)
            if mrr >= MINOR_UNITS:
                name = "items" if value.of_items else "amount"
                raise Wrong("bad_property", f"$.properties.{name}: 10^15 minor units a month or more")
        plan = None if value.plan is None else scalar_text(value.plan)
        said.refuse_marked(plan)
        return {"mrr": mrr, "status": STATUSES.index(value.status), "plan": label_code(plan, self.plans)}

    def required(self) -> list[str]:
        return ["status"]

    def schema(self) -> dict[str, Any]:
        money = {
            "anyOf": [DECIMAL_TEXT, {"type": "number", "minimum": 0, "exclusiveMaximum": MAJOR_UNITS}, {"type": "null"}]
        }
        interval_count = {"type": ["integer", "null"], "minimum": 1, "maximum": INTERVAL_COUNT}
        quantity = {"type": ["integer", "null"], "minimum": 0, "maximum": QUANTITY}
        percent = {"anyOf": [DECIMAL_TEXT, {"type": "number", "minimum": 0, "maximum": 100}, {"type": "null"}]}
        item = {
            "type": "object",
            "required": ["amount", "interval"],
            "properties": {
                "plan": {},
                "amount": money,
                "interval": {"enum": list(MONTHS)},
                "interval_count": interval_count,
                "quantity": quantity,
            },
        }
        return {
            "status": {"enum": [*STATUSES, *OTHER_SPELLINGS]},
            "plan": {"description": "Compared as a slug."},
            "currency": {"type": ["string", "null"], "pattern": "^[A-Za-z]{3}$"},
            "items": {
                "type": ["array", "null"],
                "maxItems": ITEMS,
                "items": item,
                "description": "Prices that are added up, in place of amount, interval, interval_count and quantity.",
            },
            "amount": money | {"description": "Major units per interval and seat; read by its decimal digits."},
            "discount_percent": percent | {"description": "Off amount x quantity, or off the items, before discount."},
            "percent_off": percent | {"description": "Another name for discount_percent; send one of them."},
            "discount": money | {"description": "Major units per interval, off the whole."},
            "interval": {"enum": [*MONTHS, None]},
            "interval_count": interval_count,
            "quantity": quantity,
        }

    def constraints(self) -> dict[str, Any]:
        own_price = ["amount", "interval"]
        return {
            "dependentSchemas": {
                "items": {
                    "if": {"properties": {"items": {"type": "array", "minItems": 1}}},
                    "then": {
                        "properties": {name: {"type": "null"} for name in (*own_price, "interval_count", "quantity")},
                    },
                },
                "percent_off": {
                    "if": {"properties": {"percent_off": {"not": {"type": "null"}}}},
                    "then": {"properties": {"discount_percent": {"type": "null"}}},
                },
            },
            "if": {"properties": {"status": {"enum": list(PAYING)}}},
            "then": {
                "required": ["currency"],
                "properties": {
                    "currency": {"not": {"type": "null"}},
                    **{
                        name: {"enum": [None, False, 0, "", [], {}, *PLAIN.get(name, ())], "description": advice}
                        for name, advice in NOT_UNDERSTOOD.items()
                    },
                },
                "anyOf": [
                    {"required": own_price, "properties": {name: {"not": {"type": "null"}} for name in own_price}},
                    {"required": ["items"], "properties": {"items": {"type": "array", "minItems": 1}}},
                ],
            },
        }

    def lines(self) -> list[Line]:
        wrong = "`bad_type`, `bad_property`"
        return [
            Line(
                "`status`",
                f"`{' '.join(STATUSES)}`, `canceled`, or a word of the config's `statuses`, in any case; missing: what "
                "the config gives to the event's name",
                f"`missing_field` where it gives nothing, {wrong}",
            ),
            Line(
                "`plan`",
                "compared as a slug with the config's `plans`; missing, null or empty: `unknown`, not listed: `other`",
                "",
            ),
            Line("`currency`", "the config's `currency`, in any case", "`bad_type`, `unsupported_currency`"),
            Line(
                "`items`",
                f"at most {ITEMS} objects, in place of `amount`, `interval`, `interval_count` and `quantity`: each has "
                "those four, and a `plan` if it likes; an empty array is as good as none",
                f"{wrong}, and what is said below of each field",
            ),
            Line(
                "`amount`, `discount`",
                'major units (or minor ones, see below), as decimal text or number: `"19.99"`, `19.99`, `1e2`; 0 or '
                "more, below 10^15, at most 50 characters and 30 decimals; `discount` is 0 when missing",
                wrong,
            ),
            Line(
                "`discount_percent`",
                "0 to 100, as decimal text or number, of `amount` x `quantity` or of the items, taken before "
                "`discount`; `percent_off` is another name, of which one is sent",
                wrong,
            ),
            Line("`interval`", f"`{' '.join(MONTHS)}`, in any case", wrong),
            Line("`interval_count`", f"a whole number from 1 to {INTERVAL_COUNT}; missing: 1", wrong),
            Line("`quantity`", "a whole number from 0 to 10^9; missing: 1", wrong),
        ]

    def samples(self) -> Iterator[Sample]:
        monthly = {"amount": "19.99", "interval": "month"}
        yield {"status": "active", "plan": "Pro", **monthly, "currency": self.currency}, None
        for good in STATUSES:
            yield {"status": good}, None
        for change in (
            {"amount": 5},
            {"interval": "Year", "interval_count": 2},
            {"quantity": 3, "discount": "0.97", "percent_off": 10},
            {"plan": None},
            {"items": [monthly, monthly | {"plan": "Seat"}], "amount": None, "interval": None},
            {"status": "cancelled", "coupon": "SPRING"},
        ):
            yield change, None
        yield {"status": None}, "missing_field"
        yield {"status": 1}, "bad_type"
        yield {"currency": "XXX"}, "unsupported_currency"
        for missing_one in ("currency", "amount", "interval"):
            yield {missing_one: None}, "missing_field"
        for wrong in (
            {"status": "happy"},
            {"amount": -1},
            {"interval": "fortnight"},
            {"interval_count": 0},
            {"quantity": 1.5},
            {"discount": "a lot"},
            {"discount_percent": 101},
            {"items": [monthly]},
            {"coupon": "SPRING"},
            {"amount": 10**14},
        ):
            yield wrong, "bad_property"


def monthly(prices: Sequence[Price], percent: Fraction, discount: Fraction, unit: Fraction, decimals: int) -> int:
    """Minor units a month of the sum of `prices` less `percent` of it less `discount`, which is as often as the first.

    Amounts and `discount` are in so many major units as `unit` says. Half to even; a discount beyond the price makes
    it 0.
    """
    whole = sum((price.amount * price.quantity / price.months for price in prices), Fraction(0))
    reduced = max(Fraction(0), whole * (100 - percent) / 100 - discount / prices[0].months)
    return int(round(reduced * unit * 10**decimals))  # noqa: RUF046 - mypy knows no int here


def _items(found: Properties) -> list[msgspec.Raw]:
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


def _item(item: msgspec.Raw, place: str, paying: bool, terms: Terms) -> Price | None:
    text = bytes(item)
    if kind_of(text) != "object":
        raise Wrong("bad_type", f"$.properties.{place}: expected object, got {kind_of(text)}")
    members, at = members_of(text), f"{place}."
    currency_in(members, "currency", terms.currency, at=at)
    if paying:
        for name in _NOT_OF_AN_ITEM:
            if not _says_nothing(present(members, name)):
                raise Wrong("bad_property", f"$.properties.{at}{name}: off an item; send the item's amount less that")
        _refuse_what_is_not_understood(members, at)
    return _price(money_in(members, "amount", paying, at), members, paying, at)


def _price(amount: Fraction | None, found: Properties, paying: bool, at: str = "") -> Price | None:
    """None where amount or interval are missing, which they may while nobody pays."""
    interval = text_in(found, "interval", paying, at)
    if interval is not None and interval.lower() not in MONTHS:
        raise Wrong("bad_property", f"$.properties.{at}interval: expected one of {' '.join(MONTHS)}, got another")
    interval_count = whole_in(found, "interval_count", 1, 1, INTERVAL_COUNT, at)
    quantity = whole_in(found, "quantity", 1, 0, QUANTITY, at)
    if amount is None or interval is None:
        return None
    return Price(amount, quantity, MONTHS[interval.lower()] * interval_count)


def _named(item: msgspec.Raw) -> bytes | None:
    """The plan that an item names."""
    plan = present(members_of(bytes(item)), "plan")
    return None if plan == b'""' else plan


def _percent(found: Properties) -> Fraction:
    percents = [(name, money_in(found, name)) for name in PERCENTS]
    said = [(name, percent) for name, percent in percents if percent is not None]
    for name, percent in said:
        if percent > 100:
            raise Wrong("bad_property", f"$.properties.{name}: expected a percentage from 0 to 100")
    if len(said) > 1:
        raise Wrong("bad_property", f"$.properties.{PERCENTS[1]}: beside {PERCENTS[0]}; send one of them")
    return said[0][1] if said else Fraction(0)


def _refuse_what_is_not_understood(found: Properties, at: str = "") -> None:
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


def _status(found: Properties, default: str | None, terms: Terms) -> str:
    text = text_in(found, "status", default is None)
    if text is None:
        assert default is not None  # text_in() has seen to it
        return default
    word = text.lower()
    status = terms.statuses.get(word, OTHER_SPELLINGS.get(word, word))
    if status not in STATUSES:
        raise Wrong("bad_property", f"$.properties.status: expected one of {' '.join(STATUSES)}, got another")
    return status
