"""What a subscription is like, as the properties of one event tell it; the rules in words are in README.md.

    subscription_id   str, 1..255 characters, no placeholder; needed
    customer_id       the same; absent or null: the user
    replaces          the same, and not subscription_id; absent or null: it succeeds no other subscription
    sequence          an integer, 0..2^63-2; absent or null: older than any of the same effective_at
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
    effective_at      RFC 3339 or epoch number, 2000..2099, at most 400 days after the event; default: the event's time
    cancel_at         the same without a bound to the future; absent or null: not requested

currency, and amount and interval (of each item), are needed where the status is active or past_due (nobody pays
otherwise), and looked at where they are there. Null is as good as absent. Missing: missing_field; another JSON type:
bad_type; ids: bad_id; the rest: bad_property. The first of the fields in this order that is wrong is named (discount
after discount_percent). An MRR of 10^15 minor units or more is a bad_property of the amount or the items. The plan is
that of the first item, else the state's own.

Events with a state are rare, so that each is read at leisure from its bytes. Money is read by its decimal digits,
computed in exact fractions and rounded once, half to even: no binary float has any part in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from schemas import event as rules
from schemas.event import Container, Problem
from schemas.json_text import Wrong, kind_of, members_of, opened, scalar_text, string_of
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
ITEMS: Final = 20
SEQUENCE: Final = 2**63 - 2
INTERVAL_COUNT: Final = 1000
"""Limits of what is taken for money: characters and decimals of a number, amounts (below), minor units a month (below),
seats, items, places in a sequence and intervals (up to).
"""

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

AHEAD_MS: Final = 400 * 86_400_000
"""How far after its event a state may take effect."""
EARLIEST_MS: Final = 946_684_800_000
LATEST_MS: Final = 4_102_444_800_000
"""2000-01-01 to 2100-01-01 (before), as for the times of events."""

_array: Final = msgspec.json.Decoder(list[msgspec.Raw])
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Terms:
    """What the reader decides."""

    currency: str  # ISO 4217, upper case
    decimals: int  # of its minor unit
    statuses: Mapping[str, str]  # further words for STATUSES, in lower case
    minor: bool = False  # amounts and discounts are in minor units


class State(msgspec.Struct, frozen=True, gc=False):
    """One subscription at one moment."""

    subscription: str
    customer: str | None  # None: the user
    status: str  # one of STATUSES
    plan: str | Container | None  # text as it is; None: none
    mrr: int  # minor units a month; 0 unless the status is in PAYING
    effective_ms: int  # from when on it is so
    cancelling: bool  # its cancellation has been requested
    sequence: int | None = None  # its place among the states with the same effective_ms; None: before all of those
    replaces: str | None = None  # the subscription of the same customer that it succeeds


@dataclass(frozen=True, slots=True)
class Price:
    """What recurs."""

    amount: Fraction  # as sent, for one
    quantity: int
    months: Fraction  # from one payment to the next


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
        marker.decode() in text
        for text in (state.subscription, state.customer, state.replaces, state.plan)
        if isinstance(text, str)
    ):
        return Problem("not_json", "$: a lone surrogate in a needed field")
    return state


def _state(found: Mapping[str, msgspec.Raw], ts_ms: int, default_status: str | None, terms: Terms) -> State:
    subscription = _id(found, "subscription_id")
    if subscription is None:
        raise Wrong("missing_field", "$.properties.subscription_id: missing")
    customer = _id(found, "customer_id")
    replaces = _id(found, "replaces")
    if replaces == subscription:
        raise Wrong("bad_property", "$.properties.replaces: expected another subscription, got its own id")
    sequence = _sequence(found)
    status = _status(found, default_status, terms)
    paying = status in PAYING
    plan = _present(found, "plan")
    _check_currency(found, paying, terms)
    if paying:
        _refuse_what_is_not_understood(found)
    items = _items(found)
    if items:
        prices = [_item(item, f"items[{number}]", paying, terms) for number, item in enumerate(items)]
        plan = _named(items[0]) or plan
        percent, discount = _percent(found), _money(found, "discount", False)
        if discount and len({price.months for price in prices if price}) > 1:
            raise Wrong(
                "bad_property",
                "$.properties.discount: off items of several intervals; send discount_percent, or one interval",
            )
    else:
        amount = _money(found, "amount", paying)
        percent, discount = _percent(found), _money(found, "discount", False)
        prices = [_price(amount, found, paying)]
    effective_ms = _time(found, "effective_at")
    if effective_ms is None:
        effective_ms = ts_ms
    elif effective_ms > ts_ms + AHEAD_MS:
        raise Wrong("bad_property", "$.properties.effective_at: more than 400 days after the event")
    cancelling = _time(found, "cancel_at") is not None
    mrr = 0
    if paying:
        unit = Fraction(1, 10**terms.decimals) if terms.minor else Fraction(1)
        mrr = monthly([price for price in prices if price], percent, discount or Fraction(0), unit, terms.decimals)
        if mrr >= MINOR_UNITS:
            name = "items" if items else "amount"
            raise Wrong("bad_property", f"$.properties.{name}: 10^15 minor units a month or more")
    return State(
        subscription=subscription,
        customer=customer,
        status=status,
        plan=None if plan is None else scalar_text(plan),
        mrr=mrr,
        effective_ms=effective_ms,
        cancelling=cancelling,
        sequence=sequence,
        replaces=replaces,
    )


def monthly(prices: Sequence[Price], percent: Fraction, discount: Fraction, unit: Fraction, decimals: int) -> int:
    """Minor units a month of the sum of `prices` less `percent` of it less `discount`, which is as often as the first.

    Amounts and `discount` are in so many major units as `unit` says. Half to even; a discount beyond the price makes
    it 0.
    """
    whole = sum((price.amount * price.quantity / price.months for price in prices), Fraction(0))
    reduced = max(Fraction(0), whole * (100 - percent) / 100 - discount / prices[0].months)
    return int(round(reduced * unit * 10**decimals))  # noqa: RUF046 - mypy knows no int here


def _items(found: Mapping[str, msgspec.Raw]) -> list[msgspec.Raw]:
    text = _present(found, "items")
    if text is None:
        return []
    if kind_of(text) != "array":
        raise Wrong("bad_type", f"$.properties.items: expected array, got {kind_of(text)}")
    items = _array.decode(text)
    if len(items) > ITEMS:
        raise Wrong("bad_property", f"$.properties.items: expected at most {ITEMS}, got {len(items)}")
    for name in _ITS_OWN_PRICE if items else ():
        if _present(found, name) is not None:
            raise Wrong("bad_property", f"$.properties.{name}: beside items; send the price in the items, or no items")
    return items


def _item(item: msgspec.Raw, place: str, paying: bool, terms: Terms) -> Price | None:
    text = bytes(item)
    if kind_of(text) != "object":
        raise Wrong("bad_type", f"$.properties.{place}: expected object, got {kind_of(text)}")
    members, at = members_of(text), f"{place}."
    _check_currency(members, False, terms, at)
    if paying:
        for name in _NOT_OF_AN_ITEM:
            if not _says_nothing(_present(members, name)):
                raise Wrong("bad_property", f"$.properties.{at}{name}: off an item; send the item's amount less that")
        _refuse_what_is_not_understood(members, at)
    return _price(_money(members, "amount", paying, at), members, paying, at)


def _price(amount: Fraction | None, found: Mapping[str, msgspec.Raw], paying: bool, at: str = "") -> Price | None:
    """None where amount or interval are missing, which they may while nobody pays."""
    interval = _text(found, "interval", paying, at)
    if interval is not None and interval.lower() not in MONTHS:
        raise Wrong("bad_property", f"$.properties.{at}interval: expected one of {' '.join(MONTHS)}, got another")
    interval_count = _count(found, "interval_count", 1, 1, INTERVAL_COUNT, at)
    quantity = _count(found, "quantity", 1, 0, QUANTITY, at)
    if amount is None or interval is None:
        return None
    return Price(amount, quantity, MONTHS[interval.lower()] * interval_count)


def _named(item: msgspec.Raw) -> bytes | None:
    """The plan that an item names."""
    plan = _present(members_of(bytes(item)), "plan")
    return None if plan == b'""' else plan


def _percent(found: Mapping[str, msgspec.Raw]) -> Fraction:
    percents = [(name, _money(found, name, False)) for name in PERCENTS]
    said = [(name, percent) for name, percent in percents if percent is not None]
    for name, percent in said:
        if percent > 100:
            raise Wrong("bad_property", f"$.properties.{name}: expected a percentage from 0 to 100")
    if len(said) > 1:
        raise Wrong("bad_property", f"$.properties.{PERCENTS[1]}: beside {PERCENTS[0]}; send one of them")
    return said[0][1] if said else Fraction(0)


def _refuse_what_is_not_understood(found: Mapping[str, msgspec.Raw], at: str = "") -> None:
    for name, advice in NOT_UNDERSTOOD.items():
        if name in found:
            text = _present(found, name)
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
    return not plain or money_of(plain) == 0


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


def _text(found: Mapping[str, msgspec.Raw], name: str, needed: bool, at: str = "") -> str | None:
    text = _present(found, name)
    if text is None:
        if needed:
            raise Wrong("missing_field", f"$.properties.{at}{name}: missing")
        return None
    if kind_of(text) != "str":
        raise Wrong("bad_type", f"$.properties.{at}{name}: expected str, got {kind_of(text)}")
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


def _sequence(found: Mapping[str, msgspec.Raw]) -> int | None:
    text = _present(found, "sequence")
    if text is None:
        return None
    if kind_of(text) != "int":
        raise Wrong("bad_type", f"$.properties.sequence: expected int, got {kind_of(text)}")
    if len(text) > len(str(SEQUENCE)) or not 0 <= int(text) <= SEQUENCE:
        raise Wrong("bad_property", f"$.properties.sequence: expected an integer from 0 to {SEQUENCE}")
    return int(text)


def _check_currency(found: Mapping[str, msgspec.Raw], needed: bool, terms: Terms, at: str = "") -> None:
    currency = _text(found, "currency", needed, at)
    if currency is not None and currency.upper() != terms.currency:
        raise Wrong("unsupported_currency", f"$.properties.{at}currency: expected {terms.currency}, got another")


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


def _money(found: Mapping[str, msgspec.Raw], name: str, needed: bool, at: str = "") -> Fraction | None:
    text = _present(found, name)
    if text is None:
        if needed:
            raise Wrong("missing_field", f"$.properties.{at}{name}: missing")
        return None
    kind = kind_of(text)
    if kind not in ("str", "int", "float"):
        raise Wrong("bad_type", f"$.properties.{at}{name}: expected a decimal as str or number, got {kind}")
    amount = money_of(string_of(text) if kind == "str" else text.decode())
    if isinstance(amount, str):
        raise Wrong("bad_property", f"$.properties.{at}{name}: expected {amount}")
    return amount


def _count(found: Mapping[str, msgspec.Raw], name: str, default: int, least: int, most: int, at: str = "") -> int:
    text = _present(found, name)
    if text is None:
        return default
    kind = kind_of(text)
    if kind not in ("int", "float"):
        raise Wrong("bad_type", f"$.properties.{at}{name}: expected int, got {kind}")
    number = money_of(text.decode())
    if isinstance(number, str) or number.denominator != 1 or not least <= number <= most:
        raise Wrong("bad_property", f"$.properties.{at}{name}: expected a whole number from {least} to {most}")
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
