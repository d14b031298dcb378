"""The truth of small stories whose numbers can be counted by hand."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from flows.config.model import Config
from flows.demo.simulator import Event, Record
from flows.demo.truth import Truth, quantile_ms, window_from_ms
from tests.services import ROOT

NOON_MS = 1_790_164_800_000  # 2026-09-23 12:00:00 UTC
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000

SHOP: dict[str, Any] = {
    "product": "shop",
    "key_actions": ["Order Completed"],
    "funnels": {"checkout": {"window": "1h", "steps": ["Product Viewed", "Product Added", "Order Completed"]}},
    "breakdowns": {"platform": {"field": "context.device.type", "values": ["web", "ios"]}},
}
numbers = itertools.count()


def event(at_ms: int, name: str = "page", user: str = "ann", *, platform: str | None = "web", **about: Any) -> Record:
    """`name` at `at_ms` after noon; page, screen and identify are types, all others tracked events."""
    kind = name if name in ("page", "screen", "identify") else "track"
    context: dict[str, Any] = {} if platform is None else {"device": {"type": platform}}
    if about.pop("bot", False):
        context["bot"] = True
    body: dict[str, Any] = {
        "type": kind,
        "userId": user,
        "messageId": f"m{next(numbers)}",
        "context": context,
    }
    if kind == "track":
        body["event"] = name
    partition = about.pop("partition", 0)
    return Record(partition, None, None, NOON_MS + at_ms, Event(user, NOON_MS + at_ms, body), **about)


def broken(reason: str) -> Record:
    return Record(0, None, b"?", NOON_MS, event=None, reason=reason)


def truth_of(*records: Record, **config: Any) -> Truth:
    truth = Truth(Config.model_validate(SHOP | config))
    for record in records:
        truth.record(record)
    return truth


def cells_at(truth: Truth, watermark_ms: int) -> Mapping[str, int | float]:
    """At a watermark after noon, with the lateness of 10 s."""
    return truth.cells(NOON_MS + watermark_ms + 10 * SECOND, NOON_MS + watermark_ms)


def test_the_accounting_knows_what_became_of_every_record() -> None:
    """
    0 s   60 s                         late: 0 s < 60 s - 10 s, but 50 s is not
    first newest late copy not-late bot broken
    """
    truth = truth_of(
        event(0),
        event(MINUTE),
        event(1),
        event(MINUTE, resent=True),
        event(50 * SECOND, clamped=True),
        event(2 * HOUR, bot=True),
        event(55 * SECOND),
        broken("not_json"),
    )
    totals = {fate: count for fate, count in truth.accounting().items() if "{" not in fate}
    assert totals == {
        "consumed": 8,
        "accepted": 5,
        "on_time": 4,
        "late": 1,
        "duplicate": 1,
        "clamped": 1,
        "excluded": 1,
        "excluded.bot": 1,
        "rejected.not_json": 1,
    }
    assert truth.accounting() == totals | {f"{fate}{{partition=0}}": count for fate, count in totals.items()}


def test_lateness_is_judged_by_each_partition_for_itself() -> None:
    truth = truth_of(event(MINUTE, partition=0), event(0, partition=1), event(0, partition=0))
    assert truth.accounting()["late"] == 1


def test_an_excluded_name_is_excluded_and_bots_count_when_wanted() -> None:
    truth = truth_of(event(0, "Health Check"), event(0, bot=True), exclude={"events": ["health check"], "bots": False})
    assert (truth.accounting()["excluded"], truth.accounting()["accepted"]) == (1, 1)


def test_a_window_is_sixty_panes_that_end_with_the_present_one() -> None:
    """
    1m at 12:01:30.7: panes of 1 s, the last one is 12:01:30, the first 12:00:31
    """
    assert window_from_ms(NOON_MS + 90_700, MINUTE) == NOON_MS + 31_000


def test_late_events_count_as_arrivals_but_not_in_order() -> None:
    truth = truth_of(event(0), event(MINUTE), event(1 * SECOND, user="bob"))
    cells = cells_at(truth, 2 * MINUTE)
    assert (cells["events.5m"], cells["active_users.5m"]) == (3, 2)
    assert (cells["sessions.started.5m"], cells["users.known"]) == (1, 1)


def test_active_users_count_once_in_total_and_under_every_platform_shown() -> None:
    truth = truth_of(event(0), event(1, platform="ios"), event(2, platform=None), event(3, user="bob", platform="tv"))
    cells = cells_at(truth, MINUTE)
    shown = {cell: number for cell, number in cells.items() if cell.startswith("active_users.5m")}
    assert shown == {
        "active_users.5m": 2,
        "active_users.5m{platform=web}": 1,
        "active_users.5m{platform=ios}": 1,
        "active_users.5m{platform=unknown}": 1,
        "active_users.5m{platform=other}": 1,
    }


def test_active_users_of_today_count_from_local_midnight() -> None:
    """
    12:00 UTC is 21:00 in Tokyo, where today began at 15:00 UTC of yesterday
    """
    records = event(-21 * HOUR - 1, user="bob"), event(-21 * HOUR, user="cid"), event(0)
    assert cells_at(truth_of(*records, time_zone="Asia/Tokyo"), 0)["active_users.day"] == 2
    assert cells_at(truth_of(*records), 0)["active_users.day"] == 1


def test_a_session_closes_one_timeout_after_its_last_event_and_not_before() -> None:
    """
    0 ---- 5 s -------- 30 min 5 s
    page   track        closes
    """
    truth = truth_of(event(0), event(5 * SECOND, "Product Viewed"))
    closing = 30 * MINUTE + 5 * SECOND
    still = cells_at(truth, closing)
    assert (still["sessions.open"], still.get("sessions.closed.5m", 0)) == (1, 0)
    closed = cells_at(truth, closing + 1)
    assert (closed.get("sessions.open", 0), closed["sessions.closed.5m"], closed["sessions.bounced.5m"]) == (
        0,
        1,
        1,
    )
    assert (closed["sessions.duration_ms.5m"], closed["sessions.events.5m"]) == (5 * SECOND, 2)
    assert (closed["bounce_rate.5m"], closed["bounce_rate.5m{platform=web}"]) == (1, 1)
    assert (closed["sessions.duration_le_0.5m"], closed["sessions.duration_le_5.5m"]) == (0, 1)


def test_a_gap_of_exactly_the_timeout_still_belongs() -> None:
    one = cells_at(truth_of(event(0), event(30 * MINUTE)), HOUR)
    two = cells_at(truth_of(event(0), event(30 * MINUTE + 1)), HOUR)
    assert (one["sessions.started.24h"], two["sessions.started.24h"]) == (1, 2)


def test_identify_neither_opens_nor_extends_a_session_but_is_activity() -> None:
    cells = cells_at(truth_of(event(0, "identify")), MINUTE)
    assert "sessions.started.5m" not in cells
    assert (cells["users.new.5m"], cells["active_users.5m"], cells["events.other.5m"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("second", "engaged"),
    [
        (event(10 * SECOND, "Product Viewed"), 0),  # lasted exactly 10 s
        (event(10 * SECOND + 1, "Product Viewed"), 1),
        (event(1, "page"), 1),
        (event(1, "screen"), 1),
        (event(1, "Order Completed"), 1),
    ],
)
def test_a_session_settles_as_engaged_by_length_views_or_key_actions(second: Record, engaged: int) -> None:
    cells = cells_at(truth_of(event(0), second), 7 * MINUTE)
    assert (cells["sessions.settling"], cells["sessions.settling_engaged"]) == (1, engaged)
    assert cells["bounce_rate_provisional"] == 1 - engaged


def test_a_funnel_attempt_advances_converts_and_is_counted_by_its_entry() -> None:
    """
    ann  viewed --- added -- 40 s -- ordered
    bob  viewed ------------------------------- (in progress, then dropped)
    """
    truth = truth_of(
        event(0, "Product Viewed"),
        event(1, "Product Viewed", "bob", platform="ios"),
        event(2, "Product Viewed"),
        event(3, "Product Added"),
        event(40 * SECOND, "Order Completed", platform="ios"),
    )
    cells = cells_at(truth, MINUTE)
    steps = ["01_product_viewed", "02_product_added", "03_order_completed", "converted", "in_progress"]
    assert [cells[f"funnel.checkout.{step}.1h"] for step in steps] == [2, 1, 1, 1, 1]
    assert cells["funnel.checkout.converted.1h{platform=web}"] == 1
    assert cells["funnel.checkout.convert_ms.1h"] == 40 * SECOND
    assert (cells["funnel.checkout.drop_off_02.1h"], cells["funnel.checkout.drop_off_03.1h"]) == (0.5, 0)
    assert "funnel.checkout.conversion_matured.1h" not in cells
    later = cells_at(truth, HOUR + 2)
    assert (later["funnel.checkout.dropped.24h"], later.get("funnel.checkout.in_progress.24h", 0)) == (1, 0)
    assert later["funnel.checkout.conversion_matured.1h"] == 0.5


def test_a_step_after_the_window_drops_the_attempt_and_may_begin_another() -> None:
    truth = truth_of(event(0, "Product Viewed"), event(HOUR + 1, "Product Viewed"), event(HOUR + 2, "Product Added"))
    cells = cells_at(truth, HOUR + MINUTE)
    assert (
        cells["funnel.checkout.01_product_viewed.24h"],
        cells["funnel.checkout.02_product_added.24h"],
    ) == (2, 1)
    assert (cells["funnel.checkout.dropped.24h"], cells["funnel.checkout.in_progress.24h"]) == (1, 1)


def test_reentry_latest_moves_the_start() -> None:
    steps = ["Product Viewed", "Order Completed"]
    funnel = {"buy": {"window": "1h", "steps": steps, "reentry": "latest"}}
    truth = truth_of(
        event(0, "Product Viewed"),
        event(HOUR, "Product Viewed"),
        event(2 * HOUR, "Order Completed"),
        funnels=funnel,
    )
    cells = cells_at(truth, 3 * HOUR)
    assert (cells["funnel.buy.converted.24h"], cells["funnel.buy.convert_ms.24h"]) == (1, HOUR)


def test_live_conversion_is_the_kaplan_meier_estimate() -> None:
    """
    Ages in minutes of a 1 h funnel: ann converts at 0, bob at 2; cid is seen until 1 and dan until 3.
    S = (1 - 1/4) * (1 - 1/2); at age 2 only bob and dan are at risk.
    """
    truth = truth_of(
        event(0, "Product Viewed", "bob"),
        event(0, "Product Viewed", "dan"),
        event(2 * MINUTE, "Product Viewed", "ann"),
        event(2 * MINUTE, "Product Viewed", "cid"),
        event(2 * MINUTE, "Product Added", "ann"),
        event(2 * MINUTE, "Order Completed", "ann"),
        event(2 * MINUTE, "Product Added", "bob"),
        event(2 * MINUTE, "Order Completed", "bob"),
    )
    cells = cells_at(truth, 3 * MINUTE)
    survival = (3 / 4) * (1 / 2)
    assert cells["funnel.checkout.conversion_live"] == pytest.approx(1 - survival)
    error = survival * (1 / (4 * 3) + 1 / (2 * 1)) ** 0.5
    assert cells["funnel.checkout.conversion_live_se"] == pytest.approx(error)


def test_users_join_churn_and_come_back() -> None:
    """
    ann  day 0 ------------------- day 31 (churned at day 30, then back)
    bob                            day 31
    """
    truth = truth_of(event(0), event(31 * DAY), event(31 * DAY, user="bob"))
    before = cells_at(truth_of(event(0)), 30 * DAY)
    assert (before["users.alive"], before.get("users.churned.24h", 0)) == (1, 0)
    cells = cells_at(truth, 31 * DAY + 1)
    names = ["users.alive", "users.known", "users.new.24h", "users.resurrected.24h", "users.churned.7d"]
    assert [cells[name] for name in names] == [2, 2, 1, 1, 1]
    assert "users.churned.5m" not in cells


def test_what_is_not_before_the_watermark_has_not_happened_yet() -> None:
    truth = truth_of(event(0), event(MINUTE))
    assert "users.known" not in cells_at(truth, 0)
    assert cells_at(truth, 1)["users.known"] == 1


def test_a_quantile_is_linear_inside_its_bucket() -> None:
    cumulative = [2, 2, 6, 10, 10, 10, 10, 10, 10, 10]  # two of 0 s, four of 5..10 s, four of 10..30 s
    assert quantile_ms(0.1, 10, cumulative) == 0
    assert quantile_ms(0.5, 10, cumulative) == 5000 + 5000 * 3 / 4
    assert quantile_ms(0.8, 10, cumulative) == 10_000 + 20_000 / 2
    assert quantile_ms(0.5, 10, [0] * 10) == 14_400_000


@pytest.mark.parametrize("module", ["truth", "stories", "ledger", "simulator", "shop", "billing", "scenarios"])
def test_the_truth_shares_nothing_with_the_pipeline_but_the_config(module: str) -> None:
    tree = ast.parse((ROOT / "flows" / "demo" / f"{module}.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    ours = {name for name in imported if name.startswith(("flows", "schemas")) and not name.startswith("flows.demo.")}
    assert ours <= {"flows.config.model", "flows.config.selectors"}
