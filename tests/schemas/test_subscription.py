from __future__ import annotations

import json
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.event import Container, Problem
from schemas.subscription import AHEAD_MS, MONTHS, State, Terms, read_state

NINE = 1_772_442_000_000  # 2026-03-02T09:00:00Z
DOLLARS = Terms("USD", 2, {"unpaid": "past_due", "in_trial": "trialing"})
GOOD = {
    "subscription_id": '"s1"',
    "status": '"active"',
    "plan": '"Pro"',
    "amount": '"19.99"',
    "interval": '"month"',
    "currency": '"USD"',
}


def read(terms: Terms = DOLLARS, default: str | None = None, **properties: str | None) -> State | Problem:
    """The state of the good properties with others, each as JSON text; None takes one away."""
    texts = {name: text for name, text in (GOOD | properties).items() if text is not None}
    inner = ", ".join(f"{json.dumps(name)}: {text}" for name, text in texts.items())
    return read_state(f'{{"properties": {{{inner}}}}}'.encode(), NINE, default, terms)


def mrr(terms: Terms = DOLLARS, **properties: str | None) -> int:
    outcome = read(terms, **properties)
    assert isinstance(outcome, State), outcome
    return outcome.mrr


def reason(**properties: str | None) -> str:
    outcome = read(**properties)
    assert isinstance(outcome, Problem), outcome
    return f"{outcome.reason} {outcome.message.split(': ')[0]}"


def test_a_state_is_read_as_a_whole() -> None:
    assert read() == State(
        subscription="s1",
        customer=None,
        status="active",
        plan="Pro",
        mrr=1999,
        effective_ms=NINE,
        cancelling=False,
    )
    assert read(
        customer_id='"acme"',
        effective_at='"2026-03-09T00:00:00Z"',
        cancel_at="1775000000",
        plan='{"name": "Pro"}',
        quantity="3",
        discount="0.97",
        interval_count="2",
    ) == State(
        subscription="s1",
        customer="acme",
        status="active",
        plan=Container.FOUND,
        mrr=2950,
        effective_ms=1_773_014_400_000,
        cancelling=True,
    )


@pytest.mark.parametrize(
    ("amount", "minor"),
    [
        ('"19.99"', 1999),
        ("19.99", 1999),
        ("1e2", 10_000),
        ('"1E+2"', 10_000),
        ("0", 0),
        ("-0", 0),
        ("0e999999999", 0),
        ('"0.005"', 0),  # half to even
        ('"0.015"', 2),
        ("0.025", 2),  # a binary float is 0.025000000000000001
        ("1.005", 100),  # a binary float is 1.00499999999999989
        ("2.675", 268),
        ("0.0250000000000000000000000001", 3),
        ("123456789012.34", 12_345_678_901_234),
        ("9999999999999.99", 999_999_999_999_999),
    ],
)
def test_money_is_exact_to_the_minor_unit(amount: str, minor: int) -> None:
    assert mrr(amount=amount) == minor


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("-1", "bad_property"),
        ('"-0.01"', "bad_property"),
        ('"NaN"', "bad_property"),
        ('"Infinity"', "bad_property"),
        ('"1,999.00"', "bad_property"),
        ('" 19.99"', "bad_property"),
        ('"$19.99"', "bad_property"),
        ('"1_000"', "bad_property"),
        ('"١٩"', "bad_property"),
        ('""', "bad_property"),
        ("1e400", "bad_property"),
        ("1e999999999999999999999", "bad_property"),
        ("1e-400", "bad_property"),
        ("1000000000000000", "bad_property"),
        ("1" * 4000, "bad_property"),
        ("0." + "1" * 60, "bad_property"),
        ("true", "bad_type"),
        ("[19.99]", "bad_type"),
        ('{"value": 1}', "bad_type"),
        ("null", "missing_field"),
        (None, "missing_field"),
    ],
)
def test_what_is_no_money_is_refused(amount: str | None, expected: str) -> None:
    assert reason(amount=amount) == f"{expected} $.properties.amount"


@pytest.mark.parametrize(
    ("interval", "count", "minor"),
    [
        ("month", "1", 12_000),
        ("month", "3", 4_000),
        ("year", "1", 1_000),
        ("year", "2", 500),
        ("week", "1", 52_000),
        ("week", "2", 26_000),
        ("day", "1", 365_000),
        ("day", "30", 12_167),  # 12166.66...
        ("Month", "1.0", 12_000),
    ],
)
def test_every_interval_is_brought_to_a_month(interval: str, count: str, minor: int) -> None:
    assert mrr(amount="120", interval=json.dumps(interval), interval_count=count) == minor


@pytest.mark.parametrize(("digits", "minor"), [(0, 20), (2, 1999), (3, 19_990), (4, 199_900)])
def test_the_minor_unit_is_that_of_the_currency(digits: int, minor: int) -> None:
    assert mrr(Terms("USD", digits, {}), amount='"19.99"') == minor


def test_a_discount_beyond_the_price_makes_it_free() -> None:
    assert mrr(amount="20", quantity="2", discount="39.99") == 1
    assert mrr(amount="20", quantity="2", discount='"100"') == 0
    assert mrr(quantity="0") == 0


@given(
    st.decimals(0, 10**9, places=4),
    st.integers(0, 1000),
    st.decimals(0, 100, places=3),
    st.sampled_from(["year", "month", "week", "day"]),
    st.integers(1, 24),
)
def test_the_formula_holds_for_any_price(
    amount: Decimal, quantity: int, discount: Decimal, interval: str, count: int
) -> None:
    exact = Context(prec=60, rounding=ROUND_HALF_EVEN)
    price = max(Decimal(0), amount * quantity - discount) * 100
    ratio = MONTHS[interval]
    per_month = exact.divide(price * ratio.denominator, Decimal(ratio.numerator * count))
    assert mrr(
        amount=f'"{amount}"',
        quantity=str(quantity),
        discount=str(discount),
        interval=json.dumps(interval),
        interval_count=str(count),
    ) == int(per_month.quantize(Decimal(1), context=exact))


def test_only_active_and_past_due_pay_and_only_they_need_a_price() -> None:
    for status in ("active", "past_due", "Past_Due", "unpaid"):
        assert mrr(status=json.dumps(status)) == 1999
        assert reason(status=json.dumps(status), interval=None) == "missing_field $.properties.interval"
    for status in ("trialing", "paused", "cancelled", "canceled", "expired", "in_trial"):
        assert mrr(status=json.dumps(status)) == 0
        assert mrr(status=json.dumps(status), amount=None, interval=None, currency=None) == 0
        assert reason(status=json.dumps(status), amount="-1") == "bad_property $.properties.amount"


def test_a_status_can_come_from_the_name_of_the_event() -> None:
    outcome = read(default="cancelled", status=None)
    assert isinstance(outcome, State)
    assert (outcome.status, outcome.mrr) == ("cancelled", 0)
    outcome = read(default="cancelled")
    assert isinstance(outcome, State)
    assert outcome.status == "active"


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"subscription_id": None}, "missing_field $.properties.subscription_id"),
        ({"subscription_id": "7"}, "bad_type $.properties.subscription_id"),
        ({"subscription_id": '"null"'}, "bad_id $.properties.subscription_id"),
        ({"subscription_id": json.dumps("s" * 256)}, "bad_id $.properties.subscription_id"),
        ({"subscription_id": r'"a\u0000b"'}, "bad_id $.properties.subscription_id"),
        ({"customer_id": '""'}, "bad_id $.properties.customer_id"),
        ({"customer_id": "{}"}, "bad_type $.properties.customer_id"),
        ({"status": None}, "missing_field $.properties.status"),
        ({"status": '"happy"'}, "bad_property $.properties.status"),
        ({"status": "1"}, "bad_type $.properties.status"),
        ({"currency": '"EUR"'}, "unsupported_currency $.properties.currency"),
        ({"currency": '"EUR"', "status": '"cancelled"'}, "unsupported_currency $.properties.currency"),
        ({"currency": "840"}, "bad_type $.properties.currency"),
        ({"currency": None}, "missing_field $.properties.currency"),
        ({"interval": '"fortnight"'}, "bad_property $.properties.interval"),
        ({"interval": "1"}, "bad_type $.properties.interval"),
        ({"interval_count": "0"}, "bad_property $.properties.interval_count"),
        ({"interval_count": "1001"}, "bad_property $.properties.interval_count"),
        ({"quantity": "-1"}, "bad_property $.properties.quantity"),
        ({"quantity": "1.5"}, "bad_property $.properties.quantity"),
        ({"quantity": '"2"'}, "bad_type $.properties.quantity"),
        ({"quantity": "1e400"}, "bad_property $.properties.quantity"),
        ({"discount": '"a lot"'}, "bad_property $.properties.discount"),
        ({"amount": "10000000000000"}, "bad_property $.properties.amount"),
        ({"amount": "999999999999", "quantity": "1000000000"}, "bad_property $.properties.amount"),
        ({"effective_at": '"soon"'}, "bad_property $.properties.effective_at"),
        ({"effective_at": "true"}, "bad_type $.properties.effective_at"),
        ({"effective_at": "900000000"}, "bad_property $.properties.effective_at"),
        ({"effective_at": str(NINE + AHEAD_MS + 1)}, "bad_property $.properties.effective_at"),
        ({"cancel_at": '"9999-12-31T00:00:00Z"'}, "bad_property $.properties.cancel_at"),
        ({"cancel_at": "false"}, "bad_type $.properties.cancel_at"),
        ({"plan": r'"\ud83d"'}, "not_json $"),
    ],
)
def test_what_cannot_be_read_is_named(properties: dict[str, str | None], expected: str) -> None:
    assert reason(**properties) == expected


def test_a_state_may_be_as_far_ahead_as_400_days() -> None:
    outcome = read(effective_at=str(NINE + AHEAD_MS))
    assert isinstance(outcome, State)
    assert outcome.effective_ms == NINE + AHEAD_MS


@given(st.binary(max_size=60) | st.builds(lambda inner: b'{"properties": ' + inner + b"}", st.binary(max_size=60)))
def test_no_bytes_raise(value: bytes) -> None:
    assert isinstance(read_state(value, NINE, "active", DOLLARS), State | Problem)


def properties_of_any_kind() -> st.SearchStrategy[dict[str, Any]]:
    values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([]) | st.just({})
    names = [*GOOD, "customer_id", "interval_count", "quantity", "discount", "effective_at", "cancel_at"]
    return st.dictionaries(st.sampled_from(names), values, max_size=6)


@given(properties_of_any_kind())
def test_no_properties_raise(properties: dict[str, Any]) -> None:
    texts = {name: json.dumps(value) for name, value in properties.items()}
    assert isinstance(read(**texts), State | Problem)
