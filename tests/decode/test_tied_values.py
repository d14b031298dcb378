"""Fields that funnels hold: of the steps there, the hash of what the field comes to."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from flows.config.limits import Limits
from flows.config.model import Config, slug
from flows.decode.hashing import id_hash
from flows.decode.intake import Intake
from flows.messages.columns import TIED_VALUES, Columns
from flows.messages.raw import Raw
from flows.route.deal import deliveries

NINE = 1_774_861_200_000
CONFIG = Config.model_validate(
    {
        "funnels": {
            "item": {"window": "1h", "hold": "properties.id", "steps": ["Viewed", "Bought"]},
            "shop": {"window": "1h", "hold": 'context."Shop Id"', "steps": ["Bought", "page_viewed"]},
        },
        "exclude": {"events": [{"event": "Viewed", "where": {"properties.id": "left out"}}]},
    }
)


def record(event: str = "Viewed", **fields: Any) -> bytes:
    return json.dumps({"type": "track", "event": event, "userId": "ana", "timestamp": NINE} | fields).encode()


def poll_of(*values: bytes) -> Raw:
    count = len(values)
    return Raw.of("events", 3, 8, list(values), [100 + 2 * index for index in range(count)], [NINE] * count, True, 17)


def read(*values: bytes, intake: Intake | None = None) -> Columns:
    intake = intake or Intake(CONFIG, Limits(), clock_ms=lambda: NINE)
    columns, _ = intake.read(poll_of(*values))
    return columns


def tied(columns: Columns) -> list[tuple[int, int, int]]:
    """Offset, field and value."""
    rows = columns.facts.get(TIED_VALUES, np.zeros(0, [("offset", "i8"), ("field", "i8"), ("value", "u8")]))
    return [(int(row["offset"]), int(row["field"]), int(row["value"])) for row in rows]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Red Shoe", "red_shoe"),
        ("__Red--SHOE\x7f!", "_red_shoe_"),
        ("-", "_"),
        (7, "7"),
        ("7", "7"),
        (-1.50, "_1_5"),
        (1e25, "1e_25"),
        (True, "true"),
        ("Größe", "grösse"),
        ("a\\b\n", "a_b_"),
        ("\ufb01n", "fin"),
        ("x" * 509, "x" * 509),
        ("Y" * 510, "y" * 510),
        ("Y" * 511, "y" * 511),
    ],
)
def test_a_value_is_the_hash_of_its_slug_whoever_reads_it(value: Any, text: str) -> None:
    """The loop alone, the loop by what it has learnt, and the slow reader."""
    assert slug(json.dumps(value) if not isinstance(value, str) else value) == text
    intake = Intake(CONFIG, Limits(), clock_ms=lambda: NINE)
    plain = record(properties={"id": value})
    utf_8 = json.dumps(json.loads(plain), ensure_ascii=False).encode()
    slow = plain.replace(b'"event"', b'"\\u0065vent"')  # the scanner leaves it to the slow reader
    for _ in range(2):
        columns = read(plain, utf_8, slow, plain, intake=intake)
        assert tied(columns) == [(offset, 1, id_hash(text)) for offset in (100, 102, 104, 106)]


@pytest.mark.parametrize("value", [None, "", [], ["a"], {}, {"a": 1}])
def test_nothing_and_what_is_no_single_value_is_no_value(value: Any) -> None:
    plain = record(properties={"id": value})
    assert tied(read(plain, plain.replace(b'"event"', b'"\\u0065vent"'), record())) == []


def test_only_steps_of_a_funnel_have_a_value_in_the_field_that_it_holds() -> None:
    fields: dict[str, Any] = {"properties": {"id": 1}, "context": {"Shop Id": "S"}}
    columns = read(
        record("Viewed", **fields),
        record("Bought", **fields),
        record("Left", **fields),
        record("x", type="page", **fields),
    )
    shop, item = list(CONFIG.held_fields()).index('context."Shop Id"'), 1
    assert (shop, item) == (0, 1)
    assert tied(columns) == [
        (100, item, id_hash("1")),
        (102, shop, id_hash("s")),
        (102, item, id_hash("1")),
        (106, shop, id_hash("s")),
    ]


def test_what_is_rejected_or_excluded_has_no_value() -> None:
    columns = read(
        record(properties={"id": 1}, userId=None),
        record(properties={"id": "left out"}),
        record(properties={"id": "\ud800"}),
        record(properties={"id": 2}),
    )
    assert tied(columns) == [(106, 1, id_hash("2"))]
    assert len(columns.rows) == 1


def test_a_value_goes_where_its_event_goes() -> None:
    values = [record(userId=f"u{number}", properties={"id": number}) for number in range(50)]
    for delivery in deliveries(read(*values), 7):
        shown = delivery.facts.get(TIED_VALUES)
        assert shown is None if not len(delivery.rows) else shown is not None
        if shown is not None:
            assert shown["offset"].tolist() == delivery.rows["offset"].tolist()


def test_without_a_funnel_that_holds_a_field_nothing_travels() -> None:
    intake = Intake(Config.model_validate({"events": ["Viewed"]}), Limits(), clock_ms=lambda: NINE)
    assert read(record(properties={"id": 1}), intake=intake).facts == {}
