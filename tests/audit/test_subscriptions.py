"""The reference's subscriptions against numbers worked out by hand, their identities, and what changes no number.

In the timelines a state is written `subscription status price`, at a minute after START; W = T - 10 s.
"""

from __future__ import annotations

import json
import re
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from flows.audit import Event, Record, Rejection, recompute
from flows.audit.money import decimal_of, monthly_minor_units
from flows.audit.parse import parse
from flows.audit.records import Exclusion, State
from flows.config.model import Config
from tests.laws.histories import Document, encoded, history
from tests.thorough import some_of

START = 1_772_442_000_000  # 2026-03-02T09:00:00Z
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
PLANS = ["Basic", "Pro", "Team Plan"]
LABELS = ("basic", "pro", "team_plan", "other", "unknown")
HISTORIES = some_of(1_000)


def config(**options: Any) -> Config:
    section = {"currency": "USD", "plans": PLANS} | options.pop("subscriptions", {})
    return Config.model_validate({"subscriptions": section} | options)


# Money


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        *(("20", 20), ("20.00", 20), ("0", 0), ("-0", 0), ("0.1", Fraction(1, 10)), ("1e2", 100)),
        *(("2.5E-1", Fraction(1, 4)), ("00012", 12), ("999999999999999.99", 10**15 - Fraction(1, 100))),
        *(("1e-30", Fraction(1, 10**30)), ("0e-99", 0)),
        *(("1e15", None), ("-0.01", None), ("+5", None), (".5", None), ("5.", None), (" 5", None)),
        *(("1,000", None), ("1e-31", None), ("1.0e-30", None), ("NaN", None), ("Infinity", None), ("", None)),
        *(("٣", None), ("9" * 51, None), ("1e999999999999999999999999", None), ("1e-999999999", None)),
    ],
)
def test_a_decimal_is_read_exactly_or_not_at_all(text: str, amount: int | Fraction | None) -> None:
    assert decimal_of(text) == amount


@pytest.mark.parametrize(
    ("amount", "quantity", "discount", "every", "decimals", "a_month"),
    [
        ("99.90", 3, "29.70", (1, "year"), 2, 2250),
        ("10.00", 1, "0", (1, "week"), 2, 4333),  # 43.3333...
        ("1.00", 1, "0", (1, "day"), 2, 3042),  # 30.41666...
        ("100.00", 1, "0", (3, "month"), 2, 3333),
        ("90.00", 1, "0", (90, "day"), 2, 3042),  # a dollar a day, too
        ("0.30", 1, "0", (1, "year"), 2, 2),  # 2.5 cents
        ("0.42", 1, "0", (1, "year"), 2, 4),  # 3.5 cents
        ("0.10", 3, "0", (1, "month"), 2, 30),
        ("5.00", 1, "8.00", (1, "month"), 2, 0),
        ("5.00", 0, "0", (1, "month"), 2, 0),
        ("500", 1, "0", (1, "month"), 0, 500),  # yen
        ("1.2345", 1, "0", (1, "month"), 3, 1234),  # dinars: 1234.5
        ("0.005", 1, "0", (1, "month"), 2, 0),  # half a cent, twice
        ("0.015", 1, "0", (1, "month"), 2, 2),
    ],
)
def test_a_price_is_brought_to_a_month_and_rounded_once(
    amount: str, quantity: int, discount: str, every: tuple[int, str], decimals: int, a_month: int
) -> None:
    count, interval = every
    price = (Fraction(amount), quantity, Fraction(discount), interval, count, decimals)
    assert monthly_minor_units(*price) == a_month


# Reading

GOOD: dict[str, Any] = {
    "subscription_id": "s1",
    "status": "active",
    "plan": "Basic",
    "currency": "USD",
    "amount": "20.00",
    "interval": "month",
}
CODES = config(
    subscriptions={
        "events": {"Subscription Changed": None, "Subscription Started": "active"},
        "statuses": {"In Trial": "trialing", "unpaid": "past_due"},
    }
)


def read(properties: dict[str, Any], name: str = "Subscription Changed", **more: Any) -> Event | Rejection:
    document = {"type": "track", "event": name, "userId": "ana", "timestamp": START, "properties": properties}
    found = parse(Record(json.dumps(document | more).encode()), CODES)
    assert not isinstance(found, Exclusion), found
    return found


def state(name: str = "Subscription Changed", without: str = "", **properties: Any) -> State:
    found = read({key: value for key, value in (GOOD | properties).items() if key != without}, name)
    assert isinstance(found, Event), found
    told = found.told["subscription"]
    assert isinstance(told, State)
    return told


def reason(name: str = "Subscription Changed", without: str = "", **properties: Any) -> tuple[str, str]:
    """Why it is refused, and the property."""
    found = read({key: value for key, value in (GOOD | properties).items() if key != without}, name)
    assert isinstance(found, Rejection), found
    return found.reason, re.split(r"[.:]", found.message)[2]


def test_a_state_is_read_whole() -> None:
    assert state() == State("ana", "s1", "active", "basic", 2000, START, False)
    assert state(
        customer_id="acme",
        status="PAST_DUE",
        plan="Enterprise",
        currency="usd",
        amount=360,
        interval="Year",
        quantity=2,
        discount="120",
        effective_at="2026-03-03T09:00:00Z",
        cancel_at=START + DAY,
    ) == State("acme", "s1", "past_due", "other", 5000, START + DAY, True)


def test_only_the_events_that_the_config_names_carry_a_state() -> None:
    for found in (
        read(GOOD, "Order Completed"),
        read(GOOD, type="page"),
    ):
        assert isinstance(found, Event)
        assert found.told == {}
    assert state("subscription  STARTED").status == "active"


def test_a_status_is_what_it_says_or_what_the_name_stands_for() -> None:
    assert state("Subscription Started", without="status").status == "active"
    assert state("Subscription Started", status="in trial") == state(status="trialing")
    assert state(status="Unpaid").status == "past_due"
    assert state(status="canceled").status == "cancelled"
    assert reason(without="status") == ("missing_field", "status")
    assert reason(status="Past Due") == ("bad_property", "status")


def test_a_plan_that_is_not_listed_is_other_and_none_is_unknown() -> None:
    plans = {"team plan!": "other", "TEAM  plan": "team_plan", "": "unknown", None: "unknown", 7: "other"}
    assert {plan: state(plan=plan).plan for plan in plans} == plans
    assert (state(without="plan").plan, state(plan=[]).plan) == ("unknown", "other")


def test_who_does_not_pay_needs_no_price_but_a_wrong_one_is_wrong() -> None:
    for missing in ("currency", "amount", "interval"):
        assert state(without=missing, status="trialing").mrr == 0
        assert reason(without=missing) == ("missing_field", missing)
        nothing: dict[str, Any] = {missing: None}
        assert reason(status="past_due", **nothing) == ("missing_field", missing)
    assert reason(status="paused", currency="EUR") == ("unsupported_currency", "currency")
    assert reason(status="paused", amount="much") == ("bad_property", "amount")
    assert state(status="paused").mrr == 0


OUT_OF_RANGE = {
    "amount": "1e15",
    "quantity": 10**9 + 1,
    "interval_count": 1001,
    "effective_at": START + 400 * DAY + 1,
}


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        *(("subscription_id", value, "bad_id") for value in ("", "NULL", "0", "x" * 256, "a\0b")),
        *(("customer_id", value, "bad_id") for value in ("", "undefined", "x" * 256)),
        *((field, 7, "bad_type") for field in ("subscription_id", "customer_id", "status", "currency", "interval")),
        *((field, [], "bad_type") for field in ("amount", "discount", "effective_at", "cancel_at", "quantity")),
        *((field, "3", "bad_type") for field in ("quantity", "interval_count")),
        *((field, -1, "bad_property") for field in ("amount", "discount", "quantity", "interval_count", "cancel_at")),
        *((field, 2.5, "bad_property") for field in ("quantity", "interval_count")),
        *((field, value, "bad_property") for field, value in OUT_OF_RANGE.items()),
        *(("interval", "fortnight", "bad_property"), ("interval_count", 0, "bad_property")),
        *(("effective_at", "2026-03-02", "bad_property"), ("cancel_at", "", "bad_property")),
        *(("currency", "US", "unsupported_currency"), ("currency", "", "unsupported_currency")),
    ],
)  # fmt: skip
def test_a_wrong_field_is_refused_with_its_reason(field: str, value: Any, why: str) -> None:
    assert reason(**{field: value}) == (why, field)


def test_limits_themselves_are_good() -> None:
    assert state(effective_at=START + 400 * DAY).effective_at == START + 400 * DAY
    assert state(effective_at="2000-01-01T00:00:00Z", cancel_at="2099-12-31T23:59:59.999Z").cancels
    assert state(amount="0.01", quantity=10**9).mrr == 10**9
    assert state(amount="1000", interval_count=1000).mrr == 100
    assert reason(amount="9999999999999.99", quantity=2) == ("bad_property", "amount")  # 10^15 cents and more


def test_the_first_wrong_field_gives_the_reason() -> None:
    assert reason(subscription_id=7, customer_id="", status="happy") == ("bad_type", "subscription_id")
    assert reason(status="happy", currency="EUR") == ("bad_property", "status")
    assert reason(currency="EUR", amount="much") == ("unsupported_currency", "currency")
    assert reason(effective_at="soon", cancel_at="later") == ("bad_property", "effective_at")


def test_items_and_percentages_come_to_one_price() -> None:
    items = [{"amount": "30.00", "interval": "month"}, {"amount": 60, "interval": "year", "quantity": 2, "plan": "Pro"}]
    whole: dict[str, Any] = {"items": items, "amount": None, "interval": None}
    assert (state(**whole).mrr, state(**whole).plan) == (4000, "basic")
    assert state(**whole, percent_off=25).mrr == 3000
    assert state(items=[items[1]], amount=None, interval=None, discount="60").mrr == 500  # (120 - 60) / 12
    assert reason(**whole, discount="1") == ("bad_property", "discount")
    assert reason(items=items) == ("bad_property", "amount")
    assert reason(items=[{}], amount=None, interval=None) == ("missing_field", "items[0]")
    assert state(quantity=3, discount_percent=10, discount="4.00").mrr == 5000  # 60.00 - 6.00 - 4.00
    assert reason(discount_percent=10, percent_off=10) == ("bad_property", "percent_off")
    assert reason(discount_percent=100.5) == ("bad_property", "discount_percent")


def test_what_changes_the_price_otherwise_is_refused_while_somebody_pays() -> None:
    for value in ("SPRING", 5, True, [1], {"id": 1}):
        assert reason(coupon=value) == ("bad_property", "coupon")
        assert state(coupon=value, status="cancelled").mrr == 0
    empty: tuple[Any, ...] = (None, "", 0, False, [], {}, "0.00")
    for nothing in empty:
        assert state(coupon=nothing).mrr == 2000
    assert state(billing_scheme="per_unit").mrr == 2000
    assert reason(billing_scheme="tiered") == ("bad_property", "billing_scheme")


def test_a_sequence_and_a_successor_are_read() -> None:
    assert (state(sequence=7).sequence, state().sequence, state(replaces="s0").replaces) == (7, None, "s0")
    assert reason(replaces="s1") == ("bad_property", "replaces")
    assert [reason(sequence=wrong)[0] for wrong in ("7", 7.0, -1, 2**63 - 1)] == ["bad_type"] * 2 + ["bad_property"] * 2


# The rules, one by one

Told = tuple[float, str]


def told(*states: Told, look: float, **more: Any) -> dict[str, int | float]:
    """Cells when W has just passed the minute `look`, after the states read by then, in the order of reading.

    A state is written `customer/subscription status price [plan] [@ minute from which it holds] [cancel]
    [# sequence]`.
    """
    now = int(START + look * MINUTE) + 10 * SECOND + 1
    records = [Record(b'{"type": "page", "userId": "x", "timestamp": %d}' % (START - DAY))]
    clock = START
    for minute, text in states:
        clock = max(clock, int(START + minute * MINUTE))
        if clock > now:
            break
        words = text.split()
        customer, subscription = words[0].split("/")
        properties = GOOD | {
            "subscription_id": subscription,
            "customer_id": customer,
            "status": words[1],
            "amount": words[2],
        }
        if "@" in words:
            properties["effective_at"] = START + int(float(words[words.index("@") + 1]) * MINUTE)
        if "#" in words:
            properties["sequence"] = int(words[words.index("#") + 1])
        if "cancel" in words:
            properties["cancel_at"] = START + 300 * DAY
        properties["plan"] = next((plan for plan in ("Pro", "Basic", "Own") if plan in words), "Basic")
        document: dict[str, Any] = {"type": "track", "event": "Subscription Changed", "userId": "clerk"}
        document |= {"timestamp": int(START + minute * MINUTE), "properties": properties}
        records.append(Record(json.dumps(document).encode(), 0, len(records)))
    return recompute(records, config(**more), now).cells


def test_a_state_is_used_once_the_watermark_is_beyond_it() -> None:
    at, after = (told((0, "a/s active 20"), look=look) for look in (-1 / 60_000, 0))
    assert (at["mrr"], after["mrr"]) == (0, 2000)


def test_the_later_effective_wins_and_among_equals_the_later_issued() -> None:
    #   0 20.-   2 30.-, from 1   3 40.-, from 0.5: stale   4 50.-, from 1: as old as the one that holds, issued later
    states = (
        (0, "a/s active 20"),
        (2, "a/s active 30 @ 1"),
        (3, "a/s active 40 @ 0.5"),
        (4, "a/s active 50 @ 1"),
    )
    looks = [told(*states, look=look) for look in (1.5, 2, 3, 4)]
    assert [look["mrr"] for look in looks] == [2000, 3000, 3000, 5000]
    assert [look["subscriptions.stale"] for look in looks] == [0, 0, 1, 1]


def test_a_state_of_the_same_moment_that_is_read_later_wins_and_repeating_it_changes_nothing() -> None:
    states = ((0, "a/s active 20"), (0, "a/s active 30"), (0, "a/s active 30"), (1, "a/s active 30"))
    cells = told(*states, look=2)
    movements = [cells[f"mrr.{kind}.total"] for kind in ("new", "expansion", "contraction")]
    assert movements == [2000, 1000, 0]
    assert cells["subscriptions.stale"] == 0


@pytest.mark.parametrize("renewal", ["a/s active 20 @ 5 # 2", "a/s active 30 Pro @ 5 # 2"])
@pytest.mark.parametrize("told_at", [(1, 5), (5, 5), (5, 6), (6, 6.5)])
def test_a_loss_that_a_higher_sequence_supersedes_at_its_own_moment_is_no_churn(
    renewal: str, told_at: tuple[float, float]
) -> None:
    #   0 20.-   at told_at: cancelled, and renewed, both from 5
    cancelled, renewed = told_at
    cells = told((0, "a/s active 20"), (cancelled, "a/s cancelled 0 @ 5 # 1"), (renewed, renewal), look=8)
    assert cells["mrr"] == cells["mrr.new.total"] + cells["mrr.expansion.total"] == (3000 if "Pro" in renewal else 2000)
    assert (cells["mrr.churned.total"], cells["mrr.reactivated.total"], cells["customers.churned.total"]) == (0, 0, 0)
    assert cells["mrr.moved.basic.pro.total"] == (2000 if "Pro" in renewal else 0)
    assert cells["mrr.difference{plan=basic}"] == cells["mrr.difference{plan=pro}"] == 0


def test_a_loss_stays_booked_when_the_customer_has_changed_otherwise_or_the_renewal_has_no_higher_sequence() -> None:
    #   0 20.-   1 cancelled, from 1   2 another one, 5.-   3 renewed, from 1
    cells = told(
        *((0, "a/s active 20"), (1, "a/s cancelled 0 # 1"), (2, "a/t active 5"), (3, "a/s active 20 @ 1 # 2")), look=8
    )
    assert (cells["mrr"], cells["mrr.churned.total"], cells["mrr.reactivated.total"]) == (2500, 2000, 500)
    for renewal in ("a/s active 20 @ 1 # 1", "a/s active 20 # 2"):
        cells = told((0, "a/s active 20"), (1, "a/s cancelled 0 # 1"), (3, renewal), look=8)
        assert (cells["mrr"], cells["mrr.churned.total"], cells["mrr.reactivated.total"]) == (2000, 2000, 2000)


def test_movements_are_booked_when_the_state_took_effect_also_long_ago() -> None:
    #   0 20.-   1000 30.-, from 10   look at 1000 = 16 h 40 min
    cells = told((0, "a/s active 20"), (1000, "a/s active 30 @ 10"), look=1000)
    assert [cells[f"mrr.expansion.{w}"] for w in ("1h", "24h", "total")] == [0, 1000, 1000]


def test_a_pending_state_holds_from_its_moment_and_goes_before_the_states_of_that_moment() -> None:
    #   0 20.-   1 50.-, from 5   5 30.-
    states = ((0, "a/s active 20"), (1, "a/s active 50 @ 5"), (5, "a/s active 30"))
    before, after = (told(*states, look=look) for look in (5 - 1 / 60_000, 5))
    assert (before["mrr"], before["subscriptions.pending"]) == (2000, 1)
    assert (after["mrr"], after["subscriptions.pending"]) == (3000, 0)
    assert (after["mrr.expansion.total"], after["mrr.contraction.total"]) == (3000, 2000)


def test_the_latest_state_ahead_replaces_the_one_that_was_pending() -> None:
    #   0 20.-   1 50.-, from 5   2 40.-, from 9
    states = ((0, "a/s active 20"), (1, "a/s active 50 @ 5"), (2, "a/s active 40 @ 9"))
    assert [told(*states, look=look)["mrr"] for look in (4, 6, 9)] == [2000, 2000, 4000]


def test_a_cancellation_drops_what_was_pending_before_it_and_not_what_comes_after() -> None:
    #   0 20.-   1 50.-, from 5   2 cancelled   3 70.-, from 6
    states = ((0, "a/s active 20"), (1, "a/s active 50 @ 5"), (2, "a/s expired 20"), (3, "a/s active 70 @ 6"))
    cells = told(*states, look=5.5)
    assert (cells["mrr"], cells["subscriptions.pending"]) == (0, 1)
    assert told(*states, look=6)["mrr.reactivated.total"] == 7000


def test_states_that_do_not_end_the_subscription_leave_the_pending_one() -> None:
    #   0 20.-   1 50.-, from 5   2 30.-   3 paused
    states = ((0, "a/s active 20"), (1, "a/s active 50 @ 5"), (2, "a/s active 30"), (3, "a/s paused 30"))
    assert [told(*states, look=look)["mrr"] for look in (2, 3, 5)] == [3000, 0, 5000]


def test_a_late_state_ahead_gives_way_to_one_that_was_issued_later() -> None:
    #   2 50.-, from 9   4 (another's)   1 40.-, from 8, late: stale
    states = ((0, "a/s active 20"), (2, "a/s active 50 @ 9"), (4, "b/s trialing 0"), (1, "a/s active 40 @ 8"))
    assert [told(*states, look=look)["mrr"] for look in (4, 8, 9)] == [2000, 2000, 5000]
    assert told(*states, look=4)["subscriptions.stale"] == 1
    #   2 cancelled   4 (another's)   1 40.-, from 8, late: stale
    states = ((0, "a/s active 20"), (2, "a/s cancelled 0"), (4, "b/s trialing 0"), (1, "a/s active 40 @ 8"))
    assert [told(*states, look=look)["mrr"] for look in (1, 4, 8)] == [2000, 0, 0]
    assert told(*states, look=4)["subscriptions.stale"] == 1


def test_a_late_cancellation_leaves_a_pending_state_that_was_issued_later() -> None:
    #   0 20.-   2 50.-, from 8   4 (another's)   1 cancelled, late
    states = ((0, "a/s active 20"), (2, "a/s active 50 @ 8"), (4, "b/s trialing 0"), (1, "a/s cancelled 0"))
    assert [told(*states, look=look)["mrr"] for look in (3.5, 4, 8)] == [2000, 0, 5000]


def test_a_stale_cancellation_drops_nothing() -> None:
    #   0 20.-   1 50.-, from 5   2 cancelled, from -1: stale
    states = ((0, "a/s active 20"), (1, "a/s active 50 @ 5"), (2, "a/s cancelled 20 @ -1"))
    cells = told(*states, look=5)
    assert (cells["mrr"], cells["subscriptions.stale"]) == (5000, 1)


def test_a_late_state_takes_its_turn_when_it_is_read() -> None:
    # The clock stands at 5, the watermark at 4:50, when the state of minute 1 is read: used at 4:50.
    #   0 20.-   5 30.-   1 40.-, late: applies before that of 5
    states: tuple[Told, ...] = ((0, "a/s active 20"), (5, "a/s active 30"), (1, "a/s active 40"))
    assert [told(*states, look=look)["mrr"] for look in (4.8, 4.84, 5)] == [2000, 4000, 3000]
    assert told(*states, look=5)["mrr.contraction.total"] == 1000
    # When the clock has passed minute 5 by more than the lateness before it is read, it is stale.
    states = ((0, "a/s active 20"), (5, "a/s active 30"), (6, "b/s trialing 0"), (1, "a/s active 40"))
    cells = told(*states, look=7)
    assert (cells["mrr"], cells["subscriptions.stale"], cells["mrr.expansion.total"]) == (3000, 1, 1000)


def test_each_state_is_a_change_of_its_own_even_in_one_millisecond() -> None:
    # s ends and t begins: churned and back. The other way round: expansion and contraction.
    cells = told((0, "a/s active 20"), (1, "a/s cancelled 20"), (1, "a/t active 50"), look=2)
    assert (cells["mrr.churned.total"], cells["mrr.reactivated.total"], cells["customers.new.total"]) == (
        2000,
        5000,
        1,
    )
    cells = told((0, "a/s active 20"), (1, "a/t active 50"), (1, "a/s cancelled 20"), look=2)
    assert (cells["mrr.expansion.total"], cells["mrr.contraction.total"], cells["mrr.churned.total"]) == (
        5000,
        2000,
        0,
    )


def test_never_paid_is_said_of_the_customer_and_not_of_the_subscription() -> None:
    cells = told((0, "a/s active 20"), (1, "a/s expired 20"), (2, "a/t active 5"), look=3)
    assert (cells["mrr.new.total"], cells["mrr.reactivated.total"]) == (2000, 500)
    free = told((0, "a/s active 0"), (1, "a/s cancelled 0"), (2, "a/s active 5"), look=3)
    assert (free["mrr.new.total"], free["customers.churned.total"], free["subscriptions.active"]) == (
        500,
        0,
        1,
    )


def by_plan(cells: dict[str, int | float], name: str) -> dict[str, int | float]:
    """The numbers of a cell's plans that are not 0."""
    return {plan: cells[f"{name}{{plan={plan}}}"] for plan in LABELS if cells[f"{name}{{plan={plan}}}"]}


def test_a_change_of_plan_moves_what_was_paid_and_the_rest_belongs_to_the_new_plan() -> None:
    #   0 Basic 20.-   1 Pro 50.-   2 Own (not listed) 50.-   3 Basic 10.-   4 nothing on Pro
    states = ((0, "a/s active 20 Basic"), (1, "a/s active 50 Pro"), (2, "a/s active 50 Own"),
              (3, "a/s active 10 Basic"), (4, "a/s paused 50 Pro"))  # fmt: skip
    cells = told(*states, look=3)
    assert by_plan(cells, "mrr.moved_out.total") == {"basic": 2000, "pro": 5000, "other": 5000}
    assert by_plan(cells, "mrr.moved_in.total") == {"basic": 5000, "pro": 2000, "other": 5000}
    assert by_plan(cells, "mrr.expansion.total") == {"pro": 3000}
    assert by_plan(cells, "mrr.contraction.total") == {"basic": 4000}
    assert by_plan(cells, "mrr") == {"basic": 1000}
    assert (cells["mrr.moved.basic.pro.1h"], cells["mrr.moved.pro.basic.1h"]) == (2000, 0)
    assert not [name for name in cells if re.match(r"mrr\.moved\..*other", name)]
    after = told(*states, look=4)
    assert by_plan(after, "mrr.churned.total") == {"basic": 1000}
    assert by_plan(after, "customers.churned.total") == {"basic": 1}
    assert by_plan(after, "mrr") == {}


def test_only_the_pairs_asked_for_are_counted_one_by_one() -> None:
    cells = told((0, "a/s active 20 Basic"), look=1, subscriptions={"moves": [["Pro", "Basic"]]})
    assert {name.rsplit(".", 1)[0] for name in cells if name.startswith("mrr.moved.")} == {"mrr.moved.pro.basic"}


def test_a_cancellation_is_requested_once_until_it_has_been_withdrawn() -> None:
    #   0 asks at once   1 again   2 withdrawn   3 asks   4 cancelled   5 back, asks: the state before had asked, too
    states = (
        *((0, "a/s trialing 20 cancel"), (1, "a/s active 20 cancel"), (2, "a/s active 20")),
        *((3, "a/s active 20 cancel"), (4, "a/s cancelled 20 cancel"), (5, "a/s active 20 cancel")),
        (6, "b/s cancelled 20 cancel"),
    )
    requested = [told(*states, look=look)["subscriptions.cancel_requested.total"] for look in range(7)]
    assert requested == [1, 1, 1, 2, 2, 2, 2]


def test_rates_are_of_what_there_was_when_the_window_began() -> None:
    # An hour before the look at 120: a and b with 20.- each; d had left. Since then a went, b grew by 10.-, c came
    # with 5.-, and d came back with 5.-.
    states = ((0, "a/s active 20"), (0, "b/s active 20"), (0, "d/s active 1"), (1, "d/s expired 1"),
              (90, "a/s expired 20"), (91, "b/s active 30"), (92, "c/s active 5"), (93, "d/s active 5"))  # fmt: skip
    cells = told(*states, look=120)
    names = ("customer_churn_rate.1h", "mrr_churn_rate.1h", "net_mrr_churn_rate.1h", "arr", "arpa")
    assert [cells[name] for name in names] == [1 / 2, 1 / 2, 1 / 8, 48_000, 4000 / 3]
    kept = ("customer_retention_rate", "customer_growth_ratio", "gross_revenue_retention", "net_revenue_retention")
    assert [cells[f"{name}.1h"] for name in kept] == [1 / 2, 3 / 2, 1 / 2, (4000 + 1000 - 2000) / 4000]
    assert "customer_churn_rate.24h" not in cells


def test_a_rate_of_loss_is_of_those_who_were_there_at_the_start() -> None:
    # a is there an hour before the look at 120, and leaves and comes back twice; c comes and goes. Of the start's one
    # customer all is lost: 1, though three churns are in the window.
    states = ((0, "a/s active 20"), (70, "a/s expired 20"), (80, "a/s active 20"), (90, "a/s expired 20"),
              (95, "a/s active 20"), (100, "c/s active 5"), (110, "c/s expired 5"))  # fmt: skip
    cells = told(*states, look=120)
    assert (cells["customers.churned.1h"], cells["customers.churned_inside.1h"]) == (3, 2)
    assert (cells["customer_churn_rate.1h"], cells["customer_retention_rate.1h"]) == (1.0, 0.0)
    assert cells["mrr_churn_rate.1h"] == (2000 + 2000 + 500) / 2000


def test_who_came_before_the_window_and_goes_in_it_is_lost_of_the_start() -> None:
    states = ((0, "b/s active 20"), (59, "a/s active 20"), (61, "a/s expired 20"))
    seen = [told(*states, look=look) for look in (62, 119, 121)]
    assert [cells["customers.churned_inside.1h"] for cells in seen] == [1, 0, 0]
    assert [cells.get("customer_churn_rate.1h") for cells in seen] == [0.0, 1 / 2, 0.0]


def test_the_same_subscription_of_another_customer_is_another_one() -> None:
    cells = told((0, "a/s active 20"), (1, "b/s active 30"), look=2)
    assert (cells["mrr"], cells["subscriptions.active"], cells["customers.active"]) == (5000, 2, 2)


def test_every_cell_of_a_small_config_is_there() -> None:
    options = {"windows": ["5m", "1h"], "ratio_windows": ["1h"], "subscriptions": {"plans": ["Pro", "Basic"]}}
    cells = told((0, "a/s active 20"), look=70, **options)
    mine = {
        name
        for name in cells
        if name.startswith(("mrr", "customer", "subscriptions", "arr", "arpa", "net_", "gross_revenue"))
    }
    p = [f"{{plan={plan}}}" for plan in ("pro", "basic", "other", "unknown")]
    w = ("5m", "1h", "total")
    expected = {f"{name}{x}" for name in ("mrr", "customers.active", "arr", "mrr.difference") for x in ("", *p)}
    expected |= {"arpa", "arpa{plan=basic}"}
    expected |= {f"subscriptions.{name}" for name in ("active", "pending", "stale", "refused")}
    expected |= {f"subscriptions.cancel_requested.{x}" for x in w}
    counted = ("new", "churned", "reactivated", "churned_inside")
    expected |= {f"customers.{kind}.{x}{y}" for kind in counted for x in w for y in ("", *p)}
    kinds = ("new", "expansion", "contraction", "churned", "reactivated")
    expected |= {f"mrr.{kind}.{x}{y}" for kind in kinds for x in w for y in ("", *p)}
    expected |= {f"mrr.{kind}.{x}{y}" for kind in ("moved_in", "moved_out") for x in w for y in p}
    of_pairs = ("mrr.moved", "customers.churned_after_move")
    expected |= {f"{name}.{pair}.{x}" for name in of_pairs for pair in ("pro.basic", "basic.pro") for x in w}
    # Where each window begins, at 10 and at 65, a pays.
    rates = ["customer_churn_rate", "customer_retention_rate", "customer_growth_ratio", "mrr_churn_rate"]
    rates += ["net_mrr_churn_rate", "gross_revenue_retention", "net_revenue_retention"]
    assert mine == expected | {f"{name}.{window}" for name in rates for window in ("5m", "1h")}


def test_without_the_section_nothing_of_subscriptions_is_measured_or_refused() -> None:
    document = {
        "type": "track",
        "event": "Subscription Changed",
        "userId": "a",
        "timestamp": START,
        "properties": {},
    }
    result = recompute([Record(json.dumps(document).encode())], Config())
    assert result.accounting[0]["accepted"] == 1
    assert not [name for name in result.cells if name.startswith(("mrr", "customers", "subscriptions"))]


# Identities and invariances, over random histories

LATER = (None, START + 3 * DAY, START + 40 * DAY, START + 900 * DAY)


def assert_identities(cells: dict[str, int | float]) -> None:
    for plan in ("", *(f"{{plan={label}}}" for label in LABELS)):
        won = [cells[f"mrr.{kind}.total{plan}"] for kind in ("new", "reactivated", "expansion")]
        lost = [cells[f"mrr.{kind}.total{plan}"] for kind in ("contraction", "churned")]
        if plan:
            won.append(cells[f"mrr.moved_in.total{plan}"])
            lost.append(cells[f"mrr.moved_out.total{plan}"])
        assert cells[f"mrr{plan}"] == sum(won) - sum(lost)
        assert cells[f"mrr.difference{plan}"] == 0
    new, reactivated, churned = (cells[f"customers.{kind}.total"] for kind in ("new", "reactivated", "churned"))
    assert cells["customers.active"] == new + reactivated - churned
    kinds = ("mrr.new", "mrr.expansion", "mrr.contraction", "mrr.churned", "mrr.reactivated")
    for name in ("mrr", *(f"{kind}.{window}" for kind in kinds for window in ("5m", "30d", "total"))):
        assert cells[name] == sum(cells[f"{name}{{plan={label}}}"] for label in LABELS)
    moved_in = sum(cells[f"mrr.moved_in.total{{plan={label}}}"] for label in LABELS)
    assert moved_in == sum(cells[f"mrr.moved_out.total{{plan={label}}}"] for label in LABELS)
    for name, value in cells.items():
        if name.startswith(("mrr.", "mrr{", "customers", "subscriptions", "arr")):
            assert isinstance(value, int), name
            assert value >= 0, name


def test_the_identities_hold_in_total_and_by_plan() -> None:
    for seed in range(HISTORIES):
        assert_identities(recompute(encoded(history(seed)), config(), LATER[seed % 4]).cells)


def on_time(seed: int) -> list[Document]:
    """A history in the order of time, and without copies."""
    documents = {id(document): document for document in history(seed) if "messageId" in document}
    once = {document["messageId"]: document for document in documents.values()}
    return sorted(once.values(), key=lambda document: document["timestamp"])


def test_disorder_within_the_lateness_and_partitions_change_no_number() -> None:
    for seed in range(HISTORIES // 5):
        random, documents = Random(seed), on_time(seed)
        # At equal times order matters, so that only events at different times may change places.
        arrives = {at: at + random.randint(0, 10 * SECOND) for at in {d["timestamp"] for d in documents}}
        shuffled = sorted(documents, key=lambda document: arrives[document["timestamp"]])
        expected = recompute(encoded(documents), config(), LATER[seed % 4])
        assert not any(account["late"] for account in expected.accounting.values())
        for partitions in (1, 4):
            found = recompute(encoded(shuffled, partitions), config(), LATER[seed % 4])
            assert found.cells == expected.cells


def test_a_state_that_is_told_twice_changes_no_number() -> None:
    for seed in range(HISTORIES // 5):
        twice = [
            document | {"messageId": f"{document['messageId']} {time}"}
            for document in on_time(seed)
            for time in ("first", "second")
        ]
        once, again = (
            recompute(encoded(documents), config(), LATER[seed % 4]).cells for documents in (twice[::2], twice)
        )
        told_of = {name for name in once if name.startswith(("mrr", "customers", "subscriptions"))}
        for name in told_of - {"subscriptions.stale"}:
            assert again[name] == once[name], name


def test_histories_have_all_that_happens_to_subscriptions() -> None:
    happened = dict.fromkeys(("mrr.new", "mrr.expansion", "mrr.contraction", "mrr.churned", "mrr.reactivated"), 0)
    happened |= {f"mrr.moved.{one}.{other}": 0 for one, other in pairwise(("basic", "pro", "team_plan", "basic"))}
    happened |= {"subscriptions.cancel_requested": 0}
    now = dict.fromkeys(("subscriptions.stale", "subscriptions.pending"), 0)
    accounts = dict.fromkeys(("late", "duplicate", "rejected.unsupported_currency", "rejected.bad_property"), 0)
    for seed in range(200):
        result = recompute(encoded(history(seed)), config())
        for name in happened:
            happened[name] += result.cells[f"{name}.total"] > 0
        for name in now:
            now[name] += result.cells[name] > 0
        for name in accounts:
            accounts[name] += result.accounting[0][name] > 0
    assert min([*happened.values(), *now.values(), *accounts.values()]) >= 3, (happened, now, accounts)
    assert history(7) == history(7) != history(8)
