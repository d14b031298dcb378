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

from collections.abc import Iterator, Mapping
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
    money_in,
    present,
    text_in,
)
from flows.facts.words import label_code
from flows.metrics.subscriptions.prices import (
    INTERVAL_COUNT,
    ITEMS,
    MONTHS,
    NOT_UNDERSTOOD,
    PLAIN,
    QUANTITY,
    Price,
    item_in,
    items_in,
    monthly,
    percent_in,
    plan_of,
    price_in,
    refuse_what_is_not_understood,
)
from schemas.json_schema import DECIMAL_TEXT
from schemas.json_text import Wrong, scalar_text

STATUSES: Final = ("trialing", "active", "past_due", "paused", "cancelled", "expired")
PAYING: Final = ("active", "past_due")
OTHER_SPELLINGS: Final = {"canceled": "cancelled"}


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
            refuse_what_is_not_understood(found)
        items = items_in(found)
        if items:
            prices = [item_in(item, f"items[{number}]", paying, self.currency) for number, item in enumerate(items)]
            plan = plan_of(items[0]) or plan
            percent, discount = percent_in(found), money_in(found, "discount")
            if discount and len({price.months for price in prices if price}) > 1:
                raise Wrong(
                    "bad_property",
                    "$.properties.discount: off items of several intervals; send discount_percent, or one interval",
                )
        else:
            amount = money_in(found, "amount", paying)
            percent, discount = percent_in(found), money_in(found, "discount")
            prices = [price_in(amount, found, paying)]
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
                f"`{' '.join(STATUSES)}`, `canceled`, or a word of the config's `statuses`, in any case; missing: the "
                "status that the config assigns to the event's name",
                f"`missing_field` if it assigns none, {wrong}",
            ),
            Line(
                "`plan`",
                "compared as a slug with the config's `plans`; missing, null or empty: `unknown`, not listed: `other`",
                "",
            ),
            Line("`currency`", "the config's `currency`, in any case", "`bad_type`, `unsupported_currency`"),
            Line(
                "`items`",
                f"at most {ITEMS} objects, instead of `amount`, `interval`, `interval_count` and `quantity`: each has "
                "those four, and an optional `plan`; an empty array counts as missing",
                f"{wrong}, and what is said below of each field",
            ),
            Line(
                "`amount`, `discount`",
                'major units (or minor units, see below), as decimal text or number: `"19.99"`, `19.99`, `1e2`; 0 or '
                "more, below 10^15, at most 50 characters and 30 decimals; `discount` is 0 when missing",
                wrong,
            ),
            Line(
                "`discount_percent`",
                "0 to 100, as decimal text or number, of `amount` x `quantity` or of the items, taken before "
                "`discount`; `percent_off` is another name; send one of the two",
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
