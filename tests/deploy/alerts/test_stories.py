"""What fires, and what does not, in the lives of shops: every step of each is held against what is expected of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.alerting.rules import rules_text
from flows.config.file import load_alerts
from tests.deploy.alerts.judge import Firing, judge
from tests.deploy.alerts.timeline import DAY, HOUR, Change, Conditions, Timeline
from tests.services import ROOT

SHOP = ROOT / "deploy" / "prometheus" / "rules" / "shop.yml"


def becomes(**values: Any) -> Change:
    """Some conditions are replaced."""
    return lambda now: replace(now, **values)


def times(**factors: float) -> Change:
    """Some rates are multiplied."""
    return lambda now: now.times(**factors)


@pytest.fixture(scope="module")
def daily(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's rules, with yesterday in place of last week: a second week comes sooner."""
    config, alerts = load_alerts(ROOT / "deploy" / "examples" / "shop.yaml")
    alerts = alerts.model_copy(update={"same_hour": 86_400_000, "trailing": 86_400_000})
    file = tmp_path_factory.mktemp("rules") / "daily.yml"
    file.write_text(rules_text(config, alerts))
    return file


def test_a_busy_second_week(tmp_path: Path) -> None:
    """One week as usual, then one trouble after the other: each has its own alert, and no other fires."""
    week = Timeline(8 * DAY + 6 * HOUR)
    # The landing page is broken: 82 % leave at once, not 55 %.
    week.change("7d 00:00", "7d 00:30", times(engaged=0.4))
    # The checkout fails for two in three; the live estimate looks back over the funnel's hour. The funnel `purchase`
    # has a threshold of its own, a larger one.
    week.change("7d 02:00", "7d 02:45", times(conversion=0.3))
    # Two in three visitors cannot reach the shop; those who do are as ever.
    week.change("7d 05:00", "7d 05:30", times(visits=0.3))
    # Nobody can sign up.
    week.change("7d 08:00", "7d 09:00", times(sign_ups=0.05))
    # A price rise: forty times as many leave, and as many say that they will.
    week.change("7d 11:00", "7d 11:30", becomes(left=20, asked=20))
    # Many go over to a cheaper plan: nobody leaves, but a tenth of the revenue does.
    week.change("7d 14:00", "7d 14:30", becomes(lost=800))
    # The search box is gone.
    week.change("7d 15:00", "7d 16:00", times(searches=0.1))
    # Those who stay find little to do. Their sessions close half an hour after.
    week.change("7d 17:00", "7d 18:00", becomes(stay_s=24))
    # An advertisement: four times as many do the same as ever.
    week.change("7d 20:00", "7d 21:00", times(visits=4, orders=4, sign_ups=4, searches=4))
    # A restart that takes five minutes, and five to catch up.
    week.change("7d 22:30", "7d 22:35", becomes(state="down"))
    week.change("7d 22:35", "7d 22:40", becomes(state="catching up"))
    # Down for an hour, which is told; then it catches up, and all of the hour is counted.
    week.change("8d 00:00", "8d 01:00", becomes(state="down"))
    week.change("8d 01:00", "8d 01:20", becomes(state="catching up"))
    # Nothing comes in for twenty minutes: one alert, not one for each number that drops.
    week.change("8d 04:00", "8d 04:20", becomes(silent=True))
    expected = [
        Firing("BounceSpike", "7d 00:10", "7d 00:50"),
        Firing("ConversionDrop", "7d 02:25", "7d 03:35", "funnel=checkout"),
        Firing("ConversionDrop", "7d 02:35", "7d 03:25", "funnel=purchase"),
        Firing("ActiveUsersDrop", "7d 05:05", "7d 05:40", "what=active_users"),
        Firing("KeyActionDrop", "7d 08:35", "7d 09:45", "what=signed_up"),
        Firing("GoalDrop", "7d 08:35", "7d 09:45", "what=signup"),
        Firing("ChurnSpike", "7d 11:05", "7d 12:30", "kind=left"),
        Firing("ChurnSpike", "7d 11:05", "7d 12:30", "kind=asked"),
        Firing("MRRDrop", "7d 11:15", "7d 12:25"),
        Firing("MRRDrop", "7d 14:10", "7d 15:35"),
        Firing("FeatureDrop", "7d 15:35", "7d 16:35", "what=search"),
        Firing("SessionDurationCollapse", "7d 18:10", "7d 19:00"),
        Firing("TidegaugeDown", "8d 00:10", "8d 00:55"),
        Firing("NoData", "8d 04:05", "8d 04:15"),
    ]
    judge(SHOP, week, expected, tmp_path)


def test_on_the_first_day_only_what_is_beyond_doubt_fires(tmp_path: Path) -> None:
    """There is no last week. Rates of the night differ from those of the day; then the site breaks altogether."""
    day = Timeline(DAY)
    day.change("00:00", "12:00", times(engaged=0.6, conversion=0.5))
    day.change("06:00", "08:00", times(visits=0.3, orders=0.1, sign_ups=0.1))
    # Every visitor leaves at once, and nobody orders.
    day.change("19:00", "20:30", times(engaged=0.05, conversion=0))
    expected = [
        Firing("BounceSpike", "19:15", "20:45"),
        Firing("ConversionDrop", "20:00", "20:40", "funnel=checkout"),
        Firing("ConversionDrop", "20:00", "20:40", "funnel=purchase"),
    ]
    judge(SHOP, day, expected, tmp_path)


def test_a_product_with_little_traffic_wakes_nobody(daily: Path, tmp_path: Path) -> None:
    """Three visits in five minutes, with rates that jump about; twice nobody comes at all."""
    few = Conditions(
        visits=3, orders=0.3, sign_ups=0.2, searches=0.5, left=0.01, joined=0.01, asked=0.01, lost=0.1, won=0.2
    )
    product = Timeline(2 * DAY + 6 * HOUR, usual=few, subscribers=15)
    product.change("1d 06:00", "1d 08:00", times(engaged=0.2))
    product.change("1d 10:00", "1d 12:00", times(conversion=0, orders=0))
    product.change("1d 14:00", "1d 14:20", becomes(silent=True))
    product.change("1d 18:00", "1d 18:30", becomes(left=0.3))
    product.change("1d 20:00", "1d 22:00", becomes(stay_s=10))
    product.change("2d 02:00", "2d 02:20", becomes(silent=True))
    judge(daily, product, [], tmp_path)


def test_a_surge_makes_no_drop_of_the_same_hour_a_week_later(daily: Path, tmp_path: Path) -> None:
    """In the third week, that is: what is usual is the lesser of two weeks."""
    product = Timeline(2 * DAY + 12 * HOUR)
    product.change("1d 06:00", "1d 09:00", times(visits=4, orders=4, sign_ups=4))
    judge(daily, product, [], tmp_path)


def test_the_pipeline_tells_of_itself(daily: Path, tmp_path: Path) -> None:
    day = Timeline(DAY + 18 * HOUR)
    day.change("1d 00:00", "1d 00:30", becomes(late=0.2))
    day.change("1d 02:00", "1d 02:30", becomes(rejected=0.3))
    day.change("1d 04:00", "1d 04:30", becomes(duplicates=0.9))
    day.change("1d 06:00", "1d 06:10", becomes(difference=1))
    day.change("1d 08:00", "1d 08:20", becomes(publishing=False))
    day.change("1d 10:00", "1d 10:30", becomes(saving=False))
    day.change("1d 11:00", "1d 11:15", becomes(letters_s=400))
    day.change("1d 11:30", "1d 11:35", becomes(dropped=3))
    # The clock stands still, then all is read at once.
    day.change("1d 12:00", "1d 12:30", becomes(state="stuck"))
    day.change("1d 12:30", "1d 12:45", becomes(state="catching up"))
    # Half of what comes in is read, for an hour and a half.
    day.change("1d 14:00", "1d 15:30", becomes(state="behind"))
    day.change("1d 15:30", "1d 16:30", becomes(state="catching up"))
    # A producer has left a transaction open, and the clock goes on without what lies behind it.
    day.change("1d 17:00", "1d 17:20", becomes(hangs=True))
    expected = [
        Firing("LateShare", "1d 00:05", "1d 00:35"),
        Firing("RejectedShare", "1d 02:05", "1d 02:35"),
        Firing("DuplicateShare", "1d 04:05", "1d 04:35"),
        Firing("AccountingBroken", "1d 06:05", "1d 06:05"),
        Firing("PublishFailing", "1d 08:05", "1d 08:15"),
        Firing("CheckpointTooOld", "1d 10:15", "1d 10:25"),
        Firing("DeadLettersWaiting", "1d 11:05", "1d 11:10"),
        Firing("DeadLettersWaiting", "1d 11:35", "1d 11:40"),
        Firing("StreamClockStalled", "1d 12:10", "1d 12:25"),
        Firing("ConsumerLag", "1d 14:30", "1d 15:25"),
        Firing("TransactionHangs", "1d 17:05", "1d 17:20"),
    ]
    judge(daily, day, expected, tmp_path)
