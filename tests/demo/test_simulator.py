"""The simulated stream: repeatable, in order of arrival, unambiguous in its disorder, at the asked rate."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from functools import cache
from typing import Any

import pytest

from flows import audit
from flows.audit.parse import parse
from flows.config.model import Config
from flows.demo.profiles import PROFILES
from flows.demo.scenarios import SCENARIOS, Switch
from flows.demo.simulator import DAY_MS, MONTH_MS, Record, Simulator

CONFIG = Config(product="shop")
START_MS = 1_790_000_000_000
LATENESS_MS = CONFIG.lateness
SHORT = 300 / 86_400  # days: after five minutes visits end as often as they begin


def sent(seconds: float = 20, *, scenario: str | None = None, start_ms: int = START_MS, **options: Any) -> list[Record]:
    """Everything up to `seconds` after the start."""
    chosen = SCENARIOS[scenario] if scenario else None
    simulator = Simulator(CONFIG, start_ms=start_ms, scenario=chosen, **options)
    until = start_ms + seconds * 1000
    return list(itertools.takewhile(lambda record: record.arrival_ms <= until, simulator.records()))


@pytest.fixture(scope="module")
def usual() -> list[Record]:
    return sent()


@pytest.fixture(scope="module")
def week() -> list[Record]:
    """Seven days at a twentieth of an event a second, and the month before."""
    return sent(0, rate=0.05, days=7)


def live(records: list[Record]) -> list[Record]:
    return [record for record in records if record.arrival_ms >= START_MS]


def test_the_same_seed_gives_the_same_records() -> None:
    assert sent(2, days=SHORT, seed=7) == sent(2, days=SHORT, seed=7)


def test_another_seed_gives_other_records() -> None:
    assert sent(2, days=SHORT, seed=7) != sent(2, days=SHORT, seed=8)


def test_records_come_in_the_order_of_arrival(usual: list[Record]) -> None:
    arrivals = [record.arrival_ms for record in usual]
    assert arrivals == sorted(arrivals)


def test_the_history_is_a_month_of_little_and_days_of_full_traffic(week: list[Record]) -> None:
    begins = START_MS - 7 * DAY_MS
    month = [record for record in week if record.arrival_ms < begins]
    full = [record for record in week if begins <= record.arrival_ms < START_MS]
    assert begins - MONTH_MS <= month[0].arrival_ms < begins - MONTH_MS + DAY_MS
    assert len(month) / len(full) == pytest.approx(0.2, abs=0.03)
    per_day = Counter((record.arrival_ms - begins) // DAY_MS for record in full)
    assert min(per_day.values()) > 0.7 * max(per_day.values())  # a weekday and a Sunday


def test_a_shop_of_some_days_has_the_rate_that_was_asked_for(week: list[Record]) -> None:
    asked = Simulator(CONFIG, start_ms=START_MS, rate=0.05, days=7).mean_rate
    last = [record for record in week if START_MS - 3 * DAY_MS <= record.arrival_ms < START_MS]
    assert len(last) / (3 * DAY_MS / 1000) == pytest.approx(asked, rel=0.15)


def test_most_come_in_the_evening_and_few_before_dawn(week: list[Record]) -> None:
    by_hour = Counter(record.arrival_ms // 3_600_000 % 24 for record in week)
    assert by_hour[20] > 2.5 * by_hour[4] > 0


def test_every_morning_the_spend_of_the_day_before_is_told(week: list[Record]) -> None:
    told = [record.event for record in week if record.event and not record.resent]
    spent = [event for event in told if event.body.get("event") == "Marketing Spend Recorded"]
    days = [event.body["properties"]["period_start"] for event in spent]
    assert len(set(days)) == len({event.ts_ms // DAY_MS for event in spent}) == MONTH_MS // DAY_MS + 7
    assert all(event.body["timestamp"] > day for event, day in zip(spent, days, strict=True))
    told_once = {event.body["properties"]["spend_id"] for event in spent}
    assert 2 * len(set(days)) < len(told_once) < len(spent) < 1.1 * len(told_once)  # some corrected


@pytest.mark.parametrize("rate", [50, 300, 1000])
def test_the_live_rate_is_the_asked_one(rate: float) -> None:
    records = live(sent(60, rate=rate, seed=3, days=SHORT))
    assert len(records) / 60 == pytest.approx(0.8 * rate, rel=0.25)  # who comes for the first time does less


def test_a_surge_multiplies_the_traffic_by_four() -> None:
    surge = SCENARIOS["traffic-surge"]

    def visitors_per_second(records: list[Record]) -> float:
        late = [r for r in live(records) if r.arrival_ms > START_MS + surge.begins_s * 1000]
        return sum(b'"Home"' in (record.value or b"") for record in late)

    few, many = (sent(40, rate=100, scenario=name, days=SHORT) for name in (None, "traffic-surge"))
    assert visitors_per_second(many) / visitors_per_second(few) == pytest.approx(4, rel=0.2)


def test_a_surge_leaves_the_time_before_it_alone() -> None:
    assert sent(9, days=SHORT) == sent(9, days=SHORT, scenario="traffic-surge")


def test_in_a_bounce_spike_most_visits_end_with_their_first_page() -> None:
    def share_of_first_pages(records: list[Record]) -> float:
        names = [json.loads(record.value or b"{}").get("name") for record in live(records) if record.event]
        return names.count("Home") / len(names)

    spike, usual = (sent(30, scenario=name, days=SHORT) for name in ("bounce-spike", None))
    assert share_of_first_pages(spike) > 1.5 * share_of_first_pages(usual)


def test_with_a_broken_checkout_few_orders_are_completed() -> None:
    def orders_per_product_seen(records: list[Record]) -> float:
        names = Counter(str(record.event.body.get("event")) for record in live(records) if record.event)
        return names["Order Completed"] / names["Product Viewed"]

    broken, usual = (sent(60, scenario=name, days=SHORT) for name in ("conversion-drop", None))
    assert orders_per_product_seen(broken) < 0.2 * orders_per_product_seen(usual)


def test_in_an_outage_nothing_arrives_and_afterwards_all_is_as_ever() -> None:
    outage = SCENARIOS["outage"]
    records = live(sent(outage.lasts_s + 60, scenario="outage", rate=20, days=SHORT))
    begins_ms = START_MS + outage.begins_s * 1000
    ends_ms = begins_ms + outage.lasts_s * 1000
    assert [record for record in records if begins_ms <= record.arrival_ms < ends_ms] == []
    assert sum(record.arrival_ms < begins_ms for record in records) > 300
    assert sum(record.arrival_ms >= ends_ms for record in records) > 300


def test_a_switch_holds_its_conditions_while_it_is_on() -> None:
    switch = Switch(SCENARIOS["outage"])
    told = [switch.at(0).lost]
    switch.turn()
    told.append(switch.at(0).lost)
    switch.turn()
    assert [*told, switch.at(0).lost] == [False, True, False]


SUBSCRIPTIONS = Config.model_validate({"subscriptions": {"currency": "EUR", "plans": ["basic", "plus"]}})


@cache
def states_sent(scenario: str | None = None) -> list[dict[str, Any]]:
    """The properties of all states up to ten minutes after the start, without copies."""
    chosen = SCENARIOS[scenario] if scenario else None
    application = PROFILES["saas"]  # most of its subscriptions begin with a trial
    days = 600 / 86_400
    simulator = Simulator(SUBSCRIPTIONS, profile=application, start_ms=START_MS, rate=50, scenario=chosen, days=days)
    until = START_MS + 600_000
    records = itertools.takewhile(lambda record: record.arrival_ms <= until, simulator.records())
    bodies: list[dict[str, Any]] = [dict(record.event.body) for record in records if record.event and not record.resent]
    return [dict(body["properties"]) for body in bodies if body.get("event") == "Subscription Changed"]


def test_subscribers_lead_full_lives() -> None:
    lives: dict[object, list[object]] = {}
    for state in states_sent():
        lives.setdefault(state["subscription_id"], []).append(state["status"])
    changes = {change for life in lives.values() for change in itertools.pairwise(life)}
    assert {
        *(("trialing", "active"), ("trialing", "expired"), ("active", "past_due"), ("past_due", "active")),
        *(("active", "paused"), ("active", "cancelled")),
    } <= changes


def test_in_a_churn_wave_many_cancel_within_minutes() -> None:
    def cancelled(states: list[dict[str, Any]]) -> int:
        return sum(state["status"] == "cancelled" for state in states if state["effective_at"] > START_MS)

    assert cancelled(states_sent("churn-wave")) > 100 > 20 > cancelled(states_sent())


def test_what_subscriptions_do_changes_no_visit(usual: list[Record]) -> None:
    def visits(records: list[Record]) -> list[Any]:
        bodies = [record.event.body for record in records if record.event and "context" in record.event.body]
        return [body.get("anonymousId") for body in bodies]

    simulator = Simulator(SUBSCRIPTIONS, start_ms=START_MS)
    until = START_MS + 20_000
    records = itertools.takewhile(lambda record: record.arrival_ms <= until, simulator.records())
    assert len(set(visits(list(records)))) == pytest.approx(len(set(visits(usual))), rel=0.06)


def test_an_event_is_either_clearly_in_time_or_clearly_late(usual: list[Record]) -> None:
    """
    clock of the partition   --------------|<- lateness ->|---------- clock
                                 late      |   nobody's   |  in time
                                  (more than twice)   (less than half)
    """
    clocks: dict[int, int] = {}
    late = 0
    for record in usual:
        if record.event is None or record.resent or b'"bot"' in (record.value or b""):
            continue
        behind_ms = clocks.get(record.partition, 0) - record.event.ts_ms
        if behind_ms > LATENESS_MS / 2:
            assert behind_ms >= 2 * LATENESS_MS
            assert record.arrival_ms - record.event.ts_ms > 5 * LATENESS_MS
            late += 1
        else:
            assert record.arrival_ms - record.event.ts_ms < LATENESS_MS / 2
        clocks[record.partition] = max(clocks.get(record.partition, 0), record.event.ts_ms)
    assert late > 20


def test_no_event_lies_ahead_of_its_arrival(usual: list[Record]) -> None:
    assert all(record.event.ts_ms <= record.arrival_ms for record in usual if record.event)


def test_a_copy_follows_its_original_in_the_same_partition_soon(usual: list[Record]) -> None:
    first: dict[str, Record] = {}
    copies = 0
    for record in usual:
        if record.event is None:
            continue
        original = first.setdefault(str(record.event.body["messageId"]), record)
        assert record.resent == (original is not record)
        if record.resent:
            copies += 1
            assert (record.value, record.partition) == (original.value, original.partition)
            assert record.arrival_ms - original.arrival_ms < CONFIG.dedup_horizon / 2
    assert copies > 50


def test_a_user_stays_in_one_partition(usual: list[Record]) -> None:
    places: dict[str, set[int]] = {}
    for record in usual:
        if record.event:
            places.setdefault(record.event.user, set()).add(record.partition)
    assert {len(partitions) for partitions in places.values()} == {1}
    assert {record.partition for record in usual} == set(range(8))


def test_the_shop_has_everything_a_real_one_has(usual: list[Record]) -> None:
    bodies = [dict(record.event.body) for record in usual if record.event]
    seen = Counter(str(body.get("event", body["type"])) for body in bodies)
    funnel = ["Product Viewed", "Product Added", "Checkout Started", "Order Completed"]
    assert [seen[step] for step in funnel] == sorted((seen[step] for step in funnel), reverse=True)
    assert min(seen[name] for name in [*funnel, "Signed Up", "Signed In", "identify", "page", "screen"]) > 50
    platforms = {json.dumps(body.get("context")) for body in bodies}
    assert {f'{{"device": {{"type": "{name}"}}}}' for name in ("web", "ios", "android", "tv")} <= platforms
    assert sum("userId" not in body for body in bodies) > 1000
    assert sum("timestamp" not in body for body in bodies) > 50
    assert sum(record.clamped for record in usual) > 10
    assert sum(b'"bot":true' in (record.value or b"") for record in usual) > 50


def test_broken_records_come_in_several_kinds_without_a_key(usual: list[Record]) -> None:
    broken = [record for record in usual if record.event is None]
    assert {record.reason for record in broken} == {
        "empty",
        "not_json",
        "not_an_object",
        "missing_field",
        "bad_id",
        "bad_type",
        "bad_timestamp",
        "too_large",
    }
    assert {record.key for record in broken} == {None}


def test_a_lateness_too_short_for_unambiguous_disorder_is_refused() -> None:
    with pytest.raises(ValueError, match="lateness"):
        Simulator(Config(lateness="500ms"), start_ms=START_MS)


def test_a_server_says_that_it_is_one_and_a_visitor_does_not(week: list[Record]) -> None:
    told = [record.event.body for record in week if record.event]
    servers = {body["event"] for body in told if body.get("channel") == "server"}
    visitors = {body.get("event") for body in told if "channel" not in body}
    assert {"Order Refunded", "Order Cancelled", "Ticket Created", "Survey Responded"} <= servers
    assert servers & visitors == set()


def test_the_audit_reads_of_each_record_what_the_simulator_meant(usual: list[Record]) -> None:
    for record in usual[::7]:
        read = parse(audit.Record(record.value, record.partition, 0, record.arrival_ms), CONFIG)
        if record.event is None:
            assert isinstance(read, audit.Rejection), record
            assert read.reason == record.reason
        elif isinstance(read, audit.Event):
            meant = record.event
            assert (read.user, read.ts, read.clamped) == (meant.user, meant.ts_ms, record.clamped), record
        else:
            assert "bot" in str(record.event.body["context"])
