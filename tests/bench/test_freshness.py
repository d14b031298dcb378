from __future__ import annotations

import math
from pathlib import Path

import pytest

from deploy.bench.freshness import Batch, Look, ages_ms, batches, lag_growth_ms, percentile, with_records


def test_a_batch_is_seen_when_both_its_partitions_and_the_product_number_have_reached_it() -> None:
    """
    due        100: (5, 5)          200: (10, 10)
    seen       180: (9, 3), 12      260: (9, 5), 10     300: (10, 10), 19     340: (10, 10), 20
    """
    batches = [Batch(100, (5, 5)), Batch(200, (10, 10)), Batch(400, (15, 15))]
    looks = [
        Look(180, "1", 12, (9, 3)),
        Look(260, "1", 10, (9, 5)),
        Look(300, "1", 19, (10, 10)),
        Look(340, "1", 20, (10, 10)),
    ]
    assert ages_ms(batches, looks) == [160, 140, math.inf]


def test_a_percentile_is_the_smallest_value_that_the_share_does_not_exceed() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([7.0], 0.99) == 7


def test_a_log_tells_what_was_due_and_how_late_the_feed_was(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("100 1 2 late 0.5\n120 2 4 late 31.0\n140 3 6\n160 4")
    assert batches(log) == [Batch(100, (1, 2), 0.5), Batch(120, (2, 4), 31.0), Batch(140, (3, 6))]


def test_a_batch_that_brings_nothing_has_no_age() -> None:
    due = [Batch(20, (0, 0)), Batch(40, (1, 1)), Batch(60, (1, 1)), Batch(80, (2, 1))]
    assert with_records(due) == [due[1], due[3]]


def looks_behind(lags: list[int]) -> tuple[list[Batch], list[Look]]:
    """A feed of 1,000 events/s and a look every 100 ms that is behind by so many events."""
    due = [Batch(100 * beat, (100 * beat,)) for beat in range(1, len(lags) + 1)]
    looks = [Look(batch.due_ms + 1, "1", 0, (batch.sent[0] - lag,)) for batch, lag in zip(due, lags, strict=True)]
    return due, looks


def test_a_lag_that_rises_and_falls_has_not_grown() -> None:
    assert lag_growth_ms(*looks_behind([50, 90, 20] * 6), rate=1_000.0) == 0


def test_a_lag_that_grows_is_told_in_ms_of_load() -> None:
    growing = [50 + 10 * step for step in range(18)]
    assert lag_growth_ms(*looks_behind(growing), rate=1_000.0) == pytest.approx(120)


def test_what_the_feed_has_not_handed_over_yet_is_no_lag() -> None:
    due, looks = looks_behind([50] * 18)
    late = [Batch(batch.due_ms, batch.sent, 500.0 if place > 9 else 0.0) for place, batch in enumerate(due)]
    assert lag_growth_ms(late, looks, rate=1_000.0) <= 0


def test_of_too_few_looks_no_lag_is_known() -> None:
    assert math.isnan(lag_growth_ms(*looks_behind([50, 60]), rate=1_000.0))
