"""The fates of records one by one are those that the whole stream gives them."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.audit.clock import clock_as_it_came, lateness_limits, which_are_copies, which_are_late
from flows.audit.fates import FATES, Fates
from flows.audit.parse import parse
from flows.audit.records import Event, Exclusion, Record
from flows.config.model import Config
from flows.demo.simulator import Simulator

CONFIG = Config(product="shop", lateness="10s", dedup_horizon="1m")
START_MS = 1_790_000_000_000


def whole(records: list[Record], config: Config) -> list[str]:
    """What the audit's rules, which see all records at once, make of each of them."""
    readings = [parse(record, config) for record in records]
    clocks = clock_as_it_came(records, readings)
    copies = which_are_copies(readings, clocks, config.dedup_horizon)
    late = which_are_late(readings, lateness_limits(readings, clocks, config.lateness))
    return [
        "duplicate"
        if copy
        else "late"
        if behind
        else "accepted"
        if isinstance(reading, Event)
        else "excluded"
        if isinstance(reading, Exclusion)
        else "rejected"
        for reading, copy, behind in zip(readings, copies, late, strict=True)
    ]


@st.composite
def streams(draw: st.DrawFn) -> list[Record]:
    """Few users and messages, times that jump about within minutes, gaps without events."""
    chance = Random(draw(st.integers(0, 2**32)))
    at_ms, records = START_MS, []
    for offset in range(draw(st.integers(1, 120))):
        at_ms += chance.choice([0, 10, 500, 5_000, 40_000])
        event = {
            "type": "page",
            "userId": f"u{chance.randrange(3)}",
            "messageId": f"m{chance.randrange(12)}",
            "timestamp": at_ms - chance.choice([0, 0, 0, 2_000, 9_000, 12_000, 70_000, -2_000]),
        }
        broken = chance.random() < 0.05
        value = b"{" if broken else b"" if chance.random() < 0.03 else json.dumps(event).encode()
        records.append(Record(value, chance.randrange(2), offset, chance.choice([at_ms, at_ms, at_ms, -1])))
    return records


@given(streams())
def test_one_by_one_records_fare_as_in_the_whole_stream(records: list[Record]) -> None:
    fates = Fates(CONFIG)
    assert [fates.of(record).name for record in records] == whole(records, CONFIG)


def test_the_shop_has_all_fates() -> None:
    simulator = Simulator(CONFIG, start_ms=START_MS, rate=200, partitions=2, days=0.0005)
    sent = itertools.islice(simulator.records(), 20_000)
    records = [Record(one.value, one.partition, offset, one.arrival_ms) for offset, one in enumerate(sent)]
    fates = Fates(CONFIG)
    found = [fates.of(record).name for record in records]
    assert found == whole(records, CONFIG)
    assert set(Counter(found)) == set(FATES)


def test_no_more_messages_are_kept_than_can_have_copies() -> None:
    fates = Fates(CONFIG)
    for number in range(1_000):
        at_ms = START_MS + number * 1_000
        event = {"type": "page", "userId": "u", "messageId": f"m{number}", "timestamp": at_ms}
        fates.of(Record(json.dumps(event).encode(), 0, number, at_ms))
    assert len(fates._first) <= 3 * CONFIG.dedup_horizon // 1_000


@pytest.mark.parametrize(
    ("value", "why"), [(b"{", "not_json"), (b"", "tombstone"), (b'{"type":"page"}', "missing_field")]
)
def test_it_says_why(value: bytes, why: str) -> None:
    assert Fates(CONFIG).of(Record(value, 0, 0, START_MS)).why == why
