from __future__ import annotations

from flows.config.model import Config
from flows.metrics.catalogue import catalogue
from flows.metrics.known_since import KnownSince

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
NOON = 1_774_785_600_000  # 2026-03-29T12:00Z
CONFIG = Config.model_validate(
    {
        "windows": ["1m", "1h", "24h"],
        "ratio_windows": ["1h"],
        "events": ["Left"],
        "goals": {"buy": "Bought"},
        "funnels": {"buy": {"window": "30m", "steps": ["Viewed", "Bought"]}},
        "breakdowns": {"platform": {"field": "context.device.type", "values": ["web", "ios"]}},
    }
)
KNOWN = KnownSince(CONFIG, catalogue(CONFIG))


def partial(after_ms: int, **since: int) -> set[str]:
    """What is partial so long after noon, when these parts began."""
    now = NOON + after_ms
    return set(KNOWN.partial({part.replace("__", "."): at for part, at in since.items()}, now, now))


def test_nothing_is_partial_where_all_was_there_from_the_beginning() -> None:
    assert partial(0) == set()


def test_a_cell_is_partial_as_long_as_its_window_reaches_back_to_before_its_family_began() -> None:
    kinds = ("users.new", "users.resurrected", "users.churned", "users.churned_inside")
    rates = ("user_churn_rate", "user_retention_rate")
    started = {f"{what}.{window}" for what in (*kinds, *rates) for window in ("1m", "1h", "24h")} | {
        "user_quick_ratio.24h"
    }
    found = partial(30 * MINUTE, lifecycle=NOON)
    assert found == {name for name in started if not name.endswith(".1m")}
    assert partial(HOUR - MINUTE - SECOND, lifecycle=NOON) == found  # the oldest pane is that of 11:59
    assert partial(HOUR - MINUTE, lifecycle=NOON) == {name for name in started if name.endswith(".24h")}
    assert partial(25 * HOUR, lifecycle=NOON) == set()


def test_a_name_and_a_value_are_partial_alone_and_a_new_breakdown_whole() -> None:
    assert partial(MINUTE // 2, event__left=NOON) == {f"events.left.{window}" for window in ("1m", "1h", "24h")}
    of_ios = partial(MINUTE, breakdown__platform__ios=NOON)
    assert "active_users.1h{platform=ios}" in of_ios
    assert "sessions_per_user.1h{platform=ios}" in of_ios  # a ratio of counts that are
    assert {name for name in of_ios if not name.endswith("{platform=ios}")} == set()
    assert {name for name in partial(MINUTE, breakdown__platform=NOON) if "{platform=" not in name} == set()
    of_sessions = partial(MINUTE, breakdown__platform__of__sessions=NOON)
    assert "sessions.closed.1h{platform=web}" in of_sessions
    assert {name for name in of_sessions if name.startswith(("active_users", "funnel"))} == set()


def test_a_node_of_the_tree_is_partial_with_the_number_that_it_is_of() -> None:
    node = {"metric": "user_churn_rate.1h", "level": "focus", "class": "retention", "target": 0.1, "better": "lower"}
    config = CONFIG.model_copy(update={"tree": Config.model_validate({"tree": {"churn": node}}).tree})
    found = KnownSince(config, catalogue(config)).partial({"lifecycle": NOON}, NOON, NOON)
    assert [name for name in found if name.startswith("tree.")] == [
        "tree.churn.value", "tree.churn.target", "tree.churn.attainment",
    ]  # fmt: skip
    assert KnownSince(config, catalogue(config)).partial({"sessions": NOON}, NOON, NOON)


def test_active_users_are_whole_in_a_new_window_and_today_s_are_not_before_midnight() -> None:
    of_window = partial(MINUTE, window__24h=NOON)
    assert "sessions.started.24h" in of_window
    assert "active_users.24h" not in of_window
    assert "active_users.day" in partial(HOUR, active_users=NOON)
    assert "active_users.day" not in partial(13 * HOUR, active_users=NOON)


def test_visitors_and_users_of_a_goal_are_whole_in_a_new_window_and_their_events_begin() -> None:
    of_window = partial(MINUTE, window__24h=NOON)
    assert {"goal.buy.events.24h", "goal.buy.first.24h", "views.24h", "conversions_per_visitor.buy.24h"} <= of_window
    assert of_window.isdisjoint({"goal.buy.users.24h", "visitors.24h", "conversion_rate.buy.24h"})


def test_days_are_partial_until_the_first_one_of_them_is_later_than_the_beginning() -> None:
    assert {"engagement.days_1_of_7", "l7_mean"} <= partial(6 * 24 * HOUR, engagement=NOON)
    after_a_week = partial(7 * 24 * HOUR, engagement=NOON)
    assert "engagement.days_1_of_30" in after_a_week
    assert after_a_week.isdisjoint({"engagement.days_1_of_7", "l7_mean"})
    assert partial(30 * 24 * HOUR, engagement=NOON) == set()


def test_matured_attempts_look_back_further_by_the_funnel_s_window() -> None:
    after = 70 * MINUTE
    assert {"funnel.buy.matured.1h", "funnel.buy.conversion_matured.1h"} <= partial(after, funnel__buy=NOON)
    assert "funnel.buy.converted.1h" not in partial(after, funnel__buy=NOON)
    assert "funnel.buy.conversion_live" in partial(20 * MINUTE, funnel__buy=NOON)
    assert "funnel.buy.conversion_live" not in partial(40 * MINUTE, funnel__buy=NOON)
    assert partial(100 * MINUTE, ratio_window__1h=NOON) == set()
    assert partial(80 * MINUTE, ratio_window__1h=NOON) == {
        f"funnel.buy.{name}.1h{group}"
        for name in ("matured", "matured_converted", "conversion_matured")
        for group in ("", *(f"{{platform={value}}}" for value in ("web", "ios", "other", "unknown")))
    }
