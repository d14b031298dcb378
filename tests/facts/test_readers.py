"""Both readers of every kind of field, and what else follows from a declaration."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.config.limits import Limits
from flows.decode.hashing import id_hash
from flows.decode.intake import Intake
from flows.facts.fact import Fact
from flows.facts.field import Plain
from flows.messages.columns import Columns
from flows.messages.raw import Raw, Rejected
from schemas.event import Problem
from tests.facts.declared import CONFIG, FACTS, ORDER, STATE, TICKET, properties_of
from tests.thorough import examples

NOON = 1_772_442_000_000  # 2026-03-02T09:00:00Z
NAMES = {fact.name: fact for fact in FACTS}


def event(name: str, properties: object) -> bytes:
    return json.dumps(
        {"type": "track", "event": name, "userId": "ana", "timestamp": NOON, "properties": properties}
    ).encode()


def intake(*facts: Fact) -> Intake:
    return Intake(CONFIG, Limits(), facts=facts)


def read(reader: Intake, *values: bytes) -> tuple[Columns, list[Rejected]]:
    return reader.read(Raw.of("events", 0, 1, list(values), range(len(values)), [NOON] * len(values), True, None))


def as_rows(fact: Fact, told: dict[str, Plain], user: str = "ana") -> dict[str, int]:
    """What the slow reader says as a row has it."""
    numbers = {name: id_hash(plain) if isinstance(plain, str) else plain for name, plain in told.items()}
    key = numbers.get("key") or id_hash(user)
    ids = {name for name in fact.dtype.names or () if fact.dtype[name] == np.uint64} - {"key"}
    salt = key * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    return {
        name: key if name == "key" else 0 if number is None else number ^ salt if name in ids and number else number
        for name, number in numbers.items()
    }


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
@examples(150)
@given(data=st.data())
def test_the_loop_gives_what_the_slow_reader_says(fact: Fact, data: st.DataObject) -> None:
    names = st.sampled_from(sorted(fact.events))
    drawn = data.draw(st.lists(st.tuples(names, properties_of(fact)), min_size=1, max_size=5))
    values = [event(name, properties) for name, properties in drawn]
    told = [fact.read(value, NOON, fact.events[name]) for value, (name, _) in zip(values, drawn, strict=True)]
    expected = [as_rows(fact, one) for one in told if not isinstance(one, Problem)]
    reader = intake(fact)
    for _ in range(2):  # with what the first time has taught
        columns, rejected = read(reader, *values)
        facts = columns.facts.get(fact.name, np.zeros(0, fact.dtype))
        assert [{name: int(row[name]) for name in expected[0]} for row in facts] == expected
        assert [(one.reason, one.message) for one in rejected] == [
            (one.reason, one.message) for one in told if isinstance(one, Problem)
        ]
        assert len(columns.rows) == len(expected)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_the_example_is_taken_and_from_the_second_time_on_by_the_loop_alone(
    fact: Fact, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = intake(fact)
    values = [event(name, fact.example()) for name in fact.events]
    first, rejected = read(reader, *values)
    assert rejected == []
    monkeypatch.setattr(Fact, "read", lambda *_: pytest.fail("the slow reader was asked"))
    again, _ = read(reader, *values)
    assert again.facts[fact.name].tolist() == first.facts[fact.name].tolist()
    assert len(again.facts[fact.name]) == len(fact.events)


REFUSED = [(fact, properties, reason) for fact in FACTS for properties, reason in fact.refused()]


@pytest.mark.parametrize(("fact", "properties", "reason"), REFUSED)
def test_what_a_field_refuses_is_refused_for_its_reason(fact: Fact, properties: dict[str, Any], reason: str) -> None:
    name = next(iter(fact.events))
    columns, rejected = read(intake(fact), event(name, properties))
    assert [one.reason for one in rejected] == [reason]
    assert (len(columns.rows), columns.facts) == (0, {})


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_the_schema_takes_the_example_and_refuses_other_types(fact: Fact) -> None:
    schema = jsonschema.Draft202012Validator(fact.schema())
    schema.validate(fact.example())
    wrong = [properties for properties, reason in fact.refused() if reason == "bad_type"]
    taken = [properties for properties in wrong if schema.is_valid(properties)]
    # An id may be a number in the schema, as a user's may; 7.0 is an integer there.
    assert all(_number_in(properties, fact.example()) for properties in taken)


def _number_in(properties: dict[str, Any], example: dict[str, Any]) -> bool:
    return any(
        isinstance(value, int | float) for name, value in properties.items() if value != example.get(name, object())
    )


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_every_property_has_a_line_in_the_docs(fact: Fact) -> None:
    names = " ".join(line.names for line in fact.lines())
    assert [name for name in fact.schema()["required"] if f"`{name}`" not in names] == []
    assert all(line.rule for line in fact.lines())


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_a_row_is_made_of_words_which_is_all_that_the_loop_knows_of_it(fact: Fact) -> None:
    assert {fact.dtype[name].str for name in fact.dtype.names or ()} == {"<i8", "<u8"}


def test_an_event_may_carry_two_facts_and_has_both_or_none() -> None:
    both = ORDER.example() | TICKET.example()
    reader = intake(*FACTS)
    values = [
        event("Order Refunded", both),
        event("Order Refunded", both | {"order_id": 7}),
        event("Order Refunded", both | {"severity": "huge"}),
        event("Order Refunded", both | {"order_id": 7, "severity": "huge"}),
        event("Subscription Changed", STATE.example()),
        event("Ticket Created", TICKET.example()),
    ]
    for _ in range(2):
        columns, rejected = read(reader, *values)
        assert {name: facts["offset"].tolist() for name, facts in columns.facts.items()} == {
            "order": [0],
            "ticket": [0, 5],
            "subscription": [4],
        }
        assert [(one.offset, one.message.split(":")[0]) for one in rejected] == [
            (1, "$.properties.order_id"),
            (2, "$.properties.severity"),
            (3, "$.properties.order_id"),
        ]
        assert columns.rows["offset"].tolist() == [0, 4, 5]


def test_money_and_scores_are_exact_to_their_smallest_unit() -> None:
    amounts = ["0.005", "0.015", 0.025, "1.5", 19.99, "12", 1e2, "007.10"]
    reader = intake(ORDER, TICKET)
    for _ in range(2):
        columns, _ = read(reader, *(event("Order Completed", {"order_id": "o", "revenue": one}) for one in amounts))
        assert columns.facts["order"]["amount"].tolist() == [0, 2, 2, 150, 1999, 1200, 10_000, 710]
        columns, _ = read(
            reader, *(event("Ticket Created", {"ticket_id": "t", "sentiment": s}) for s in (-0.25, 1, 0.0005, 0.0015))
        )
        assert columns.facts["ticket"]["sentiment"].tolist() == [-250, 1000, 0, 2]
