"""Arrays made under one legend, taken back under another."""

from __future__ import annotations

from typing import Any

import numpy as np

from flows.config.model import Config
from flows.measure.clock import Reading, StreamClock, judge
from flows.measure.dedup import Recent
from flows.messages.columns import EVENT, NO_TIME
from flows.metrics.family import Groups
from flows.metrics.minutes import MinuteBook
from flows.state.axes import Names
from flows.state.pairs import TIME, Pairs, position
from flows.state.rows import Counters, UserRows
from flows.state.windows import Windows, add, move

MINUTE, HOUR = 60_000, 3_600_000
PLATFORM = {"field": "context.device.type", "values": ["web", "ios"]}
PLAN = {"field": "properties.plan", "values": ["free"]}


def groups(of: str | None = "sessions", /, **breakdowns: Any) -> Groups:
    return Groups(Config.model_validate({"breakdowns": breakdowns}), of)


def taken_over(old: Any, new: Any, users: int = 0) -> Any:
    """`new` with what `old` held."""
    new.load(new.carry(old.save(users), old.legend()), users)
    return new


def word(*codes: int) -> int:
    return sum(code << 8 * place for place, code in enumerate(codes))


def test_names_are_found_again_and_what_has_none_any_more_is_one_of_the_others() -> None:
    old = Counters(Names(["other", "added", "left"], rest="other"))
    old.values[...] = [1, 20, 300]
    new = taken_over(old, Counters(Names(["other", "bought", "left"], rest="other")))
    assert new.values.tolist() == [21, 0, 300]


def test_values_go_on_by_name_and_a_new_one_finds_nothing() -> None:
    old = Counters(groups(platform=PLATFORM), 2)  # everybody, web, ios, other, unknown
    old.values[...] = [[15, 15], [1, 1], [2, 2], [4, 4], [8, 8]]
    new = taken_over(old, Counters(groups(platform=PLATFORM | {"values": ["ios", "tv", "web"]}), 2))
    assert new.values[:, 0].tolist() == [15, 2, 0, 1, 4, 8]


def test_before_a_new_breakdown_everybody_was_unknown() -> None:
    old = Counters(groups(platform=PLATFORM))
    old.values[...] = [15, 1, 2, 4, 8]
    for changed in (
        {"plan": PLAN},  # new
        {"platform": PLATFORM | {"values": ["web"]}},  # a value less
        {"platform": PLATFORM | {"field": "properties.os"}},  # told by another field
    ):
        new = groups(**changed)
        labels = [next(iter(group.values()), "") for group in new.labels]
        values = dict(zip(labels, taken_over(old, Counters(new)).values.tolist(), strict=True))
        assert values.pop("") == values.pop("unknown") == 15
        assert set(values.values()) == {0}


def test_the_codes_of_rows_are_those_of_their_values() -> None:
    old = groups(platform=PLATFORM)
    new = groups(plan=PLAN, platform=PLATFORM | {"values": ["ios", "tv", "web"]})  # `plan` takes the lowest byte
    rows = UserRows(np.uint64, dims=old)
    rows.resize(4)
    rows.rows[:] = [word(0), word(1), word(2), word(3)]  # web, ios, other, unknown
    unknown = 2
    assert taken_over(rows, UserRows(np.uint64, dims=new), 4).rows.tolist() == [
        word(unknown, 2), word(unknown, 0), word(unknown, 3), word(unknown, 4)
    ]  # fmt: skip


def test_what_is_broken_down_only_now_was_unknown_to_this_family_and_known_to_rows_that_wait() -> None:
    before, now = PLATFORM | {"of": ["events"]}, PLATFORM | {"of": ["events", "sessions"]}
    shown = np.array([word(1)], np.uint64)
    past = groups("sessions", platform=before).legend()
    assert groups("sessions", platform=now).words(shown, past).tolist() == [word(3)]
    waiting = groups(None, platform=before).legend()
    assert groups(None, platform=now).words(shown, waiting).tolist() == [word(1)]


def test_times_of_values_shown_follow_the_values() -> None:
    old, new = Pairs(groups(platform=PLATFORM)), Pairs(groups(platform=PLATFORM | {"values": ["ios", "tv", "web"]}))
    for slot, group, time in ((7, 1, 100), (7, 2, 200), (9, 4, 300)):
        old.reserve(1)
        old.latest.entries[position(old.latest, slot, group), TIME] = time
    slots, found, times = taken_over(old, new).since(0)
    assert sorted(zip(slots.tolist(), found.tolist(), times.tolist(), strict=True)) == [
        (7, 1, 200), (7, 3, 100), (9, 5, 300)
    ]  # fmt: skip
    gone = Pairs(groups(plan=PLAN))
    assert [len(part) for part in taken_over(old, gone).since(0)] == [0, 0, 0]


def test_a_window_that_both_have_goes_on_and_a_new_one_stands_nowhere_until_it_is_begun() -> None:
    now = 1000 * HOUR + 30 * MINUTE
    old = Windows([MINUTE, HOUR], Names(["a", "b"]))
    move(old.ring, now)
    for time, counter in ((now - 1, 0), (now - 10 * MINUTE, 1), (now - 50 * MINUTE, 1)):
        add(old.ring, time, counter, 1)
    new = taken_over(old, Windows([HOUR, 2 * HOUR], Names(["b", "c", "a"])))
    assert new.totals.tolist() == [[2, 0, 1], [0, 0, 0]]
    assert new.ring.heads.tolist() == [old.ring.heads[1], NO_TIME]
    begun = new.begin(now)
    assert begun.tolist() == [1]
    new.book(begun, np.array([now - 1, now - 90 * MINUTE, now - 3 * HOUR]), np.array([0, 1, 1]), np.array([5, 7, 9]))
    assert new.totals.tolist() == [[2, 0, 1], [5, 7, 0]]
    move(new.ring, now + 40 * MINUTE)
    assert new.totals.tolist() == [[1, 0, 1], [5, 0, 0]]


def test_minutes_go_on_by_field_however_long_the_history_is() -> None:
    def book(history: str, *fields: str) -> MinuteBook:
        made = MinuteBook(Config.model_validate({"minute_history": history}))
        made.columns("minutes", "events")
        made.columns("funnel.f", *fields)
        return made

    head = 30_000_000
    old = book("5m", "entered", "converted")
    old.turn(head * MINUTE)
    for minute in range(head - 5, head + 1):
        old.page.counts[minute % 6] = [minute - head, 1, 2]
    for history in ("3m", "5m", "9m"):
        new = taken_over(old, book(history, "converted", "dropped"))
        kept = min(6, len(new.page.counts))
        for minute in range(head - kept + 1, head + 1):
            assert new.page.counts[minute % len(new.page.counts)].tolist() == [minute - head, 2, 0]
        new.restart("funnel.f")
        assert new.page.counts[head % len(new.page.counts)].tolist() == [0, 0, 0]
        assert new.page.counts[(head - 1) % len(new.page.counts)].tolist() == [-1, 2, 0]


def test_an_id_is_known_as_long_as_it_has_to_be_under_another_horizon() -> None:
    def read(recent: Recent, message: int, clock: int) -> bool:
        rows = np.zeros(1, EVENT)
        rows["message"], rows["user"] = message, 1
        return bool(recent.copies(rows, np.array([clock]))[0])

    now = 1000 * HOUR
    for horizon in (MINUTE, 7 * MINUTE, HOUR):
        old = Recent(10 * MINUTE)
        times = [now - minutes * MINUTE for minutes in range(20)]
        for number, time in enumerate(times, 1):
            read(old, number, time)
        new = taken_over(old, Recent(horizon))
        new.forget(now)
        for number, time in enumerate(times, 1):
            if time > now - min(horizon, 10 * MINUTE):
                assert read(new, number, now), f"{(now - time) // MINUTE} minutes under a horizon of {horizon}"


def test_the_watermark_stands_until_time_has_gone_on_as_far_as_the_lateness_has_grown() -> None:
    old = StreamClock(10_000)
    old.now_ms = 1_000_000
    new = taken_over(old, StreamClock(60_000))
    assert (old.watermark_ms, new.watermark_ms, new.floor_ms) == (990_000, 990_000, 990_000)
    rows = np.zeros(2, EVENT)
    rows["ts"] = [989_999, 990_000]
    _, late = judge(rows, [2], [Reading(NO_TIME, new.now_ms)], 60_000, new.floor_ms)
    assert late.tolist() == [True, False]
    new.now_ms = 1_060_000
    assert new.watermark_ms == 1_000_000
    assert taken_over(old, StreamClock(1_000)).watermark_ms == 999_000
