"""What holds of spending at every moment, which days a period has, and what a shard remembers."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.audit import Record, recompute
from flows.config.limits import Limits
from flows.config.model import Config
from flows.metrics.cells import window_text
from flows.metrics.spend import Spending
from tests.engine import Engine, polls
from tests.laws.check_family import Event, delayed, encoded, streams

CONFIG = Config.model_validate(Spending.EXAMPLES[0])
START = 1_774_742_400_000  # 2026-03-29T00:00Z, an hour before clocks change in Europe
HOUR, DAY = 3_600_000, 86_400_000
ZONE = {"time_zone": "Europe/Berlin", "windows": ["24h", "7d", "30d"], "ratio_windows": []}


@settings(max_examples=30)
@given(streams(CONFIG), st.randoms(use_true_random=False))
def test_at_every_tick_categories_and_channels_add_up(stream: list[Event], random: Random) -> None:
    engine = Engine(CONFIG)
    for number, raw in enumerate(polls(encoded(delayed(stream, random)), [random.randint(1, 8) for _ in range(40)], 1)):
        engine.read(raw)
        if number % 3 == 2:
            engine.restart()
        cells = engine.tick().cells
        for window in map(window_text, CONFIG.long_windows) if cells else ():
            spent = cells[f"spend.{window}"]
            assert spent == sum(cells[f"spend.{kind}.{window}"] for kind in ("marketing", "sales", "other"))
            assert spent == sum(cells[f"spend.{window}{{channel={one}}}"] for one in CONFIG.spend_channels())


def spent(number: int, at_ms: int, **properties: Any) -> Record:
    """A record of 31.00 in March, or as `properties` has it."""
    march = {"period_start": "2026-03-01", "period_end": "2026-04-01"}
    record = {"spend_id": "s", "amount": 31, "currency": "USD", "category": "marketing", **march, **properties}
    event = {"type": "track", "event": "Marketing Spend Recorded", "userId": "books", "timestamp": START + at_ms}
    return Record(json.dumps(event | {"messageId": f"m{number}", "properties": record}).encode(), 0, number)


def end(number: int, at_ms: int) -> Record:
    """Time goes on to here."""
    return Record(json.dumps({"type": "identify", "userId": "z", "timestamp": START + at_ms}).encode(), 0, number)


def cells_after(config: dict[str, Any], *records: Record, limits: Limits | None = None) -> dict[str, Any]:
    """The cells of spending once all has been read, which are those of the audit."""
    made = Config.model_validate({"spend": {}, **ZONE, **config})
    engine = Engine(made, limits or Limits())
    for raw in polls(list(records), [1] * len(records), 1):
        engine.read(raw)
        engine.tick()
    found = dict(engine.tick(final=True).cells)
    if limits is None:
        expected = recompute(records, made).cells
        assert {name: found.get(name) for name in expected} == dict(expected)
    return found


@given(st.integers(0, 10**15 - 1), st.integers(1, 3660))
def test_the_shares_of_all_days_are_the_amount_and_none_is_off_by_more_than_one(amount: int, days: int) -> None:
    shares = np.diff(np.arange(days + 1, dtype=np.int64) * amount // days)
    assert shares.sum() == amount
    assert shares.max() - shares.min() <= 1


@pytest.mark.parametrize(
    ("start", "end_", "days"),
    [
        ("2026-03-29", "2026-03-30", 1),  # the day of 23 hours
        ("2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00", 1),
        ("2026-03-29T00:00:00+01:00", "2026-03-29T23:59:59+02:00", 1),
        ("2026-03-28T23:30:00Z", "2026-03-29T22:00:00.001Z", 2),  # a millisecond of the 30th takes it in
        ("2026-03-28T22:59:59.999Z", "2026-03-29T22:00:00Z", 2),  # from a millisecond of the 28th
        ("2026-03-26", "2026-03-29T12:00:00+02:00", 4),
    ],
)
def test_a_period_has_the_local_days_that_it_touches(start: str, end_: str, days: int) -> None:
    record = spent(0, DAY, amount=60, period_start=start, period_end=end_)
    cells = cells_after({}, record, end(1, 2 * DAY))
    assert cells["spend.7d"] == 6000
    on_sunday = cells_after({}, spent(0, 0, amount=60, period_start=start, period_end=end_), end(1, 20 * HOUR))
    assert on_sunday["spend.24h"] == 6000 // days


def test_a_day_counts_in_a_window_until_the_date_is_over_even_where_it_has_23_hours() -> None:
    record = spent(0, 0)
    at_1_on_saturday, before_midnight, at_midnight = (
        cells_after({}, record, end(1, at)) for at in (HOUR, 22 * HOUR + 9_999, 22 * HOUR + 10_000)
    )
    assert [cells["spend.30d"] for cells in (at_1_on_saturday, before_midnight, at_midnight)] == [2900, 2900, 3000]
    assert at_midnight["spend.24h"] == 100


def test_the_record_made_last_holds_whichever_is_read_first() -> None:
    cells = cells_after({"lateness": "1h"}, spent(0, 2 * HOUR, amount=62), spent(1, HOUR, amount=31), end(2, 2 * DAY))
    assert cells["spend.24h"] == 200


def test_a_record_that_is_read_days_late_counts_and_is_replaced() -> None:
    late = [end(0, 5 * DAY), spent(1, HOUR, amount=31), spent(2, 2 * HOUR, amount=62, channel="email"), end(3, 6 * DAY)]
    cells = cells_after({}, *late)
    assert cells["spend.30d"] == cells["spend.30d{channel=email}"] == 200 * 26  # 6 to 31 March


def test_a_record_that_is_forgotten_is_not_replaced() -> None:
    records = spent(0, 0), spent(1, 2 * DAY), spent(2, 5 * DAY), end(3, 6 * DAY)
    assert cells_after({"spend": {"remember": "3d"}}, *records)["spend.7d"] == 100 * 3  # of 29 to 31 March
    assert cells_after({"spend": {"remember": "1d"}}, *records)["spend.7d"] == 3 * 100 * 3


def test_a_period_that_ends_too_long_after_its_record_is_counted_and_not_used() -> None:
    cells = cells_after({}, spent(0, 0, period_end="2027-05-04"), spent(1, 1, period_end="2027-05-05"), end(2, DAY))
    assert cells["spend.too_far_ahead"] == 1
    assert cells["spend.24h"] == 3100 * 30 // 429 - 3100 * 29 // 429


def test_beyond_the_limit_records_are_refused_and_counted_and_those_forgotten_make_room() -> None:
    config = {"spend": {"remember": "10d"}, "shards": 1}
    first = [spent(number, number, spend_id=f"s{number}") for number in range(20)]
    later = [spent(20 + number, 11 * DAY + number, spend_id=f"t{number}") for number in range(5)]
    cells = cells_after(config, *first, *later, end(30, 12 * DAY), limits=Limits(spend_per_shard=16))
    assert cells["spend.refused"] == 4
    assert cells["spend.30d"] == 100 * 20 * (16 + 5)  # 12 to 31 March


def test_when_a_breakdown_changes_what_is_booked_goes_on_by_name() -> None:
    records = [spent(0, 0, spend_id="a", channel="email"), spent(1, 1, spend_id="b", channel="push"), end(2, DAY)]
    before, after = polls(records, [2], 1)
    engine = Engine(Config.model_validate({"spend": {}, **ZONE}))
    engine.read(before)
    engine.tick()
    channel = {"field": "properties.channel", "values": ["email"], "of": ["visitors"]}
    changed = engine.under(Config.model_validate({"spend": {}, **ZONE, "breakdowns": {"channel": channel}}))
    changed.read(after)
    cells = changed.tick(final=True).cells
    assert (cells["spend.24h{channel=email}"], cells["spend.24h{channel=other}"]) == (100, 100)
