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


def test_the_tree_is_computed_from_derived_numbers_and_from_the_time_alone() -> None:
    """A target that nobody comes nearer to is behind one day, without any event: T has passed."""
    node = {"metric": "events.1h", "level": "focus", "class": "reach", "from": -1, "target": 1}
    days = {"since": "1970-01-02", "by": "1970-01-03"}
    config = Config.model_validate({"shards": 1, "tree": {"calls": node | days}})
    totals, shard = Totals(config), Shard(config)
    halfway = 2 * 86_400_000  # since is over, by has begun
    snapshots = [
        totals.add(shard.tick(Tick(number, None, as_of_ms=as_of_ms)))
        for number, as_of_ms in enumerate((halfway, halfway + 1, halfway + 2), 1)
    ]
    first, second, third = (one for one in snapshots if one is not None)
    assert {name: value for name, value in first.cells.items() if name.startswith("tree.")} == {
        "tree.calls.value": 0, "tree.calls.target": 1, "tree.calls.attainment": 0.0,
        "tree.calls.progress": 0.5, "tree.calls.on_track": 1,
    }  # fmt: skip
    assert second.cells["tree.calls.on_track"] == 0
    assert second.changed == {"tree.calls.on_track"}
    assert third.changed == set()


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
