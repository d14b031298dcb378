"""The lives of products, and which alerts fire in them: what test_stories.py holds the rules against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tests.deploy.alerts.conditions import DAY, HOUR, Conditions
from tests.deploy.alerts.judge import Firing
from tests.deploy.alerts.timeline import Change, Timeline

Rules = Literal["shop", "saas", "daily"]
"""The committed rules of an example; `daily` are the shop's with yesterday in place of last week."""
Told = tuple[Timeline, Sequence[Firing]]


@dataclass(frozen=True)
class Story:
    """A life, and all that fires in it."""

    name: str
    rules: Rules
    tell: Callable[[], Told]

    @property
    def takes_weeks(self) -> bool:
        """Whether rules are held against weeks of it, which takes Prometheus half a minute and more."""
        return "second_week" in self.name or "third_week" in self.name or self.rules == "saas"


STORIES: list[Story] = []


def story(rules: Rules) -> Callable[[Callable[[], Told]], Callable[[], Told]]:
    """Add a story to the list."""

    def add(tell: Callable[[], Told]) -> Callable[[], Told]:
        STORIES.append(Story(tell.__name__, rules, tell))
        return tell

    return add


def becomes(**values: Any) -> Change:
    """Some conditions are replaced."""
    return lambda now: replace(now, **values)


def times(**factors: float) -> Change:
    """Some rates are multiplied."""
    return lambda now: now.times(**factors)


@story("shop")
def a_busy_second_week() -> Told:
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
    # Down for an hour, and an alert says so. Then it catches up, and every record of that hour is counted.
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
    return week, expected


@story("shop")
def on_the_first_day_only_what_is_beyond_doubt_fires() -> Told:
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
    return day, expected


@story("daily")
def a_product_with_little_traffic_wakes_nobody() -> Told:
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
    return product, []


@story("daily")
def a_surge_makes_no_drop_of_the_same_hour_a_week_later() -> Told:
    """In the third week, that is: what is usual is the lesser of two weeks."""
    product = Timeline(2 * DAY + 12 * HOUR)
    product.change("1d 06:00", "1d 09:00", times(visits=4, orders=4, sign_ups=4))
    return product, []


@story("daily")
def the_pipeline_tells_of_itself() -> Told:
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
    return day, expected


@story("shop")
def a_second_week_of_slow_trouble() -> Told:
    """What is judged over an hour, then what is judged over a day or a week, and leaves it as slowly."""
    week = Timeline(8 * DAY + 22 * HOUR)
    # Those who reach their first order need five times as long.
    week.change("7d 00:00", "7d 06:00", times(reach_s=5))
    # Payment by card fails: seven in ten orders are missing, and with them most of the revenue.
    week.change("7d 01:00", "7d 02:00", times(orders=0.3))
    # The support has one in four of its people.
    week.change("7d 02:00", "7d 10:00", times(resolution_s=4))
    # A campaign's budget has a zero too many.
    week.change("7d 04:00", "7d 12:00", times(spend_eur=20))
    # A batch of the goods is broken.
    week.change("7d 08:00", "7d 08:30", becomes(refunds=20))
    # A release breaks the sign-in for some, who write tickets; more of later ones are serious.
    week.change("7d 10:00", "7d 10:30", becomes(tickets=20))
    week.change("7d 12:00", "7d 18:00", becomes(escalated=0.9))
    # Who came the day before yesterday gets no mail.
    week.change("7d 12:00", "7d 22:00", times(returns=0.2))
    # The welcome voucher does not work.
    week.change("7d 14:00", "7d 22:00", times(reach=0.1))
    # Everything at forty percent off: as many orders as ever, which bring less.
    week.change("7d 19:30", "7d 20:30", times(order_eur=0.6))
    expected = [
        Firing("MilestoneSlow", "7d 02:30", "8d 03:25", "milestone=first_order"),
        Firing("OrdersDrop", "7d 01:40", "7d 02:30"),
        Firing("RevenueDrop", "7d 01:40", "7d 02:30"),
        Firing("KeyActionDrop", "7d 01:40", "7d 02:30", "what=order_completed"),
        Firing("GoalDrop", "7d 01:40", "7d 02:30", "what=purchase"),
        Firing("ResolutionSlow", "7d 08:10", "8d 03:40"),
        Firing("OrderRefundsRise", "7d 08:10", "7d 09:30"),
        Firing("CacRise", "7d 08:55", "8d 21:55"),  # to the end: a week forgets nothing in a day
        Firing("TicketSurge", "7d 10:15", "7d 11:20"),
        Firing("EscalationSpike", "7d 15:15", "8d 15:10"),
        Firing("RetentionDrop", "7d 18:45", "8d 17:45"),
        Firing("MilestoneDrop", "7d 19:10", "8d 17:50", "milestone=first_order"),
        Firing("OrderValueDrop", "7d 20:15", "7d 20:50"),
    ]
    return week, expected


@story("saas")
def users_who_say_less_good_things() -> Told:
    """Responses within an hour, a day and a week: the shorter the window, the sooner an alert fires and ends."""
    week = Timeline(8 * DAY + 20 * HOUR, product="saas")
    # Nobody recommends it any more, and most would warn of it.
    week.change("7d 00:00", "8d 06:00", becomes(promoters=0.05, detractors=0.7))
    week.change("7d 02:00", "7d 03:00", becomes(negative=0.7))
    week.change("7d 06:00", "7d 14:00", becomes(satisfied=0.2))
    # A dip of the churn's progress, then a longer one.
    week.change("7d 15:00", "7d 15:45", becomes(on_track=False))
    week.change("7d 17:00", "7d 19:00", becomes(on_track=False))
    expected = [
        Firing("NegativeFeedbackRise", "7d 02:45", "7d 03:35"),
        Firing("DetractorsRise", "7d 06:05", "8d 19:55", "survey=nps"),
        Firing("CsatDrop", "7d 10:50", "8d 09:05", "survey=support"),
        Firing("NpsDrop", "7d 16:00", "8d 19:55", "survey=nps"),
        Firing("TargetMissed", "7d 18:00", "7d 19:10", "node=churn"),
    ]
    return week, expected


@story("shop")
def a_campaign_is_paid_for_until_the_third_week() -> Told:
    """What a customer costs is of a week and beside the week before, so that it is as usual when both are."""
    weeks = Timeline(23 * DAY)
    weeks.change("7d 04:00", "7d 12:00", times(spend_eur=20))
    return weeks, [Firing("CacRise", "7d 08:05", "14d 05:00")]


@story("saas")
def users_who_say_good_things_again_in_the_third_week() -> Told:
    """Detractors are those of a day, and the score is of a week: both end when what was bad leaves it."""
    weeks = Timeline(17 * DAY, product="saas")
    weeks.change("7d 00:00", "8d 06:00", becomes(promoters=0.05, detractors=0.7))
    expected = [
        Firing("DetractorsRise", "7d 04:40", "9d 00:45", "survey=nps"),
        Firing("NpsDrop", "7d 09:25", "14d 04:25", "survey=nps"),
    ]
    return weeks, expected
