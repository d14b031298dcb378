"""What a subscription is like, as the properties of one event tell it; the rules in words are in README.md.

    subscription_id   str, 1..255 characters, no placeholder; needed
    customer_id       the same; absent or null: the user
    status            one of STATUSES in any case, `canceled`, or a word of the config; absent or null: the one that the
                      config gives to the event's name; needed where it gives none
    plan              compared as a slug; absent, null or empty: unknown; an object or array: other
    currency          the reporting currency, in any case; another: unsupported_currency
    amount, discount  decimal as str or number, 0 <= x < 10^15, at most 50 characters and 30 decimals
    interval          day week month year, in any case
    interval_count    whole number (3.0 is one), 1..1000, default 1
    quantity          whole number, 0..10^9, default 1
    effective_at      RFC 3339 or epoch number, 2000..2099, at most 400 days after the event; default: the event's time
    cancel_at         the same without a bound to the future; absent or null: not requested

currency, amount and interval are needed where the status is active or past_due (nobody pays otherwise), and looked at
where they are there. Null is as good as absent. Missing: missing_field; another JSON type: bad_type; ids: bad_id; the
rest: bad_property. The first of the fields in this order that is wrong is named. An MRR of 10^15 minor units or more is
a bad_property of the amount.

Events with a state are rare, so that each is read at leisure from its bytes. Money is read by its decimal digits,
computed in exact fractions and rounded once, half to even: no binary float has any part in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from schemas import event as rules
from schemas.decode import Wrong, kind_of, members_of, opened, scalar_text, string_of
from schemas.event import Container, Problem
from schemas.timestamps import number_ms, text_ms

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

DIGITS: Final = 50
DECIMALS: Final = 30
MAJOR_UNITS: Final = 10**15
MINOR_UNITS: Final = 10**15
QUANTITY: Final = 10**9
INTERVAL_COUNT: Final = 1000
"""Limits of what is taken for money: characters and decimals of a number, amounts (below), minor units a month (below),
seats and intervals (up to).
"""

AHEAD_MS: Final = 400 * 86_400_000
"""How far after its event a state may take effect."""
EARLIEST_MS: Final = 946_684_800_000
LATEST_MS: Final = 4_102_444_800_000
"""2000-01-01 to 2100-01-01 (before), as for the times of events."""

_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Terms:
    """What the reader decides."""

    currency: str  # ISO 4217, upper case
    decimals: int  # of its minor unit
    statuses: Mapping[str, str]  # further words for STATUSES, in lower case


class State(msgspec.Struct, frozen=True, gc=False):
    """One subscription at one moment."""

    subscription: str
    customer: str | None  # None: the user
    status: str  # one of STATUSES
    plan: str | Container | None  # text as it is; None: none
    mrr: int  # minor units a month; 0 unless the status is in PAYING
    effective_ms: int  # from when on it is so
    cancelling: bool  # its cancellation has been requested


def read_state(value: bytes, ts_ms: int, default_status: str | None, terms: Terms) -> State | Problem:
    """The state that an accepted event of time `ts_ms` carries, or why it cannot be read; total for any bytes."""
    try:
        members, marker = opened(value)
        text = members.get("properties")
        if text is None or kind_of(bytes(text)) != "object":
            raise Wrong("missing_field", "$.properties.subscription_id: missing")
        state = _state(members_of(bytes(text)), ts_ms, default_status, terms)
    except Wrong as wrong:
        return Problem(wrong.reason, wrong.message)
    except Exception as error:  # cannot happen to an accepted event, and must not end the process if it does
        return Problem("not_json", f"$.properties: {error}")
    if marker and any(
        marker.decode() in text for text in (state.subscription, state.customer, state.plan) if isinstance(text, str)
    ):
        return Problem("not_json", "$: a lone surrogate in a needed field")
    return state


def _state(found: Mapping[str, msgspec.Raw], ts_ms: int, default_status: str | None, terms: Terms) -> State:
    subscription = _id(found, "subscription_id")
    if subscription is None:
        raise Wrong("missing_field", "$.properties.subscription_id: missing")
    customer = _id(found, "customer_id")
    status = _status(found, default_status, terms)
    plan = _present(found, "plan")
    paying = status in PAYING
    currency = _text(found, "currency", paying)
    if currency is not None and currency.upper() != terms.currency:
        raise Wrong("unsupported_currency", f"$.properties.currency: expected {terms.currency}, got another")
    amount = _money(found, "amount", paying)
    discount = _money(found, "discount", False) or Fraction(0)
    interval = _text(found, "interval", paying)
    if interval is not None and interval.lower() not in MONTHS:
        raise Wrong("bad_property", f"$.properties.interval: expected one of {' '.join(MONTHS)}, got another")
    interval_count = _count(found, "interval_count", 1, 1, INTERVAL_COUNT)
    quantity = _count(found, "quantity", 1, 0, QUANTITY)
    effective_ms = _time(found, "effective_at")
    if effective_ms is None:
        effective_ms = ts_ms
    elif effective_ms > ts_ms + AHEAD_MS:
        raise Wrong("bad_property", "$.properties.effective_at: more than 400 days after the event")
    cancelling = _time(found, "cancel_at") is not None
    mrr = 0
    if paying and amount is not None and interval is not None:
        mrr = monthly(amount, quantity, discount, interval.lower(), interval_count, terms.decimals)
        if mrr >= MINOR_UNITS:
            raise Wrong("bad_property", "$.properties.amount: 10^15 minor units a month or more")
    return State(
        subscription=subscription,
        customer=customer,
        status=status,
        plan=None if plan is None else scalar_text(plan),
        mrr=mrr,
        effective_ms=effective_ms,
        cancelling=cancelling,
    )


def monthly(
    amount: Fraction, quantity: int, discount: Fraction, interval: str, interval_count: int, decimals: int
) -> int:
    """Minor units a month of `amount` x `quantity` - `discount` (major units) every `interval_count` intervals.

    Half to even; a discount beyond the price makes it 0.
    """
    price = max(Fraction(0), amount * quantity - discount)
    return int(round(price * 10**decimals / (MONTHS[interval] * interval_count)))  # noqa: RUF046 - mypy knows no int here


def money_of(text: str) -> Fraction | str:
    """The amount that a decimal text is, exactly, or what is wrong with it."""
    if len(text) > DIGITS or _NUMBER.fullmatch(text) is None:
        return f"a decimal number of at most {DIGITS} characters"
    try:
        number = Decimal(text)
    except ArithmeticError:  # an exponent of more than 18 digits
        return "an amount below 10^15"
    if number < 0:
        return "an amount of 0 or more"
    if number >= MAJOR_UNITS:
        return "an amount below 10^15"
    exponent = number.as_tuple().exponent
    if not number:
        return Fraction(0)
    if not isinstance(exponent, int) or exponent < -DECIMALS:
        return f"an amount with at most {DECIMALS} decimals"
    return Fraction(number)


def _present(found: Mapping[str, msgspec.Raw], name: str) -> bytes | None:
    raw = found.get(name)
    text = None if raw is None else bytes(raw)
    return None if text == b"null" else text


def _text(found: Mapping[str, msgspec.Raw], name: str, needed: bool) -> str | None:
    text = _present(found, name)
    if text is None:
        if needed:
            raise Wrong("missing_field", f"$.properties.{name}: missing")
        return None
    if kind_of(text) != "str":
        raise Wrong("bad_type", f"$.properties.{name}: expected str, got {kind_of(text)}")
    return string_of(text)


def _id(found: Mapping[str, msgspec.Raw], name: str) -> str | None:
    text = _text(found, name, False)
    if text is not None:
        if len(text) > rules.ID_CHARACTERS:
            raise Wrong(
                "bad_id",
                f"$.properties.{name}: expected 1 to {rules.ID_CHARACTERS} characters, got {len(text)}",
            )
        if "\0" in text:
            raise Wrong("bad_id", f"$.properties.{name}: contains a NUL character")
        if text.lower() in rules.PLACEHOLDERS:
            raise Wrong("bad_id", f"$.properties.{name}: a placeholder, not an id")
    return text


def _status(found: Mapping[str, msgspec.Raw], default: str | None, terms: Terms) -> str:
    text = _text(found, "status", default is None)
    if text is None:
        assert default is not None  # _text() has seen to it
        return default
    word = text.lower()
    status = terms.statuses.get(word, OTHER_SPELLINGS.get(word, word))
    if status not in STATUSES:
        raise Wrong("bad_property", f"$.properties.status: expected one of {' '.join(STATUSES)}, got another")
    return status


def _money(found: Mapping[str, msgspec.Raw], name: str, needed: bool) -> Fraction | None:
    text = _present(found, name)
    if text is None:
        if needed:
            raise Wrong("missing_field", f"$.properties.{name}: missing")
        return None
    kind = kind_of(text)
    if kind not in ("str", "int", "float"):
        raise Wrong("bad_type", f"$.properties.{name}: expected a decimal as str or number, got {kind}")
    amount = money_of(string_of(text) if kind == "str" else text.decode())
    if isinstance(amount, str):
        raise Wrong("bad_property", f"$.properties.{name}: expected {amount}")
    return amount


def _count(found: Mapping[str, msgspec.Raw], name: str, default: int, least: int, most: int) -> int:
    text = _present(found, name)
    if text is None:
        return default
    kind = kind_of(text)
    if kind not in ("int", "float"):
        raise Wrong("bad_type", f"$.properties.{name}: expected int, got {kind}")
    number = money_of(text.decode())
    if isinstance(number, str) or number.denominator != 1 or not least <= number <= most:
        raise Wrong("bad_property", f"$.properties.{name}: expected a whole number from {least} to {most}")
    return int(number)


def _time(found: Mapping[str, msgspec.Raw], name: str) -> int | None:
    text = _present(found, name)
    if text is None:
        return None
    kind = kind_of(text)
    if kind == "str":
        result = text_ms(string_of(text))
    elif kind in ("int", "float"):
        result = number_ms(text.decode())
    else:
        raise Wrong("bad_type", f"$.properties.{name}: expected str or number, got {kind}")
    if result is None or not EARLIEST_MS <= result < LATEST_MS:
        raise Wrong("bad_property", f"$.properties.{name}: expected a time of the years 2000 to 2099")
    return result
