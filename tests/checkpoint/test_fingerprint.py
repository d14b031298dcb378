from __future__ import annotations

import json
from typing import Any

import pytest

from flows.checkpoint.fingerprint import definitions, describe_difference, fingerprint
from flows.config.model import Config

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


def changed(**change: Any) -> Config:
    return Config.model_validate(SHOP | change)


def checkout(**change: Any) -> dict[str, Any]:
    return SHOP["funnels"] | {"checkout": SHOP["funnels"]["checkout"] | change}


def platform(**change: Any) -> dict[str, Any]:
    return {"platform": SHOP["breakdowns"]["platform"] | change}


def test_the_fingerprint_is_the_same_in_every_process_and_release() -> None:
    # A change here refuses every stored checkpoint. It must be meant, and said in the changelog.
    assert fingerprint(Config()) == "41e2d1f5a3159b6303e57a0807769172"
    assert fingerprint(changed()) == "b704a603122c9162e60ad68643636562"


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
        changed(
            funnels=checkout(
                steps=[
                    {"event": "product viewed", "as": "Product Viewed"},
                    {"event": ["Product Added", "Wish Added"]},
                    "Order Completed",
                ]
            )
        ),
    ],
)
def test_another_way_to_write_the_same_keeps_the_fingerprint(same: Config) -> None:
    assert fingerprint(same) == fingerprint(changed())
    assert describe_difference(definitions(changed()), definitions(same)) == []


@pytest.mark.parametrize(
    ("config", "lines"),
    [
        (changed(product="store"), ["product was shop, is store"]),
        (changed(time_zone="Europe/Berlin"), ["time_zone was UTC, is Europe/Berlin"]),
        (changed(lateness="20s"), ["lateness was 10s, is 20s"]),
        (
            changed(windows=["5m", "1h", "24h"]),
            [f"windows no longer has {w}" for w in ("1m", "30m", "7d", "30d")],
        ),
        (changed(ratio_windows=["5m", "1h", "24h", "7d"]), ["ratio_windows now has 7d"]),
        (changed(shards=32), ["shards was 16, is 32"]),
        (changed(minute_history="1d"), ["minute_history was 2d, is 24h"]),
        (changed(dedup_horizon="1m"), ["dedup_horizon was 10m, is 1m"]),
        (changed(churn_after="7d"), ["churn_after was 30d, is 7d"]),
        (
            changed(sessions={"timeout": "20m", "engaged": {"views": None}, "bounce": "single_event"}),
            [
                "sessions.bounce was not_engaged, is single_event",
                "sessions.engaged.views was 2, is off",
                "sessions.timeout was 30m, is 20m",
            ],
        ),
        (
            changed(key_actions=["Order Completed"]),
            ["key_actions no longer has signed_up"],
        ),
        (changed(events=["Signed In", "X"]), ["vocabulary now has x"]),
        (
            changed(exclude={"bots": False, "events": ["Beat"]}),
            ["exclude.bots was true, is false", "exclude.events now has beat"],
        ),
        (changed(active_users={"events": ["Signed In"]}), ["active_users.events was off, is [signed_in]"]),
        (changed(funnels=checkout(window="2h")), ["funnels.checkout.window was 1h, is 2h"]),
        (changed(funnels=checkout(reentry="latest")), ["funnels.checkout.reentry was first, is latest"]),
        (
            changed(funnels=checkout(steps=["Product Viewed", ["Wish Added", "Product Added"], "Order Completed"])),
            [
                "funnels.checkout.steps was [product_viewed, product_added or wish_added, order_completed],"
                " is [product_viewed, wish_added or product_added, order_completed]"
            ],
        ),
        (
            changed(
                key_actions=["Order Completed", {"event": "Signed Up", "where": {"properties.plan": ["Pro", "team"]}}]
            ),
            [
                "key_actions now has signed_up where properties.plan is pro or team",
                "key_actions no longer has signed_up",
            ],
        ),
        (
            changed(
                funnels=checkout(
                    steps=[
                        {"event": "Product Viewed", "where": {"properties.sale": True}, "as": "Sale"},
                        ["Product Added", "Wish Added"],
                        "Order Completed",
                    ]
                )
            ),
            [
                "funnels.checkout.steps was [product_viewed, product_added or wish_added, order_completed], is"
                " [product_viewed where properties.sale is true as sale, product_added or wish_added, order_completed]"
            ],
        ),
        (
            changed(funnels={"checkout": SHOP["funnels"]["checkout"]}),
            ["funnels.signup is gone", "vocabulary no longer has page_viewed"],
        ),
        (
            changed(breakdowns=platform(field="traits.device")),
            ["breakdowns.platform.field was context.device.type, is traits.device"],
        ),
        (
            changed(breakdowns=platform(values=["ios", "web"])),
            ["breakdowns.platform.values is in another order: was [web, ios], is [ios, web]"],
        ),
        (
            changed(breakdowns=platform(of=["sessions"], scope="first")),
            ["breakdowns.platform.of no longer has events", "breakdowns.platform.scope is new"],
        ),
        (
            changed(breakdowns=platform() | {"plan": {"field": "traits.plan", "values": ["a"]}}),
            ["breakdowns.plan is new"],
        ),
    ],
)
def test_a_changed_definition_changes_the_fingerprint_and_is_named(config: Config, lines: list[str]) -> None:
    assert fingerprint(config) != fingerprint(changed())
    assert describe_difference(definitions(changed()), definitions(config)) == lines


def test_every_field_of_the_configuration_has_been_considered() -> None:
    # A new field is in the fingerprint by itself; what does not belong there is left out in `definitions`.
    assert set(Config.model_fields) == {
        *("version", "product", "time_zone", "lateness", "windows", "ratio_windows", "events", "exclude"),
        *("active_users", "sessions", "key_actions", "churn_after", "funnels", "breakdowns", "dedup_horizon"),
        *("minute_history", "shards", "subscriptions", "presence"),
    }


def test_ratio_windows_without_funnels_are_not_stored_and_may_change() -> None:
    assert fingerprint(Config()) == fingerprint(Config.model_validate({"ratio_windows": ["1h"]}))


def test_stored_definitions_that_are_no_json_are_said_to_be_unreadable() -> None:
    assert describe_difference("\x00", definitions(Config())) == ["the stored definitions cannot be read"]


def test_state_of_subscriptions_from_before_they_had_successors_is_refused_and_that_of_other_products_is_not() -> None:
    config = Config.model_validate({"subscriptions": {}})
    older = json.loads(definitions(config))
    for name in ("state_layout", "amount_unit"):
        del older["subscriptions"][name]
    assert describe_difference(json.dumps(older), definitions(config)) == [
        "subscriptions.amount_unit is new",
        "subscriptions.state_layout is new",
    ]
    assert "amount_unit" not in definitions(Config())
    cents = Config.model_validate({"subscriptions": {"amount_unit": "minor"}})
    assert describe_difference(definitions(config), definitions(cents)) == [
        "subscriptions.amount_unit was major, is minor"
    ]
