"""What holds of orders at every moment, and what they cost."""

from __future__ import annotations

import json
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.audit import Record
from flows.config.limits import Limits
from flows.config.model import Config
from flows.metrics.cells import window_text
from flows.metrics.orders import Orders
from tests.engine import Engine, polls
from tests.laws.check_family import Event, delayed, encoded, streams

CONFIG = Config.model_validate(Orders.EXAMPLES[1])
START = 1_772_442_000_000  # 2026-03-02T09:00:00Z
HOUR = 3_600_000


@settings(max_examples=30)
@given(streams(CONFIG), st.randoms(use_true_random=False))
def test_at_every_tick_completed_orders_are_first_and_repeat_ones(stream: list[Event], random: Random) -> None:
    engine = Engine(CONFIG)
    periods = [*map(window_text, CONFIG.windows), "total"]
    groups = ["", "{platform=ios}", "{platform=other}", "{platform=unknown}"]
    for number, raw in enumerate(polls(encoded(delayed(stream, random)), [random.randint(1, 8) for _ in range(40)], 1)):
        engine.read(raw)
        if number % 3 == 2:
            engine.restart()
        cells = engine.tick().cells
        for name in (f"{period}{group}" for period in periods for group in groups if cells):
            completed = cells[f"orders.completed.{name}"]
            assert completed == cells[f"orders.first.{name}"] + cells[f"orders.repeat.{name}"]
            assert 0 <= cells[f"orders.buyers.{name}"] <= completed
        if cells:
            assert 0 <= cells["orders.customers_active"] <= cells["orders.customers"]
            assert cells["orders.customers"] == cells["orders.first.total"] == cells["orders.buyers.total"]
            assert min(value for name, value in cells.items() if name.startswith("orders.")) >= 0


def orders(count: int, users: int, apart_ms: int) -> list[Record]:
    """Of users in turn, each order with an id of its own."""
    return [
        Record(
            json.dumps(
                {
                    "type": "track",
                    "event": "Order Completed",
                    "userId": f"user {number % users}",
                    "timestamp": START + number * apart_ms,
                    "properties": {"order_id": f"order {number}", "revenue": 1},
                }
            ).encode(),
            0,
            number,
        )
        for number in range(count)
    ]


def test_a_late_order_is_not_lost_while_a_partition_has_not_been_heard_of() -> None:
    """Catching up: it is in order for its user, and T stands nowhere yet when the job ticks."""
    config = Config.model_validate({"orders": {}, "windows": ["1h"], "ratio_windows": [], "shards": 2})
    late, later, other = orders(3, 3, -HOUR)
    passed = {"type": "identify", "userId": "z", "timestamp": START + HOUR}
    read = [
        Record(json.dumps(passed).encode(), 0, 0),
        Record(late.value, 0, 1),
        Record(later.value, 0, 2),
        Record(other.value, 1, 0),
    ]
    engine = Engine(config)
    for raw in polls(read, [3, 1], 2):
        engine.read(raw)
        engine.tick()
    assert engine.tick(START + 2 * HOUR).cells["orders.completed.total"] == 3


def test_ids_are_forgotten_when_no_copy_can_follow() -> None:
    config = Config.model_validate({"orders": {"dedup": "1h"}, "windows": ["1h"], "ratio_windows": [], "shards": 1})
    engine = Engine(config)
    for raw in polls(orders(20_000, 10, 60_000), [500] * 40, 1):
        engine.read(raw)
        engine.tick()
    (shard,) = engine._shards
    family = shard._families["orders"]
    assert isinstance(family, Orders)
    assert engine.tick(final=True).cells["orders.completed.total"] == 19_999  # the last one waits
    assert len(family.counted.ids.keys) <= 4096  # of 20,000 orders; 500 come at a time


def test_customers_who_are_evicted_are_active_no_more_and_stay_in_the_books() -> None:
    config = Config.model_validate({"orders": {}, "windows": ["1h"], "ratio_windows": [], "shards": 1})
    engine = Engine(config, Limits(users_per_shard=100))
    for raw in polls(orders(300, 300, HOUR), [20] * 15, 1):
        engine.read(raw)
        engine.tick()
    cells = engine.tick(final=True).cells
    assert cells["orders.customers"] == cells["orders.completed.total"] == 299  # the last one waits
    assert 90 <= cells["orders.customers_active"] <= 120
