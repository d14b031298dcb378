from __future__ import annotations

import json
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.metrics.subscriptions.fact import AHEAD_MS
from flows.metrics.subscriptions.prices import MONTHS, NOT_UNDERSTOOD, PLAIN
from flows.metrics.subscriptions.terms import Terms
from schemas.event import Problem
from tests.states import State, read_state

NINE = 1_772_442_000_000  # 2026-03-02T09:00:00Z
PLANS = ("pro", "team", "7")
DOLLARS = Terms("USD", 2, {"unpaid": "past_due", "in_trial": "trialing"}, plans=PLANS)
GOOD = {
    "subscription_id": '"s1"',
    "status": '"active"',
    "plan": '"Pro"',
    "amount": '"19.99"',
    "interval": '"month"',
    "currency": '"USD"',
}


def read(terms: Terms = DOLLARS, default: str | None = None, /, **properties: str | None) -> State | Problem:
    """The state of the good properties with others, each as JSON text; None takes one away."""
    texts = {name: text for name, text in (GOOD | properties).items() if text is not None}
    inner = ", ".join(f"{json.dumps(name)}: {text}" for name, text in texts.items())
    return read_state(f'{{"properties": {{{inner}}}}}'.encode(), NINE, default, terms)


def mrr(terms: Terms = DOLLARS, /, **properties: str | None) -> int:
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
        plan=PLANS.index("pro"),
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
        plan=len(PLANS),
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
    outcome = read(DOLLARS, "cancelled", status=None)
    assert isinstance(outcome, State)
    assert (outcome.status, outcome.mrr) == ("cancelled", 0)
    outcome = read(DOLLARS, "cancelled")
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
    values: st.SearchStrategy[object] = (
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([]) | st.just({})
    )
    names = [*GOOD, "customer_id", "interval_count", "quantity", "discount", "effective_at", "cancel_at"]
    return st.dictionaries(st.sampled_from(names), values, max_size=6)


@given(properties_of_any_kind())
def test_no_properties_raise(properties: dict[str, Any]) -> None:
    texts = {name: json.dumps(value) for name, value in properties.items()}
    assert isinstance(read(**texts), State | Problem)


# What changes the price


def message(**properties: str | None) -> str:
    outcome = read(**properties)
    assert isinstance(outcome, Problem), outcome
    return f"{outcome.reason} {outcome.message}"


WITHOUT = {"amount": None, "interval": None}
MONTHLY = '{"amount": "10.00", "interval": "month"}'


def test_a_percentage_is_taken_before_the_discount() -> None:
    # 3 x 19.99 = 59.97; less 10 % = 53.973; less 1.00 = 52.973
    for name in ("discount_percent", "percent_off"):
        assert mrr(quantity="3", discount='"1.00"', **{name: "10"}) == 5297
        assert mrr(**{name: '"33.333"'}) == 1333  # 19.99 x 0.66667 = 13.3267...
        assert (mrr(**{name: "100"}), mrr(**{name: "0"}), mrr(**{name: "null"})) == (0, 1999, 1999)


def test_items_are_added_up_and_rounded_once() -> None:
    # 2 x 10.00 a month + 0.05 a year (0.41666... cents) + 0.05 a year: 2000.83, not 2000.
    tiny = '{"amount": 0.05, "interval": "year"}'
    items = f'[{MONTHLY[:-1]}, "quantity": 2}}, {tiny}, {tiny}]'
    assert mrr(items=items, **WITHOUT) == 2001
    assert mrr(items=items, percent_off="50", **WITHOUT) == 1000  # 1000.42
    assert mrr(items=f"[{', '.join([MONTHLY] * 20)}]", **WITHOUT) == 20_000
    assert mrr(items=f'[{MONTHLY[:-1]}, "quantity": 0}}]', **WITHOUT) == 0
    assert mrr(items="[]") == mrr(items="null") == 1999
    assert reason(items="[]", **WITHOUT) == "missing_field $.properties.amount"


def test_a_discount_beside_items_is_as_often_as_they_are() -> None:
    year = '{"amount": "120.00", "interval": "year"}'
    assert mrr(items=f"[{year}, {year}]", discount="60", **WITHOUT) == 1500  # (240 - 60) / 12
    assert (
        mrr(items=f'[{year}, {{"amount": 10, "interval": "month", "interval_count": 12}}]', discount="10", **WITHOUT)
        == 1000
    )
    assert message(items=f"[{year}, {MONTHLY}]", discount="1", **WITHOUT) == (
        "bad_property $.properties.discount: off items of several intervals; send discount_percent, or one interval"
    )
    assert mrr(items=f"[{year}, {MONTHLY}]", discount="0", **WITHOUT) == 2000


def test_the_plan_is_that_of_the_first_item_else_of_the_state() -> None:
    for first, plan in (('"Team"', "Team"), ("null", "Pro"), ('""', "Pro"), ("7", "7")):
        outcome = read(items=f'[{MONTHLY[:-1]}, "plan": {first}}}, {MONTHLY[:-1]}, "plan": "Seat"}}]', **WITHOUT)
        assert isinstance(outcome, State)
        assert PLANS[outcome.plan] == plan.lower()


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("7", "bad_type $.properties.items[1]: expected object, got int"),
        ("null", "bad_type $.properties.items[1]: expected object, got null"),
        ("{}", "missing_field $.properties.items[1].amount: missing"),
        ('{"amount": 1}', "missing_field $.properties.items[1].interval: missing"),
        ('{"amount": -1, "interval": "day"}',
         "bad_property $.properties.items[1].amount: expected an amount of 0 or more"),
        ('{"amount": 1, "interval": "day", "quantity": 1.5}',
         "bad_property $.properties.items[1].quantity: expected a whole number from 0 to 1000000000"),
        ('{"amount": 1, "interval": "day", "currency": "EUR"}',
         "unsupported_currency $.properties.items[1].currency: expected USD, got another"),
        ('{"amount": 1, "interval": "day", "percent_off": 5}',
         "bad_property $.properties.items[1].percent_off: off an item; send the item's amount less that"),
        ('{"amount": 1, "interval": "day", "coupon": "X"}',
         "bad_property $.properties.items[1].coupon: changes the price; "
         "send what it takes off as discount or discount_percent"),
    ],
)  # fmt: skip
def test_an_item_that_cannot_be_read_is_named(item: str, expected: str) -> None:
    assert message(items=f"[{MONTHLY}, {item}]", **WITHOUT) == expected


def test_items_are_an_array_of_at_most_20_and_all_of_the_price() -> None:
    assert message(items="7") == "bad_type $.properties.items: expected array, got int"
    assert (
        message(items=f"[{', '.join([MONTHLY] * 21)}]")
        == "bad_property $.properties.items: expected at most 20, got 21"
    )
    for name, value in (("amount", "1"), ("interval", '"day"'), ("interval_count", "1"), ("quantity", "1")):
        assert message(items=f"[{MONTHLY}]", **(WITHOUT | {name: value})) == (
            f"bad_property $.properties.{name}: beside items; send the price in the items, or no items"
        )
    huge = '{"amount": 9999999999999, "interval": "month", "quantity": 9}'
    assert reason(items=f"[{huge}]", **WITHOUT) == "bad_property $.properties.items"


@pytest.mark.parametrize("name", ["discount_percent", "percent_off"])
@pytest.mark.parametrize("value", ["101", "100.001", "-1", '"10%"', '"NaN"', "1e400", '""'])
def test_a_percentage_is_from_0_to_100(name: str, value: str) -> None:
    assert reason(**{name: value}) == f"bad_property $.properties.{name}"
    assert reason(**{name: "[]"}) == f"bad_type $.properties.{name}"


def test_of_the_two_names_of_a_percentage_one_is_sent() -> None:
    assert message(discount_percent="10", percent_off="10") == (
        "bad_property $.properties.percent_off: beside discount_percent; send one of them"
    )
    assert mrr(discount_percent="10", percent_off="null") == 1799


@pytest.mark.parametrize("name", NOT_UNDERSTOOD)
def test_what_changes_the_price_otherwise_is_refused_with_what_to_send(name: str) -> None:
    for value in ('"SPRING"', "5", "0.01", "true", "[1]", '{"id": "x"}', "1e400"):
        assert message(**{name: value}) == (
            f"bad_property $.properties.{name}: changes the price; {NOT_UNDERSTOOD[name]}"
        )
        assert mrr(status='"cancelled"', **{name: value}) == 0  # nobody pays: an end must not be lost
    for value in ("null", "false", "0", "0.00", '"0.00"', '""', "[]", "{}", "[ ]"):
        assert mrr(**{name: value}) == 1999
    for word in PLAIN.get(name, ()):
        assert mrr(**{name: json.dumps(word.upper())}) == 1999


def test_an_understood_name_in_camel_case_is_refused_and_not_passed_over() -> None:
    for spelt, name in (
        ("intervalCount", "interval_count"),
        ("discountPercent", "discount_percent"),
        ("percentOff", "percent_off"),
    ):
        assert message(**{spelt: "3"}) == f"bad_property $.properties.{spelt}: changes the price; send it as {name}"
        assert mrr(**{name: "3"}) != mrr()
    assert reason(couponCode='"SPRING"') == "bad_property $.properties.couponCode"


def test_taxes_are_no_revenue_and_not_looked_at() -> None:
    assert mrr(tax='"3.80"', tax_percent="19", default_tax_rates='["txr_1"]') == 1999


def test_minor_units_are_those_of_the_currency() -> None:
    assert mrr(Terms("USD", 2, {}, minor=True), amount="1999", discount="99") == 1900
    assert mrr(Terms("USD", 2, {}, minor=True), amount='"0.5"', quantity="3") == 2  # as unit_amount_decimal: 1.5 cents
    assert mrr(Terms("JPY", 0, {}, minor=True), amount="500", currency='"JPY"') == 500
    assert mrr(Terms("KWD", 3, {}, minor=True), amount="1999", currency='"KWD"') == 1999
    items = '[{"amount": 1000, "interval": "month"}, {"amount": 250, "interval": "month", "quantity": 2}]'
    assert mrr(Terms("USD", 2, {}, minor=True), items=items, percent_off="10", **WITHOUT) == 1350


def test_a_sequence_is_an_integer_of_63_bits() -> None:
    for text, sequence in (("0", 0), ("-0", 0), ("7", 7), (str(2**63 - 2), 2**63 - 2), ("null", None)):
        outcome = read(sequence=text)
        assert isinstance(outcome, State)
        assert outcome.sequence == sequence
    for text in ("-1", str(2**63 - 1), "1" * 4000):
        assert (
            message(sequence=text) == f"bad_property $.properties.sequence: expected an integer from 0 to {2**63 - 2}"
        )
    for text, kind in (('"7"', "str"), ("7.0", "float"), ("1e3", "float"), ("true", "bool"), ("[]", "array")):
        assert message(sequence=text) == f"bad_type $.properties.sequence: expected int, got {kind}"


def test_what_is_replaced_is_the_id_of_another_subscription() -> None:
    outcome = read(replaces='"s0"')
    assert isinstance(outcome, State)
    assert outcome.replaces == "s0"
    assert message(replaces='"s1"') == (
        "bad_property $.properties.replaces: expected another subscription, got its own id"
    )
    assert reason(replaces='"null"') == "bad_id $.properties.replaces"
    assert reason(replaces="7") == "bad_type $.properties.replaces"
    assert reason(replaces=r'"\ud800"') == "not_json $"
