"""The order in which ordered metrics are shown events."""

from __future__ import annotations

import numpy as np
import pytest

from flows.measure.reorder import FEW, POSITION_BITS, in_order
from flows.metrics.family import HELD


@pytest.mark.parametrize("count", [0, 1, 2, 7, FEW, FEW + 1, 5_000])
@pytest.mark.parametrize("span_ms", [1, 50, 10_000, 2 << (62 - POSITION_BITS)])
def test_rows_stand_by_time_then_partition_then_as_they_came(count: int, span_ms: int) -> None:
    chance = np.random.default_rng(count)
    rows = np.zeros(count, HELD)
    rows["ts"] = 1_774_742_400_000 + chance.integers(0, span_ms, count)
    rows["partition"] = chance.integers(0, 3, count)
    rows["slot"] = np.arange(count)
    columns = list(HELD.names or ())
    time, partition = columns.index("ts"), columns.index("partition")
    expected = sorted(rows.tolist(), key=lambda row: (row[time], row[partition]))
    assert in_order(rows).tolist() == expected
