"""Facts under the values of scopes: each has what its event was stamped with, however much has happened since."""

from __future__ import annotations

import json
from typing import Any

from flows.audit import Record, recompute
from flows.config.limits import Limits
from flows.config.model import Config
from tests.engine import Engine, polls

START = 1_774_742_400_000  # 2026-03-29T00:00Z
MINUTE = 60_000
CONFIG: dict[str, Any] = {
    "shards": 1,
    "lateness": "0s",
    "windows": ["1h", "24h"],
    "ratio_windows": [],
    "sessions": {"timeout": "30m"},
    "orders": {},
    "breakdowns": {"by": {"field": "properties.by", "values": ["ad", "mail"], "scope": "session", "of": ["orders"]}},
}
Told = tuple[str, int, str, str]  # user, minute, event, what brought it


def records(*told: Told) -> list[Record]:
    found = []
    for offset, (user, minute, name, by) in enumerate(told):
        properties = {"by": by, "order_id": f"o{offset}", "revenue": 1, "currency": "USD"}
        event = {
            "type": "track",
            "event": name,
            "userId": user,
            "timestamp": START + minute * MINUTE,
            "properties": properties,
        }
        found.append(Record(json.dumps(event).encode(), 0, offset))
    return found


def completed(cells: Any) -> dict[str, int]:
    """Orders of a day by what brought them."""
    stem = "orders.completed.24h{by="
    return {name[len(stem) : -1]: count for name, count in cells.items() if name.startswith(stem) and count}


ORDER = "Order Completed"
STORY = records(
    *(("ana", 0, "Viewed", "ad"), ("ana", 5, ORDER, "mail"), ("ana", 60, "Viewed", "mail"), ("ana", 61, ORDER, "ad")),
    *(("ben", 62, ORDER, "mail"), ("ben", 62, ORDER, "ad"), ("ana", 200, "Viewed", "mail")),
)


def test_a_fact_counts_under_what_its_event_was_stamped_with() -> None:
    # All is read between two ticks: when facts are used, Ana is in her third session.
    engine = Engine(Config.model_validate(CONFIG))
    for raw in polls(STORY, [len(STORY)], 1):
        engine.read(raw)
    cells = engine.tick(START + 240 * MINUTE).cells
    assert completed(cells) == {"ad": 1, "mail": 3}  # Ben's second order is of a session that the first one began
    assert completed(recompute(STORY, Config.model_validate(CONFIG), START + 240 * MINUTE).cells) == completed(cells)


def test_what_is_noted_survives_a_checkpoint_and_is_forgotten_once_it_is_used() -> None:
    engine = Engine(Config.model_validate(CONFIG))
    for raw in polls(STORY, [1] * len(STORY), 1):
        engine.read(raw)
        engine.restart()
        engine.tick()
        engine.restart()
    assert completed(engine.tick(START + 240 * MINUTE).cells) == {"ad": 1, "mail": 3}


def test_orders_of_evicted_users_do_not_take_the_place_of_others() -> None:
    crowd = records(*((f"u{number}", number, ORDER, "ad") for number in range(40)), ("u39", 41, ORDER, "mail"))
    engine = Engine(Config.model_validate(CONFIG), Limits(users_per_shard=10))
    for raw in polls(crowd, [20, 21], 1):
        engine.read(raw)
        engine.tick()
    assert completed(engine.tick(START + 60 * MINUTE).cells) == {"ad": 41}


def test_a_late_order_counts_when_its_event_does_under_the_value_of_its_session() -> None:
    late = records(("ana", 0, "Viewed", "ad"), ("ben", 50, "Viewed", "mail"), ("ana", 10, ORDER, "mail"))
    config = Config.model_validate(CONFIG)
    engine = Engine(config)
    for raw in polls(late, [1] * 3, 1):
        engine.read(raw)
        cells = engine.tick().cells
    as_of = START + 51 * MINUTE
    cells = engine.tick(as_of).cells
    assert completed(cells) == {"ad": 1} == completed(recompute(late, config, as_of).cells)
