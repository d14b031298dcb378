"""Closed minutes of two days: which are asked for, what they add up to, and how tiles compare with the day before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flows.config.model import Config
from flows.metrics.catalogue import catalogue
from flows.web.comparisons import Comparable, comparables, compared, parts_of_fields, trace
from flows.web.layout import layout
from flows.web.minutes import DAY, Minutes, counterparts

CONFIG = Config.model_validate(
    {"time_zone": "Europe/Berlin", "funnels": {"buy": {"window": "1h", "steps": ["A", "B"]}}}
)
LISTED = catalogue(CONFIG)
NOON = datetime(2026, 11, 29, 12, 0, 30, tzinfo=UTC)  # 13:00 in Berlin
END = int(NOON.timestamp()) // 60
A_DAY = timedelta(days=1)


def minutes(values: dict[int, dict[str, int]], now: datetime = NOON) -> Minutes:
    """The minutes as read at `now`: of those that lie so many minutes back, some values."""
    found = Minutes(CONFIG, LISTED.minute_fields)
    asked = found.wanted(now, "1")
    end = int(now.timestamp()) // 60
    found.take(now, asked, [values.get(end - int(start.timestamp()) // 60) for start in asked])
    return found


def test_asked_for_are_today_and_the_day_before_as_far_as_the_history_goes() -> None:
    asked = Minutes(CONFIG, LISTED.minute_fields).wanted(NOON, "1")
    assert asked[0] == datetime(2026, 11, 27, 23, 0, tzinfo=UTC)  # midnight of the 28th in Berlin
    assert asked[-1] == datetime(2026, 11, 29, 11, 59, tzinfo=UTC)
    short = Minutes(CONFIG.model_copy(update={"minute_history": 600_000}), LISTED.minute_fields)
    assert len(short.wanted(NOON, "1")) == 10


def test_what_was_read_is_not_asked_for_again_but_lately_missing_ones_are() -> None:
    found = minutes({3: {"events": 5}})
    again = found.wanted(NOON + timedelta(minutes=1), "1")
    assert [int(start.timestamp()) // 60 - END for start in again] == [-10, -9, -8, -7, -6, -5, -4, -2, -1, 0]
    assert len(found.wanted(NOON, "2")) > DAY  # of a new run all are read again


def test_at_midnight_the_day_before_is_another_one() -> None:
    late = datetime(2026, 11, 29, 22, 59, 30, tzinfo=UTC)
    found = minutes({1: {"events": 5}}, late)
    assert found.column("events", found.midnight, found.end)[-1] == 5
    after = late + timedelta(minutes=2)
    asked = found.wanted(after, "1")
    found.take(after, asked, [None] * len(asked))
    assert found.midnight == int(datetime(2026, 11, 29, 23, 0, tzinfo=UTC).timestamp()) // 60
    assert found.total("events", found.midnight - DAY, found.midnight) == 5


def test_people_are_never_added_up() -> None:
    found = minutes({1: {"active_users": 5}, 2: {"active_users": 5}})
    assert found.total("active_users", END - 1, END) == 5
    with pytest.raises(ValueError, match="cannot be added up"):
        found.total("active_users", END - 2, END)


def test_every_field_of_a_minute_counts_what_some_cell_counts() -> None:
    assert set(counterparts(LISTED).values()) == set(LISTED.minute_fields)
    assert counterparts(LISTED)["funnel.buy.01_a"] == "funnel.buy.entered"


def test_every_field_of_a_minute_belongs_to_a_part_of_the_state() -> None:
    assert parts_of_fields(CONFIG) == {
        **dict.fromkeys(("events", "active_users"), "minutes"),
        **dict.fromkeys(("sessions_started", "sessions_closed", "sessions_bounced"), "sessions"),
        **dict.fromkeys(("funnel.buy.entered", "funnel.buy.converted"), "funnel.buy"),
        "new_users": "lifecycle",
    }


def of_both_days(today: dict[str, int], before: dict[str, int]) -> dict[int, dict[str, int]]:
    return {back + day * DAY: values for day, values in ((0, today), (1, before)) for back in range(1, 61)}


def test_a_share_is_computed_from_sums_of_both_days_by_its_own_formula() -> None:
    rate = Comparable(["sessions_bounced", "sessions_closed"], lambda bounced, closed: bounced / closed)
    found = minutes(
        of_both_days({"sessions_bounced": 2, "sessions_closed": 4}, {"sessions_bounced": 1, "sessions_closed": 4})
    )
    both = compared(rate, found, "1h", found.first)
    assert both is not None
    assert (both.now, both.before, both.base, both.tells) == (0.5, 0.25, 240, True)
    few = compared(rate, found, "5m", found.first)
    assert few is not None
    assert (few.base, few.tells) == (20, False)  # 4 sessions a minute say nothing yet


def test_over_a_day_and_longer_today_so_far_is_compared() -> None:
    found = minutes({1: {"events": 3}, 1 + DAY: {"events": 2}, 800: {"events": 100}})
    both = compared(Comparable(["events"]), found, "24h", found.first)
    assert both is not None
    assert (both.over, both.now, both.before) == ("today", 3, 2)  # 800 minutes ago was the day before


def test_where_a_side_is_not_known_nothing_is_compared() -> None:
    found = minutes(of_both_days({"events": 3}, {"events": 2}))
    assert compared(Comparable(["events"]), found, "1h", END - DAY - 60) is not None
    assert compared(Comparable(["events"]), found, "1h", END - DAY - 59) is None
    assert found.known_from(60_000 * END + 1, 60_000 * END) == END + 1  # counted from within a minute
    assert found.known_from(0, 60_000 * (END + DAY)) == END - DAY  # what is older than the history is gone


def test_tiles_that_minutes_know_are_compared_and_the_others_not() -> None:
    page = layout(CONFIG, LISTED)
    known = {tile.title: one for tile, one in zip(page.tiles, comparables(page.tiles, LISTED), strict=True) if one}
    assert {title: one.fields for title, one in known.items()} == {
        "Active users": ["active_users"],
        "New users": ["new_users"],
    }


def test_the_trace_of_a_tile_is_the_last_minutes() -> None:
    found = minutes({1: {"events": 3}, 2: {"events": 4}})
    assert trace(Comparable(["events"]), found, found.first)[-3:] == [0, 4, 3]
    assert trace(Comparable(["events"]), found, END - 2) == [4, 3]
    rate = Comparable(["events", "events"], lambda one, other: one / other if other else None)
    assert trace(rate, found, END - 3) == [None, 1.0, 1.0]
