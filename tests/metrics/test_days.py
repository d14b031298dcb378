"""Closed days: when each number is final, and what survives a restart or another config."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import compiled
from flows.config.model import Config
from flows.metrics.days import Calendar, DayBook, Wait, begin_of_day, date_of, note_on_day, stand_on

BERLIN = Config.model_validate({"time_zone": "Europe/Berlin"})
HOUR = 3_600_000


@compiled
def stand(calendar: Calendar, now: int) -> None:
    stand_on(calendar, now)


@compiled
def note(calendar: Calendar, ts: int, bound: int, column: int) -> None:
    note_on_day(calendar, ts, bound, column, 1)


@compiled
def begins(calendar: Calendar, ts: int) -> int:
    return int(begin_of_day(calendar, ts))


def at(text: str, zone: str = "Europe/Berlin") -> int:
    """Local time as epoch ms."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1000


def told(book: DayBook, now: int) -> dict[str, dict[str, int]]:
    """What is final at `now` and was not before, by date."""
    found: dict[int, NDArray[np.int64]] = book.closed(now)
    return {date_of(day).isoformat(): book.finals(day, now, counts) for day, counts in found.items()}


def made(*, waits: tuple[Wait, ...] = (), config: Config = BERLIN) -> DayBook:
    book = DayBook(config)
    book.columns("minutes", "events")
    for number, wait in enumerate(waits):
        book.columns("retention", f"later_{number}", wait=wait)
    return book


def test_a_day_lasts_from_midnight_to_midnight_also_when_clocks_change() -> None:
    book = made()
    stand(book.calendar, at("2026-03-30T12:00"))
    for text in ("2026-03-28T23:59", "2026-03-29T00:00", "2026-03-29T23:59", "2026-03-30T00:00"):
        note(book.calendar, at(text), 0, 0)
    assert begins(book.calendar, at("2026-03-29T23:59")) == at("2026-03-30T00:00") - 23 * HOUR
    assert told(book, at("2026-03-30T12:00")) == {"2026-03-28": {"events": 1}, "2026-03-29": {"events": 2}}
    assert told(book, at("2026-03-30T23:59")) == {}
    assert told(book, at("2026-03-31T00:00")) == {"2026-03-30": {"events": 1}}


def test_what_comes_when_its_day_was_closed_counts_on_none() -> None:
    book = made()
    stand(book.calendar, at("2026-11-30T12:00"))
    midnight = at("2026-11-30T00:00")
    note(book.calendar, midnight - 1, midnight - 1, 0)
    note(book.calendar, midnight - 1, midnight, 0)
    assert told(book, midnight) == {"2026-11-29": {"events": 1}}


def test_a_number_that_waits_is_part_of_its_day_when_it_is_final() -> None:
    book = made(waits=(Wait(dates=1), Wait(ms=24 * HOUR)))
    stand(book.calendar, at("2026-10-26T12:00"))
    for column in range(3):
        note(book.calendar, at("2026-10-24T08:00"), 0, column)
    assert told(book, at("2026-10-25T00:00")) == {"2026-10-24": {"events": 1}}
    # The 25th has 25 hours, so that 24 of them are over an hour before it is.
    assert told(book, at("2026-10-25T23:00")) == {"2026-10-24": {"events": 1, "later_1": 1}}
    assert told(book, at("2026-10-26T00:00")) == {"2026-10-24": {"events": 1, "later_0": 1, "later_1": 1}}
    assert told(book, at("2026-10-27T00:00")) == {}


def test_after_a_restart_all_days_are_told_again_and_fields_go_on_by_name() -> None:
    book = made()
    stand(book.calendar, at("2026-11-30T12:00"))
    note(book.calendar, at("2026-11-28T08:00"), 0, 0)
    assert len(told(book, at("2026-11-30T12:00"))) == 1
    other = DayBook(BERLIN)
    other.columns("new", "new")
    other.columns("minutes", "events")
    other.load(other.carry(book.save(0), book.legend()), 0)
    assert told(other, at("2026-11-30T12:00")) == {"2026-11-28": {"new": 0, "events": 1}}
    fresh = made()
    fresh.load(fresh.carry(fresh.upgraded({}), None), 0)  # a build that kept no days
    assert told(fresh, at("2026-11-30T12:00")) == {}


def test_what_starts_afresh_begins_with_the_open_day() -> None:
    def filled() -> DayBook:
        book = made(waits=(Wait(dates=1),))
        stand(book.calendar, at("2026-11-30T12:00"))
        for date in ("2026-11-28", "2026-11-29", "2026-11-30"):
            for column in range(2):
                note(book.calendar, at(f"{date}T08:00"), 0, column)
        return book

    def later(book: DayBook) -> dict[str, dict[str, int]]:
        return told(book, at("2026-12-05T00:00"))

    book = filled()
    book.restart("retention")
    assert {date: fields["later_0"] for date, fields in later(book).items()} == {
        "2026-11-28": 1,
        "2026-11-29": 0,
        "2026-11-30": 0,
    }
    assert {fields["events"] for fields in later(filled()).values()} == {1}
    elsewhere = made(waits=(Wait(dates=1),), config=Config())
    elsewhere.load(elsewhere.carry(filled().save(0), filled().legend()), 0)
    assert set(later(elsewhere)) == {"2026-11-28", "2026-11-29"}


def test_what_stands_at_the_end_of_a_day_is_asked_for_each_that_ends() -> None:
    book = made()
    found = book.ends(at("2026-10-24T00:00"), at("2026-10-26T00:00"))
    assert [(date_of(day).isoformat(), end) for day, end in found] == [
        ("2026-10-24", at("2026-10-25T00:00")),
        ("2026-10-25", at("2026-10-26T00:00")),
    ]
    assert book.ends(at("2026-10-25T00:00"), at("2026-10-25T23:59")) == []
    stand(book.calendar, at("2026-10-26T00:00"))
    book.put(found[0][0], 0, np.array([7]))
    assert told(book, at("2026-10-26T00:00")) == {"2026-10-24": {"events": 7}}


def test_400_days_are_kept() -> None:
    book, first = made(), at("2025-01-01T12:00")
    stand(book.calendar, first)
    note(book.calendar, first, 0, 0)
    stand(book.calendar, first + 400 * 24 * HOUR)
    assert set(told(book, first + 400 * 24 * HOUR)) == {"2025-01-01"}
    stand(book.calendar, first + 401 * 24 * HOUR)
    other = made()
    other.load(book.save(0), 0)
    assert told(other, first + 401 * 24 * HOUR) == {}
