"""States on their way from bytes to columns: the fast way, the slow one, and what goes along with them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flows.config.limits import Limits
from flows.config.model import Config
from flows.decode.hashing import id_hash
from flows.decode.intake import Intake
from flows.messages.columns import REASONS, Columns
from flows.messages.raw import Raw, Rejected
from flows.metrics.subscriptions.fact import state_fact
from flows.route.deal import deal_facts
from tests.thorough import examples

NINE = 1_772_442_000_000  # 2026-03-02T09:00:00Z
CONFIG = Config.model_validate(
    {
        "events": ["Subscription Churned"],
        "exclude": {"events": ["Heart Beat"]},
        "subscriptions": {
            "plans": ["Basic", "pro"],
            "events": {"Subscription Changed": None, "Subscription Stopped": "cancelled"},
            "statuses": {"unpaid": "past_due"},
        },
    }
)
assert CONFIG.subscriptions is not None
DTYPE = state_fact(CONFIG.subscriptions).dtype
GOOD: dict[str, Any] = {"subscription_id": "s1", "status": "active", "plan": "Pro", "amount": "19.99"} | {
    "interval": "month",
    "currency": "USD",
}


def event(name: str = "Subscription Changed", **properties: Any) -> bytes:
    """The good event with other properties; `...` takes one away."""
    inner = {key: value for key, value in (GOOD | properties).items() if value is not ...}
    return json.dumps(
        {"type": "track", "event": name, "userId": "ana", "timestamp": NINE, "properties": inner}
    ).encode()


def read(intake: Intake, values: list[bytes | None]) -> tuple[Columns, list[Rejected]]:
    offsets = list(range(len(values)))
    return intake.read(Raw.of("events", 1, 4, values, offsets, [NINE] * len(values), True, None))


def states_of(columns: Columns) -> NDArray[Any]:
    return columns.facts.get("subscription", np.zeros(0, DTYPE))


def fresh() -> Intake:
    return Intake(CONFIG, Limits())


def slow(values: list[bytes | None]) -> tuple[list[tuple[Any, ...]], list[str]]:
    """What an intake that has learnt nothing makes of each record by itself."""
    rows: list[tuple[Any, ...]] = []
    reasons = []
    for offset, value in enumerate(values):
        columns, rejected = fresh().read(Raw.of("events", 1, 4, [value], [offset], [NINE], True, None))
        rows += states_of(columns).tolist()
        reasons += [one.message for one in rejected]
    return rows, reasons


VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, ..., "", "s2", "null", "Ünï", "a\tb", 7, -1, 0, 1.5, 19.99, True, [], {"a": 1}, "19.990", "x" * 300),
        *("active", "cancelled", "unpaid", "EUR", "usd", "year", "Basic", "2026-03-09T00:00:00Z", NINE + 1),
        NINE + 500 * 86_400_000,
        *(12.5, 100, "33.333", 101, 2**63 - 2, 2**63 - 1, 10**17, 10**18, "s1", "fixed", "per_unit", [[]]),
        *([{"amount": 5, "interval": "year"}], [{"amount": 5, "interval": "week"}], [{"plan": ']\\"[ü'}], [{}]),
        [{"amount": "0.5", "interval": "month", "plan": "Basic", "quantity": 3}, {"amount": 1, "interval": "month"}],
    ]
)
STATES = st.builds(
    lambda name, properties: event(name, **properties),
    st.sampled_from(["Subscription Changed", "subscription changed", "Subscription Stopped", "Subscription Churned"]),
    st.dictionaries(
        st.sampled_from(
            [
                *(*GOOD, "customer_id", "quantity", "interval_count", "discount", "effective_at", "cancel_at", "note"),
                *("discount_percent", "percent_off", "sequence", "sequence", "replaces", "replaces"),
                *("coupon", "discounts", "discount_type", "billing_scheme"),
            ]
        ),
        VALUES,
        max_size=3,
    )
    | st.builds(
        lambda items, more: {"amount": ..., "interval": ..., "items": items} | more,
        VALUES,
        st.dictionaries(st.sampled_from(["status", "plan", "percent_off", "discount", "items", "amount"]), VALUES),
    ),
)


@examples(150)
@given(st.lists(STATES | st.none() | st.just(b"{"), min_size=1, max_size=6))
def test_the_fast_way_gives_the_states_of_the_slow_one(values: list[bytes | None]) -> None:
    rows, reasons = slow(values)
    intake = fresh()
    for _ in range(2):  # with what the first time has taught
        columns, rejected = read(intake, values)
        states_of(columns)["clock"] = NINE
        assert states_of(columns).tolist() == rows
        assert [one.message for one in rejected] == reasons
        assert [one.offset for one in rejected] == sorted(one.offset for one in rejected)
        assert columns.consumed == len(columns.rows) + columns.rejected.sum() + columns.excluded.sum()


def test_a_state_goes_along_with_the_row_of_its_event() -> None:
    columns, rejected = read(fresh(), [b"{", event(), event("Other"), event(status="happy"), event(customer_id="acme")])
    assert [one.reason for one in rejected] == ["not_json", "bad_property"]
    assert columns.rows["offset"].tolist() == [1, 2, 4]
    states = states_of(columns)
    assert states["offset"].tolist() == [1, 4]
    assert states["user"].tolist() == [id_hash("ana")] * 2
    assert states["key"].tolist() == [id_hash("ana"), id_hash("acme")]
    assert states["subscription"][0] != states["subscription"][1]
    assert states["mrr"].tolist() == [1999, 1999]
    assert states["plan"].tolist() == [1, 1]
    assert columns.rejected[REASONS.index("bad_property")] == 1


def test_a_sequence_and_a_successor_go_along() -> None:
    intake = fresh()
    for _ in range(2):
        columns, _ = read(intake, [event(sequence=7, replaces="s0"), event(subscription_id="s0"), event(sequence=0)])
        states = states_of(columns)
        assert states["sequence"].tolist() == [7, -1, 0]
        assert states["replaces"].tolist() == [states["subscription"][1], 0, 0]


def test_items_that_differ_in_their_last_byte_have_prices_of_their_own() -> None:
    intake = fresh()
    items = [[{"amount": cents, "interval": "month"}] for cents in range(20)]
    for _ in range(2):
        columns, rejected = read(intake, [event(amount=..., interval=..., items=item) for item in items])
        assert rejected == []
        assert states_of(columns)["mrr"].tolist() == [100 * cents for cents in range(20)]


def test_amounts_in_minor_units_are_what_the_config_says() -> None:
    section = {"amount_unit": "minor"}
    for currency, mrr in (("JPY", 1999), ("EUR", 1999), ("KWD", 1999)):
        config = Config.model_validate({"subscriptions": section | {"currency": currency}})
        columns, rejected = read(Intake(config, Limits()), [event(amount="1999", currency=currency)])
        assert rejected == []
        assert states_of(columns)["mrr"].tolist() == [mrr]


def test_a_rejected_state_does_not_move_the_clock() -> None:
    columns, _ = read(fresh(), [event(amount=-1)])
    assert len(columns.rows) == 0
    assert columns.clock_ms < 0


def test_the_name_of_an_event_can_stand_for_a_status() -> None:
    columns, rejected = read(fresh(), [event("Subscription Stopped", status=..., amount=...), event(status=...)])
    assert states_of(columns)["status"].tolist() == [4]
    assert [one.message for one in rejected] == ["$.properties.status: missing"]


def test_terms_of_one_event_name_are_not_taken_for_those_of_another() -> None:
    intake = fresh()
    for _ in range(2):
        columns, rejected = read(
            intake, [event("Subscription Stopped", status=...), event(status=...), event(plan="Basic")]
        )
        assert states_of(columns)["mrr"].tolist() == [0, 1999]
        assert len(rejected) == 1


def test_many_prices_are_read_right_although_they_are_not_all_kept() -> None:
    intake = fresh()
    values: list[bytes | None] = [event(amount=f"{cents / 100:.2f}") for cents in range(9000)]
    for _ in range(2):
        columns, rejected = read(intake, values)
        assert rejected == []
        assert states_of(columns)["mrr"].tolist() == list(range(9000))


def test_without_the_section_a_state_is_an_event_like_any_other() -> None:
    columns, rejected = Intake(Config(), Limits()).read(
        Raw.of("events", 0, 1, [event(amount=-1)], [0], [NINE], True, None)
    )
    assert rejected == []
    assert len(columns.rows) == 1
    assert len(states_of(columns)) == 0


def test_states_go_to_the_shard_of_their_customer_in_the_order_read() -> None:
    columns, _ = read(fresh(), [event(customer_id=f"c{number % 7}") for number in range(50)])
    parts = deal_facts(states_of(columns), 4)
    assert sum(map(len, parts)) == 50
    for shard, part in enumerate(parts):
        assert (part["key"] % np.uint64(4) == shard).all()
        assert (np.diff(part["offset"]) > 0).all()
        assert part.dtype == DTYPE
