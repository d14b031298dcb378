"""What an event says of a subscription: its state, or the reason why the record is refused.

Fields are read in this order, and the first that is wrong gives the reason: subscription_id, customer_id, status, plan,
currency, amount, discount, interval, interval_count, quantity, effective_at, cancel_at. Null counts as missing. Missing
and needed: `missing_field`; another JSON type: `bad_type`; ids: `bad_id`; another currency: `unsupported_currency`; the
rest: `bad_property`. Decisions where the rules leave room:

* A decimal in a string is written as a JSON number. It has so many decimals as its digits and exponent make (`1e-31`
  has 31, `1.0` has one), but a zero has none.
* Statuses, also those of the config, are compared in lower case, not as slugs.
* The MRR is limited where it counts, while `active` or `past_due`, after all fields have been read.
* A lone surrogate in an id or a plan is a `not_json`, when nothing else is wrong; in other texts it is as wrong as any
  other character.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar

from flows.config import Subscriptions
from tests.reference.fields import (
    PLACEHOLDERS,
    YEAR_2000_MS,
    YEAR_2100_MS,
    Number,
    RefusedError,
    cached_slug,
    instant,
    label,
)
from tests.reference.money import INTERVALS, decimal_of, monthly_minor_units
from tests.reference.records import State

Value = TypeVar("Value")
STATUSES = ("trialing", "active", "past_due", "paused", "cancelled", "expired")
PAYING = ("active", "past_due")
AHEAD_MS = 400 * 86_400_000
LARGEST_QUANTITY = 10**9
LARGEST_INTERVAL_COUNT = 1000
LARGEST_MRR = 10**15  # minor units; is one too many


def state_of(properties: dict[str, Any], name: str, user: str, ts: int, subscriptions: Subscriptions) -> State | None:
    """The state that a `track` event of this name carries; None: it carries none. Raises RefusedError."""
    events = {cached_slug(event): status for event, status in subscriptions.events.items()}
    if name not in events:
        return None
    subscription = needed("subscription_id", id_of(properties, "subscription_id"))
    customer = id_of(properties, "customer_id") or user
    status = needed("status", status_of(properties, subscriptions) or events[name])
    pays = status in PAYING
    plan = label(properties.get("plan"), subscriptions.plans)
    currency = text_of(properties, "currency")
    if currency is not None and currency.upper() != subscriptions.currency:
        raise RefusedError("unsupported_currency", "$.properties.currency")
    if pays:
        needed("currency", currency)
    amount = money_of(properties, "amount")
    if pays:
        needed("amount", amount)
    discount = money_of(properties, "discount")
    interval = text_of(properties, "interval")
    if interval is not None and interval.lower() not in INTERVALS:
        raise RefusedError("bad_property", "$.properties.interval")
    if pays:
        needed("interval", interval)
    interval_count = count_of(properties, "interval_count", 1, LARGEST_INTERVAL_COUNT)
    quantity = count_of(properties, "quantity", 0, LARGEST_QUANTITY)
    effective_at = time_of(properties, "effective_at")
    if effective_at is not None and effective_at > ts + AHEAD_MS:
        raise RefusedError("bad_property", "$.properties.effective_at: too far ahead")
    cancel_at = time_of(properties, "cancel_at")
    mrr = 0
    if pays and amount is not None and interval is not None:
        mrr = monthly_minor_units(
            amount,
            quantity,
            discount or Fraction(0),
            interval.lower(),
            interval_count,
            subscriptions.decimals,
        )
        if mrr >= LARGEST_MRR:
            raise RefusedError("bad_property", "$.properties.amount: more a month than can be kept")
    for value in (subscription, customer, properties.get("plan")):
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            raise RefusedError("not_json", "$.properties: lone surrogate")
    return State(
        customer=customer,
        subscription=subscription,
        status=status,
        plan=plan,
        mrr=mrr,
        effective_at=ts if effective_at is None else effective_at,
        cancels=cancel_at is not None,
    )


def needed(field: str, value: Value | None) -> Value:
    if value is None:
        raise RefusedError("missing_field", f"$.properties.{field}")
    return value


def text_of(properties: dict[str, Any], field: str) -> str | None:
    value = properties.get(field)
    if value is not None and not isinstance(value, str):
        raise RefusedError("bad_type", f"$.properties.{field}: expected string")
    return value


def id_of(properties: dict[str, Any], field: str) -> str | None:
    value = text_of(properties, field)
    if value is not None and (len(value) > 255 or "\0" in value or value.lower() in PLACEHOLDERS):
        raise RefusedError("bad_id", f"$.properties.{field}")
    return value


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


def money_of(properties: dict[str, Any], field: str) -> Fraction | None:
    value = properties.get(field)
    if value is None:
        return None
    if not isinstance(value, str | Number):
        raise RefusedError("bad_type", f"$.properties.{field}: expected a decimal")
    money = decimal_of(value if isinstance(value, str) else value.text)
    if money is None:
        raise RefusedError("bad_property", f"$.properties.{field}: expected a decimal")
    return money


def count_of(properties: dict[str, Any], field: str, least: int, most: int) -> int:
    value = properties.get(field)
    if value is None:
        return 1
    if not isinstance(value, Number):
        raise RefusedError("bad_type", f"$.properties.{field}: expected a whole number")
    if not least <= float(value.text) <= most or Decimal(value.text) != int(Decimal(value.text)):
        raise RefusedError("bad_property", f"$.properties.{field}: expected a whole number in its range")
    return int(Decimal(value.text))


def time_of(properties: dict[str, Any], field: str) -> int | None:
    value = properties.get(field)
    if value is None:
        return None
    if not isinstance(value, str | Number):
        raise RefusedError("bad_type", f"$.properties.{field}: expected string or number")
    read = instant(value)
    if read is None or not YEAR_2000_MS <= read < YEAR_2100_MS:
        raise RefusedError("bad_property", f"$.properties.{field}")
    return read
