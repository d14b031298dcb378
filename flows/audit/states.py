"""What an event says of a subscription: its state, or the reason why the record is refused.

Fields are read in this order, and the first that is wrong gives the reason: subscription_id, customer_id, replaces,
sequence, status, plan, currency, what changes the price and is not understood (in the order of NOT_UNDERSTOOD), items
(each read like a state's own price), amount, discount_percent, percent_off, discount, interval, interval_count,
quantity, effective_at, cancel_at. Null counts as missing. Missing and needed: `missing_field`; another JSON type:
`bad_type`; ids: `bad_id`; another currency: `unsupported_currency`; the rest: `bad_property`. Decisions where the rules
leave room:

* What changes the price is only looked at while somebody pays: a cancellation with a coupon is still one.
* It is as good as absent when it says nothing: null, false, 0, an empty text, array or object, and the words of
  NOT_UNDERSTOOD that name the plain case. Taxes are no revenue, and are not looked at.
* An empty array of items is as good as none. Items beside a price of the state's own are refused.
* A `discount` beside items needs one interval for all of them; otherwise it is not known how often it is given.
* The plan is that of the first item, else that of the state.

* A decimal in a string is written as a JSON number. It has so many decimals as its digits and exponent make (`1e-31`
  has 31, `1.0` has one), but a zero has none.
* Statuses, also those of the config, are compared in lower case, not as slugs.
* The MRR is limited where it counts, while `active` or `past_due`, after all fields have been read.
* A lone surrogate in an id or a plan is a `not_json`, when nothing else is wrong; in other texts it is as wrong as any
  other character.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, NamedTuple

from flows.audit.fields import (
    Number,
    RefusedError,
    cached_slug,
    label,
)
from flows.audit.money import INTERVALS, MONTHS, decimal_of, monthly_minor_units_of
from flows.audit.properties import count_of, id_of, money_of, needed, refuse_lone_surrogates, text_of, time_of
from flows.audit.records import State
from flows.config.model import Config, Subscriptions

STATUSES = ("trialing", "active", "past_due", "paused", "cancelled", "expired")
PAYING = ("active", "past_due")
AHEAD_MS = 400 * 86_400_000
LARGEST_QUANTITY = 10**9
LARGEST_INTERVAL_COUNT = 1000
LARGEST_MRR = 10**15  # minor units; is one too many
LARGEST_SEQUENCE = 2**63 - 2
MOST_ITEMS = 20
ITS_OWN_PRICE = ("amount", "interval", "interval_count", "quantity")

NOT_UNDERSTOOD: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("coupon", "coupons", "coupon_code", "coupon_codes", "promotion_code", "promo_code"), ()),
    **dict.fromkeys(("discount_code", "discounts", "discount_amount", "amount_off"), ()),
    **dict.fromkeys(("discount_percentage", "discount_pct", "discount_rate", "percentage_off"), ()),
    "discount_type": ("amount", "fixed", "fixed_amount"),
    **dict.fromkeys(("tiers", "tiers_mode"), ()),
    "billing_scheme": ("per_unit",),
    "pricing_model": ("flat_fee", "per_unit"),
    "transform_quantity": (),
    "usage_type": ("licensed",),
    **dict.fromkeys(("addons", "add_ons", "proration", "prorations", "proration_amount"), ()),
    **dict.fromkeys(("trial_amount", "tax_inclusive"), ()),
}
"""What changes a price in a way that has to be worked out by whoever sends it, and the words that say it does not."""
NOT_UNDERSTOOD |= {
    re.sub("_(.)", lambda letter: letter[1].upper(), name): NOT_UNDERSTOOD.get(name, ())
    for name in (*NOT_UNDERSTOOD, "interval_count", "discount_percent", "percent_off")
    if "_" in name
}
NOT_OF_AN_ITEM = ("discount_percent", "percent_off", "discount")


def state_of(properties: dict[str, Any], name: str, user: str, ts: int, config: Config) -> State | None:
    """The state that a `track` event of this name carries; None: it carries none. Raises RefusedError."""
    subscriptions = config.subscriptions
    if subscriptions is None:
        return None
    events = {cached_slug(event): status for event, status in subscriptions.events.items()}
    if name not in events:
        return None
    subscription = needed("subscription_id", id_of(properties, "subscription_id"))
    customer = id_of(properties, "customer_id") or user
    replaces = id_of(properties, "replaces")
    if replaces == subscription:
        raise RefusedError("bad_property", "$.properties.replaces: itself")
    sequence = sequence_of(properties)
    status = needed("status", status_of(properties, subscriptions) or events[name])
    pays = status in PAYING
    bill = bill_of(properties, pays, subscriptions)
    effective_at = time_of(properties, "effective_at")
    if effective_at is not None and effective_at > ts + AHEAD_MS:
        raise RefusedError("bad_property", "$.properties.effective_at: too far ahead")
    cancel_at = time_of(properties, "cancel_at")
    mrr = mrr_of(bill, subscriptions) if pays else 0
    refuse_lone_surrogates(subscription, customer, replaces, bill.plan)
    return State(
        customer=customer,
        subscription=subscription,
        status=status,
        plan=label(bill.plan, subscriptions.plans),
        mrr=mrr,
        effective_at=ts if effective_at is None else effective_at,
        cancels=cancel_at is not None,
        sequence=sequence,
        replaces=replaces,
    )


Price = tuple[Fraction | None, int, Fraction | None]
"""An amount as sent, a quantity, and how many months it is for; None: not said, and nobody pays."""


class Bill(NamedTuple):
    """What is paid for, and what is taken off, as sent."""

    prices: list[Price]
    percent: Fraction
    discount: Fraction
    plan: Any
    told_by: str  # the property that names the amounts


def bill_of(properties: dict[str, Any], pays: bool, subscriptions: Subscriptions) -> Bill:
    """The prices of a state's items, else its own."""
    currency = text_of(properties, "currency")
    if currency is not None and currency.upper() != subscriptions.currency:
        raise RefusedError("unsupported_currency", "$.properties.currency")
    if pays:
        needed("currency", currency)
        refuse_what_is_not_understood(properties)
    plan = properties.get("plan")
    if items := items_of(properties):
        prices = [item_price(item, f"items[{number}]", pays, subscriptions) for number, item in enumerate(items)]
        plan = plan if items[0].get("plan") in (None, "") else items[0]["plan"]
        percent, discount = percent_of(properties), money_of(properties, "discount")
        if discount and len({months for _, _, months in prices}) > 1:
            raise RefusedError("bad_property", "$.properties.discount: off items of several intervals")
        return Bill(prices, percent, discount or Fraction(0), plan, "items")
    amount = money_of(properties, "amount")
    if pays:
        needed("amount", amount)
    percent, discount = percent_of(properties), money_of(properties, "discount")
    months, quantity = rhythm_of(properties, pays)
    return Bill([(amount, quantity, months)], percent, discount or Fraction(0), plan, "amount")


def mrr_of(bill: Bill, subscriptions: Subscriptions) -> int:
    """A bill that is paid, brought to a month, in minor units."""
    unit = Fraction(1, 10**subscriptions.decimals) if subscriptions.amount_unit == "minor" else Fraction(1)
    whole = [
        (amount * unit, quantity, months) for amount, quantity, months in bill.prices if amount is not None and months
    ]
    mrr = monthly_minor_units_of(whole, bill.percent, bill.discount * unit / whole[0][2], subscriptions.decimals)
    if mrr >= LARGEST_MRR:
        raise RefusedError("bad_property", f"$.properties.{bill.told_by}: too much to be kept")
    return mrr


def items_of(properties: dict[str, Any]) -> list[dict[str, Any]]:
    """The items of a state, beside which it has no price of its own."""
    items = properties.get("items")
    if items is None or items == []:
        return []
    if not isinstance(items, list):
        raise RefusedError("bad_type", "$.properties.items: expected array")
    if len(items) > MOST_ITEMS:
        raise RefusedError("bad_property", "$.properties.items: too many")
    for field in ITS_OWN_PRICE:
        if properties.get(field) is not None:
            raise RefusedError("bad_property", f"$.properties.{field}: beside items")
    return items


def item_price(item: Any, at: str, pays: bool, subscriptions: Subscriptions) -> Price:
    """Amount, quantity and months of one item."""
    if not isinstance(item, dict):
        raise RefusedError("bad_type", f"$.properties.{at}: expected object")
    currency = text_of(item, "currency", f"{at}.")
    if currency is not None and currency.upper() != subscriptions.currency:
        raise RefusedError("unsupported_currency", f"$.properties.{at}.currency")
    if pays:
        for field in NOT_OF_AN_ITEM:
            if not says_nothing(item.get(field)):
                raise RefusedError("bad_property", f"$.properties.{at}.{field}: of an item")
        refuse_what_is_not_understood(item, f"{at}.")
    amount = money_of(item, "amount", f"{at}.")
    if pays:
        needed(f"{at}.amount", amount)
    months, quantity = rhythm_of(item, pays, f"{at}.")
    return amount, quantity, months


def rhythm_of(properties: dict[str, Any], pays: bool, at: str = "") -> tuple[Fraction | None, int]:
    """How many months a price is for, and how many times it is paid."""
    interval = text_of(properties, "interval", at)
    if interval is not None and interval.lower() not in INTERVALS:
        raise RefusedError("bad_property", f"$.properties.{at}interval")
    if pays:
        needed(f"{at}interval", interval)
    interval_count = count_of(properties, "interval_count", 1, LARGEST_INTERVAL_COUNT, at)
    quantity = count_of(properties, "quantity", 0, LARGEST_QUANTITY, at)
    return None if interval is None else MONTHS[interval.lower()] * interval_count, quantity


def percent_of(properties: dict[str, Any]) -> Fraction:
    """EVENTS.md: "`discount_percent` (or `percent_off`"; only one of them can be meant."""
    found = {field: money_of(properties, field) for field in ("discount_percent", "percent_off")}
    for field, percent in found.items():
        if percent is not None and percent > 100:
            raise RefusedError("bad_property", f"$.properties.{field}: more than all")
    said = [percent for percent in found.values() if percent is not None]
    if len(said) > 1:
        raise RefusedError("bad_property", "$.properties.percent_off: beside discount_percent")
    return said[0] if said else Fraction(0)


def refuse_what_is_not_understood(properties: dict[str, Any], at: str = "") -> None:
    """Refuse a state with a property that changes its price in a way nothing here computes."""
    for field, plain in NOT_UNDERSTOOD.items():
        value = properties.get(field)
        if not says_nothing(value) and not (isinstance(value, str) and value.lower() in plain):
            raise RefusedError("bad_property", f"$.properties.{at}{field}: changes the price")


def says_nothing(value: Any) -> bool:
    """Whether a value is as good as absent."""
    if isinstance(value, Number):
        return decimal_of(value.text) == 0
    return not value or (isinstance(value, str) and decimal_of(value) == 0)


def sequence_of(properties: dict[str, Any]) -> int | None:
    """The place of a state among those of one moment."""
    value = properties.get("sequence")
    if value is None:
        return None
    if not isinstance(value, Number) or not value.text.lstrip("-").isdigit():
        raise RefusedError("bad_type", "$.properties.sequence: expected an integer")
    if len(value.text) > 19 or not 0 <= int(value.text) <= LARGEST_SEQUENCE:
        raise RefusedError("bad_property", "$.properties.sequence: expected 0 or more, in 63 bits")
    return int(value.text)


def status_of(properties: dict[str, Any], subscriptions: Subscriptions) -> str | None:
    """One of the six "in any case, `canceled`, or a word of the config"."""
    word = text_of(properties, "status")
    if word is None:
        return None
    words = {status: status for status in STATUSES} | {"canceled": "cancelled"}
    words |= {known.lower(): status for known, status in subscriptions.statuses.items()}
    if word.lower() not in words:
        raise RefusedError("bad_property", "$.properties.status")
    return words[word.lower()]
