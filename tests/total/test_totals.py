"""From the shards' reports to what is published."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from flows.config.model import Config
from flows.measure.shard import Shard
from flows.messages.tick import Tick
from flows.metrics.catalogue import Catalogue
from flows.total.totals import Totals


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_left_out_and_named_as_changed(value: float | None) -> None:
    config = Config(product="shop", shards=3)
    totals = Totals(config)
    first, *others = totals.catalogue.derived
    totals.catalogue = Catalogue(totals.catalogue.cells, [replace(first, formula=lambda *_: value), *others])
    snapshots = [totals.add(Shard(config).tick(Tick(1, None, as_of_ms=0))) for _ in range(3)]
    snapshot = snapshots[-1]
    assert snapshots[:-1] == [None, None]
    assert snapshot is not None
    assert first.name not in snapshot.cells
    assert snapshot.changed is not None
    assert first.name in snapshot.changed
    assert all(math.isfinite(value) for value in snapshot.cells.values())
