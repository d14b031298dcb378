from __future__ import annotations

import math

from deploy.bench.freshness import Batch, Look, ages_ms, percentile


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
