"""What is found of a config in a file of events: counted as the intake counts it, in bounded memory."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flows.commands import census
from flows.commands.census import Absent, Census, Frequent, Unmet, places_of
from flows.config.limits import Limits
from flows.config.model import Config, slug
from flows.decode.intake import Intake
from flows.messages.raw import Raw
from flows.process.rejections import in_topic

CONFIG = Config.model_validate(
    {
        "events": ["Signed Up"],
        "key_actions": ["Order Completed"],
        "active_users": {"events": ["Order Completed", "Opened"]},
        "exclude": {"events": ["Heartbeat", "Never Sent"]},
        "funnels": {"checkout": {"window": "1h", "steps": ["Product Viewed", ["Product Add", "Signed Up"]]}},
        "breakdowns": {"platform": {"field": "context.device.type", "values": ["web", "iOS", "watch"]}},
        "subscriptions": {"plans": ["basic", "pro"]},
    }
)


def track(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": name, "userId": "ana", "timestamp": 1_795_942_800_250} | fields


def taken(records: list[Any], config: Config = CONFIG, poll_records: int = 3) -> Census:
    """What a census says of records, polled a few at a time."""
    intake, found = Intake(config, Limits()), Census(config, in_topic)
    values = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
    for first in range(0, len(values), poll_records):
        part = values[first : first + poll_records]
        offsets = range(first, first + len(part))
        raw = Raw.of("events", 0, 1, part, offsets, [-1] * len(part), False, None)
        found.take(raw, *intake.read(raw))
    return found


PRICE = {"amount": "9", "interval": "month", "currency": "USD"}
STATE = {"subscription_id": "s", "status": "active", "plan": "pro"} | PRICE
RECORDS = [
    track("Product Viewed", context={"device": {"type": "web"}}),
    track("product viewed", context={"device": {"type": "IOS"}}, timestamp=1_795_942_700_000),
    track("Product Added", context={"device": {"type": "fridge"}}),
    track("Product Added"),
    track("product added!"),
    track("Order Completed", timestamp=1_795_942_900_000),
    track("heartbeat"),
    track("Heartbeat", timestamp="not looked at"),
    track("Heartbeat"),
    track("Robbed", context={"bot": True}),
    {"type": "page", "userId": "ana", "timestamp": 1_795_942_800_000},
    {"type": "identify", "userId": "ana", "timestamp": 1_795_942_800_000},
    track("Subscription Changed", properties=STATE),
    b"{",
    track("Signed Up", userId=[]),
]


def test_names_and_values_are_counted_among_accepted_events() -> None:
    found = taken(RECORDS)
    assert (found.rejections.consumed, found.rejections.accepted, found.rejections.excluded) == (15, 9, 3)
    assert {reason.name: reason.count for reason in found.rejections.reasons()} == {
        "not_json": 1,
        "bad_type": 1,
        "bad_timestamp": 1,
    }
    assert (found.first_ms, found.last_ms) == (1_795_942_700_000, 1_795_942_900_000)
    assert found.unnamed.most() == [("Product Added", 2), ("page_viewed", 1), ("product added!", 1)]
    assert found.breakdowns()["platform"].counts == {"web": 1, "ios": 1, "watch": 0, "other": 1, "unknown": 6}
    assert found.plans() == {"basic": 0, "pro": 1, "other": 0, "unknown": 0}
    assert found.excluded.most() == [("heartbeat", 2), ("Robbed", 1)]


def test_a_name_that_never_occurs_is_told_with_its_places_and_what_resembles_it() -> None:
    assert taken(RECORDS).absent_names() == [
        Absent("Opened", ["active_users.events[1]"]),
        Absent("Product Add", ["funnels.checkout.steps[1]"], "Product Added"),
        Absent("Signed Up", ["events[0]", "funnels.checkout.steps[1]"]),
        Absent("Never Sent", ["exclude.events[1]"]),
    ]


def test_conditions_that_no_event_meets_are_told_once_its_name_occurs() -> None:
    def on(device: str, **more: str) -> dict[str, Any]:
        return {"event": "Product Viewed", "where": {"context.device.type": device} | more}

    config = Config.model_validate(
        {
            "key_actions": [on("web"), on("fridge"), {"event": "Never Sent", "where": {"properties.x": "y"}}],
            "funnels": {
                "f": {"window": "1h", "steps": ["Order Completed", [on("IOS"), on("iOS", **{"properties.x": "y"})]]}
            },
            "exclude": {
                "events": [
                    {"event": "Heartbeat", "where": {"userId2": "x"}},
                    {"event": "Order Completed", "where": {"userId2": "x"}},
                    {"event": "Robbed", "where": {"context.bot": True}},
                ]
            },
        }
    )
    found = taken(RECORDS, config)
    assert found.unmet() == [
        Unmet("key_actions[1]", ("Product Viewed",), {"context.device.type": ("fridge",)}, 2),
        Unmet("funnels.f.steps[1]", ("Product Viewed",), {"context.device.type": ("iOS",), "properties.x": ("y",)}, 2),
        Unmet("exclude.events[0]", ("Heartbeat",), {"userId2": ("x",)}, 2),
        Unmet("exclude.events[1]", ("Order Completed",), {"userId2": ("x",)}, 1),
    ]
    assert [one.name for one in found.absent_names()] == ["Never Sent"]


def test_every_name_that_a_config_tells_apart_has_a_place() -> None:
    assert set(places_of(CONFIG)) == {slug(name) for name in CONFIG.vocabulary()[1:]}


@given(st.lists(st.sampled_from(range(len(RECORDS))), max_size=30), st.integers(1, 40))
def test_how_a_file_is_polled_changes_nothing(picks: list[int], poll_records: int) -> None:
    records = [RECORDS[pick] for pick in picks]
    one, other = taken(records, poll_records=poll_records), taken(records, poll_records=1)
    assert one.unnamed.most() == other.unnamed.most()
    assert one.excluded.most() == other.excluded.most()
    assert one.absent_names() == other.absent_names()
    assert one.breakdowns() == other.breakdowns()
    assert str(one.rejections) == str(other.rejections)


@given(st.lists(st.text(max_size=3), max_size=60))
def test_frequent_names_are_exact_while_there_is_room(names: list[str]) -> None:
    frequent = Frequent()
    for name in names:
        frequent.add(name)
    assert frequent.exact
    assert sorted(count for _, count in frequent.most()) == sorted(Counter(map(slug, names)).values())


def test_however_many_names_there_are_few_are_kept_and_the_frequent_ones_among_them() -> None:
    frequent = Frequent()
    for number in range(20 * census.NAMES_KEPT):
        frequent.add(f"noise {number}")
        frequent.add("often" if number % 2 else "Often enough")
        assert len(frequent.most()) <= 2 * census.NAMES_KEPT if number % 1000 == 0 else True
    assert not frequent.exact
    assert [name for name, _ in frequent.most(2)] == ["often", "Often enough"]


def test_names_that_need_the_slow_way_are_counted_too() -> None:
    record = b'{"type": "track", "event": "Emoji", "userId": "a", "timestamp": 1795942800, "x": "\\ud83d"}'
    assert taken([record]).unnamed.most() == [("Emoji", 1)]
