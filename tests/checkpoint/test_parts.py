from __future__ import annotations

from typing import Any

import pytest

from flows.checkpoint.folder import told
from flows.checkpoint.parts import Definitions, compare
from flows.config.model import Config
from flows.metrics.parts import definitions

SHOP: dict[str, Any] = {
    "product": "shop",
    "key_actions": ["Order Completed", "Signed Up"],
    "events": ["Signed In"],
    "funnels": {
        "checkout": {
            "window": "1h",
            "steps": ["Product Viewed", ["Product Added", "Wish Added"], "Order Completed"],
        },
        "signup": {"window": "1d", "steps": ["page_viewed", "Signed Up"]},
    },
    "breakdowns": {
        "platform": {"field": "context.device.type", "values": ["web", "ios"], "of": ["events", "sessions"]},
    },
}


NAMED = {"event": "product viewed", "as": "Product Viewed"}
ON_SALE = {"event": "Product Viewed", "where": {"properties.sale": True}, "as": "Sale"}
WITH_A_PLAN = {"event": "Signed Up", "where": {"properties.plan": ["Pro", "team"]}}


def changed(**change: Any) -> Config:
    return Config.model_validate(SHOP | change)


def checkout(**change: Any) -> dict[str, Any]:
    funnels: dict[str, Any] = SHOP["funnels"]
    return funnels | {"checkout": funnels["checkout"] | change}


def platform(**change: Any) -> dict[str, Any]:
    return {"platform": SHOP["breakdowns"]["platform"] | change}


@pytest.mark.parametrize(
    "same",
    [
        changed(funnels=dict(reversed(SHOP["funnels"].items()))),
        Config.model_validate(dict(reversed(SHOP.items()))),
        changed(lateness="10000ms", churn_after="720h"),
        changed(key_actions=["signed-up", "ORDER COMPLETED", "order_completed"]),
        changed(funnels=checkout(steps=["product viewed", ["Product Added", "wish_added"], ["order completed"]])),
        changed(windows=["30d", "7d", "24h", "1h", "30m", "5m", "1m"]),
        changed(breakdowns=platform(values=["WEB", "iOS"], of=["sessions", "events"])),
        changed(exclude=None, events=["Signed In", "Signed Up"]),
        changed(key_actions={"event": ["Signed Up", "Order Completed"]}),
        changed(funnels=checkout(steps=[NAMED, {"event": ["Product Added", "Wish Added"]}, "Order Completed"])),
        changed(breakdowns=platform(scope="event")),
        changed(funnels=checkout(order="sequential", within_step=None, exclude=[], hold=None, attempts="all")),
    ],
)
def test_another_way_to_write_the_same_changes_no_definition(same: Config) -> None:
    assert definitions(same).text() == definitions(changed()).text()


@pytest.mark.parametrize(
    ("config", "lines"),
    [
        (changed(windows=["5m", "1h", "24h"]), [f"window.{w} is forgotten" for w in ("1m", "30m", "7d", "30d")]),
        (changed(ratio_windows=["5m", "1h", "24h", "7d"]), ["ratio_window.7d is new and begins now"]),
        (changed(churn_after="7d"), ["lifecycle starts afresh: lifecycle.churn_after was 30d, is 7d"]),
        (
            changed(sessions={"timeout": "20m", "engaged": {"views": None}, "bounce": "single_event"}),
            [
                "sessions starts afresh: sessions.bounce was engaged, is single_event; "
                "sessions.engaged.views was 2, is off; sessions.timeout was 30m, is 20m"
            ],
        ),
        (
            changed(key_actions=["Order Completed"], events=["Signed In", "Signed Up"]),
            ["sessions starts afresh: sessions.key_actions no longer has signed_up"],
        ),
        (changed(events=["Signed In", "X"]), ["event.x is new and begins now"]),
        (changed(events=[]), ["event.signed_in is forgotten"]),
        (
            changed(active_users={"events": ["Signed In"]}),
            [
                f"{part} starts afresh: {part}.events was off, is [signed_in]"
                for part in ("active_users", "engagement", "minutes")
            ],
        ),
        (
            changed(funnels=checkout(window="2h")),
            ["funnel.checkout starts afresh: funnel.checkout.window was 1h, is 2h"],
        ),
        (
            changed(funnels=checkout(order="any", within_step="10m", exclude=["Help Opened"], attempts="once")),
            [
                "funnel.checkout starts afresh: funnel.checkout.attempts is new; funnel.checkout.exclude is new;"
                " funnel.checkout.order is new; funnel.checkout.within_step is new",
                "event.help_opened is new and begins now",
            ],
        ),
        (
            changed(funnels=checkout(hold='properties."id"')),
            ["funnel.checkout starts afresh: funnel.checkout.hold is new"],
        ),
        (
            changed(funnels=checkout(steps=["Product Viewed", ["Wish Added", "Product Added"], "Order Completed"])),
            [
                "funnel.checkout starts afresh: "
                "funnel.checkout.steps was [product_viewed, product_added or wish_added, order_completed],"
                " is [product_viewed, wish_added or product_added, order_completed]"
            ],
        ),
        (
            changed(key_actions=["Order Completed", WITH_A_PLAN]),
            [
                "sessions starts afresh: sessions.key_actions now has signed_up where properties.plan is pro or team; "
                "sessions.key_actions no longer has signed_up"
            ],
        ),
        (
            changed(funnels=checkout(steps=[ON_SALE, ["Product Added", "Wish Added"], "Order Completed"])),
            [
                "funnel.checkout starts afresh: "
                "funnel.checkout.steps was [product_viewed, product_added or wish_added, order_completed],"
                " is [product_viewed where properties.sale is true as sale, product_added or wish_added,"
                " order_completed]"
            ],
        ),
        (
            changed(breakdowns=platform(of=["sessions"], scope="first")),
            [
                "breakdown.platform starts afresh: breakdown.platform.scope is new",
                "breakdown.platform.of.events is forgotten",
            ],
        ),
        (
            changed(funnels={"checkout": SHOP["funnels"]["checkout"]}),
            ["funnel.signup is forgotten", "event.page_viewed is forgotten"],
        ),
        (
            changed(breakdowns=platform(field="traits.device")),
            [
                "breakdown.platform starts afresh: "
                "breakdown.platform.field was context.device.type, is traits.device"
            ],
        ),
        (changed(breakdowns=platform(values=["ios", "web"])), []),
        (changed(breakdowns=platform(values=["web", "tv", "ios"])), ["breakdown.platform.tv is new and begins now"]),
        (
            changed(breakdowns=platform(values=["web"])),
            [
                "breakdown.platform starts afresh: breakdown.platform no longer has ios",
                "breakdown.platform.ios is forgotten",
            ],
        ),
        (
            changed(breakdowns=platform(of=["events", "active_users"])),
            ["breakdown.platform.of.active_users is new and begins now", "breakdown.platform.of.sessions is forgotten"],
        ),
        (
            changed(subscriptions={}),
            ["subscriptions is new and begins now", "event.subscription_changed is new and begins now"],
        ),
        (
            changed(subscriptions={}, events=["Subscription Changed"]),
            [
                *("subscriptions is new and begins now", "event.subscription_changed is new and begins now"),
                "event.signed_in is forgotten",
            ],
        ),
    ],
)  # fmt: skip
def test_a_change_says_which_parts_it_takes_and_leaves_all_others(config: Config, lines: list[str]) -> None:
    found = compare(definitions(changed()), definitions(config))
    assert [told(change) for change in found.changes if change.fate != "keeps"] == lines
    assert (found.refused, found.reading if "subscriptions" not in config.model_fields_set else []) == ([], [])


def test_a_name_told_apart_that_becomes_a_fact_takes_the_parts_that_saw_presence_in_it() -> None:
    before, after = changed(events=["Subscription Changed"]), changed(events=[], subscriptions={})
    found = compare(definitions(before), definitions(after))
    assert [told(change) for change in found.losses] == [
        f"{part} starts afresh: {part} now has subscription_changed, which was told apart before"
        for part in ("active_users", "engagement", "minutes", "sessions", "lifecycle")
    ]


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (changed(lateness="20s"), "lateness was 10s, is 20s"),
        (changed(minute_history="1d"), "minute_history was 2d, is 24h"),
        (changed(dedup_horizon="1m"), "dedup_horizon was 10m, is 1m"),
        (changed(exclude={"bots": False}), "exclude.bots was true, is false"),
    ],
)
def test_what_only_changes_how_records_are_read_restarts_nothing(config: Config, line: str) -> None:
    found = compare(definitions(changed()), definitions(config))
    assert found.reading == [line]
    assert {change.fate for change in found.changes} == {"keeps"}


def test_another_time_zone_restarts_only_what_counts_by_days() -> None:
    found = compare(definitions(changed()), definitions(changed(time_zone="Europe/Berlin")))
    assert found.reading == ["time_zone was UTC, is Europe/Berlin"]
    assert [change.part for change in found.changes if change.fate != "keeps"] == ["engagement"]


@pytest.mark.parametrize(
    ("config", "line"),
    [(changed(product="store"), "product was shop, is store"), (changed(shards=32), "shards was 16, is 32")],
)
def test_nothing_goes_on_under_another_product_or_with_other_shards(config: Config, line: str) -> None:
    assert compare(definitions(changed()), definitions(config)).refused == [line]


def test_definitions_are_read_back_from_their_text() -> None:
    made = definitions(changed())
    assert Definitions.of(made.text()) == made
    assert Definitions.of(made.text()).fingerprint() == made.fingerprint()
    for text in ("\x00", "[]", '{"product": "shop"}'):
        with pytest.raises(ValueError, match=r"no definitions|Expecting|Invalid"):
            Definitions.of(text)


def test_every_field_of_the_configuration_has_been_considered() -> None:
    # A new field belongs to the definition of a family, or to `parts.definitions`. The tree, acquisition and economics
    # have no state.
    assert set(Config.model_fields) == {
        *("version", "product", "time_zone", "lateness", "windows", "ratio_windows", "long_windows", "events"),
        *("exclude", "active_users", "sessions", "key_actions", "churn_after", "milestones", "retention"),
        *("funnels", "breakdowns", "dedup_horizon", "minute_history", "shards", "subscriptions", "presence", "tree"),
        *("goals", "features", "tickets", "orders", "referrals", "surveys", "feedback", "top"),
        *("spend", "acquisition", "economics"),
    }
