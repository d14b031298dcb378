"""At every cut of every run the audit finds the published numbers right, and finds each that is not."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.audit import Record
from flows.audit.comparison import verdict
from flows.config.model import Config
from flows.messages.raw import Raw
from tests.audit.held import audited, held, published, verdicts, wrong
from tests.engine import Engine, polls
from tests.laws.test_laws import CONFIGS, PLAIN, START, cuts, encoded, events
from tests.thorough import examples

SECOND, MINUTE = 1_000, 60_000


@given(events(), st.sampled_from(CONFIGS), st.integers(1, 3), st.lists(st.integers(1, 8), max_size=20), cuts, cuts)
@examples(80)
def test_at_every_tick_of_a_run_that_catches_up_all_numbers_are_found_right(
    stream: list[dict[str, object]],
    config: Config,
    partitions: int,
    lengths: list[int],
    ticks: frozenset[int],
    restarts: frozenset[int],
) -> None:
    records = encoded(stream, partitions)
    engine = Engine(config)
    for number, raw in enumerate(polls(records, lengths, partitions)):
        engine.read(raw)
        if number in ticks:
            assert wrong(audited(records, engine.tick(), engine.minutes, config)) == []
        if number in restarts:
            engine.restart()
    assert wrong(audited(records, engine.tick(final=True), engine.minutes, config)) == []


def live(engine: Engine, record: Record, partitions: int, passed_ms: int) -> None:
    """One poll of one record, at the moment when Kafka took it, with every partition read to its end."""
    values, offsets, stamps = [record.value], [record.offset], [record.timestamp_ms]
    engine.read(Raw.of("events", record.partition, partitions, values, offsets, stamps, True, passed_ms))


def stamped(records: list[Record], pauses: Random) -> list[Record]:
    """With the times at which Kafka took them, some while after one another."""
    taken = START + 86_400_000
    stamps = []
    for record in records:
        taken += pauses.choice((0, 1, 250, SECOND, 11 * SECOND, 3 * MINUTE))
        stamps.append(replace(record, timestamp_ms=taken))
    return stamps


@given(events(), st.sampled_from(CONFIGS), st.integers(1, 3), st.randoms(use_true_random=False))
@examples(80)
def test_a_run_that_reads_each_record_as_it_comes_is_found_right(
    stream: list[dict[str, object]], config: Config, partitions: int, pauses: Random
) -> None:
    records = stamped(encoded(stream, partitions), pauses)
    engine = Engine(config)
    for number in range(partitions):
        engine.read(Raw.of("events", number, partitions, [], [], [], True, START))
    for record in records:
        live(engine, record, partitions, record.timestamp_ms)
    last = records[-1].timestamp_ms
    rows = audited(records, engine.tick(monotonic_ms=last + 5 * SECOND), engine.minutes, config)
    assert [found for found in wrong(rows) if found[0] == "differs"] == []
    assert wrong(rows) == [] or partitions > 1  # in which of several partitions a moment began is not told


@given(events(), st.sampled_from(CONFIGS), st.integers(1, 3), st.randoms(use_true_random=False))
@examples(80)
def test_whenever_records_were_read_no_right_number_is_called_wrong(
    stream: list[dict[str, object]], config: Config, partitions: int, chance: Random
) -> None:
    records = stamped(encoded(stream, partitions), chance)
    engine = Engine(config)
    now = records[0].timestamp_ms
    for raw in polls(records, [chance.randint(1, 8) for _ in range(20)], partitions):
        now += chance.choice((0, 20, SECOND, MINUTE))
        engine.read(replace(raw, caught_up=raw.caught_up or chance.random() < 0.5, monotonic_ms=now))
        if chance.random() < 0.2:
            rows = audited(records, engine.tick(monotonic_ms=now), engine.minutes, config)
            assert [found for found in wrong(rows) if found[0] == "differs"] == []


def page(ms: int, user: str, partition: int, offset: int, **more: Any) -> Record:
    """A page seen `ms` after START, which Kafka takes at once unless it `comes` later."""
    came = START + more.pop("comes", ms)
    event = {"type": "page", "userId": user, "messageId": f"{partition}-{offset}", "timestamp": START + ms, **more}
    return Record(json.dumps(event).encode(), partition, offset, came)


def test_an_event_that_another_partition_makes_late_is_late_where_the_accounts_say_so() -> None:
    """
    partition 0   0 s ------------ 60 s
    partition 1                          70 s: comes an event of 5 s, the first of its partition

    Read as it came, T has passed it by an hour of lateness; read while catching up, nothing has.
    """
    records = [page(0, "ana", 0, 0), page(MINUTE, "ana", 0, 1), page(5 * SECOND, "ben", 1, 0, comes=70 * SECOND)]
    found = {}
    for way in ("as it came", "catching up"):
        engine = Engine(PLAIN)
        for number in (0, 1):
            engine.read(Raw.of("events", number, 2, [], [], [], way == "as it came", START))
        for record in records:
            live(engine, record, 2, record.timestamp_ms)
        snapshot = engine.tick(monotonic_ms=START + 80 * SECOND)
        rows = audited(records, snapshot, engine.minutes, PLAIN)
        assert wrong(rows) == []
        found[way] = snapshot.accounting[1]["late"]
    assert found == {"as it came": 1, "catching up": 0}


def test_where_the_accounts_fit_neither_way_numbers_that_depend_on_it_are_undecided_and_no_others() -> None:
    """
    partition 1 gets events of 5 s and 6 s at 70 s, and just one of the two was late: the account says 1. Later ones of
    the same users have passed, so that a late one is out of order.
    """
    records = [
        page(30 * SECOND, "ben", 0, 0),
        page(31 * SECOND, "eve", 0, 1),
        page(MINUTE, "ana", 0, 2),
        page(5 * SECOND, "ben", 1, 0, comes=70 * SECOND),
        page(6 * SECOND, "eve", 1, 1, comes=70 * SECOND),
    ]
    engine = Engine(PLAIN)
    for number in (0, 1):
        engine.read(Raw.of("events", number, 2, [], [], [], number == 0, START))
    live(engine, records[3], 2, START)  # before anything of the other partition
    for record in (*records[:3], records[4]):
        live(engine, record, 2, record.timestamp_ms)
    snapshot = engine.tick(monotonic_ms=START + 7_200_000)
    assert snapshot.accounting[1]["late"] == 1
    rows = audited(records, snapshot, engine.minutes, PLAIN)
    undecided = {row.cell for row in rows if row.verdict == "undecided"}
    assert {
        "accounting.late",
        "accounting.late{partition=1}",
        "sessions.events.24h",
        "sessions.duration_ms.24h",
    } <= undecided
    assert not undecided & {"events.24h", "active_users.24h", "accounting.late{partition=0}", "accounting.consumed"}
    for cell in ("accounting.consumed", "accounting.late{partition=0}", "accounting.rejected.empty{partition=1}"):
        wrongly = {**published(snapshot, engine.minutes).fields, cell: "77"}
        assert verdicts(records, replace(published(snapshot, engine.minutes), fields=wrongly), PLAIN)[cell] == "differs"
    assert [row for row in rows if row.verdict == "differs"] == []
    assert "depend on when records were read" in verdict(rows)


def test_a_cut_names_the_first_record_ever_counted_and_the_first_that_is_not_also_after_a_restart() -> None:
    records = [page(0, "ana", 2, 812), page(SECOND, "ana", 2, 815), page(2 * SECOND, "ben", 0, 7)]
    engine = Engine(PLAIN)
    assert engine.tick().offsets == {}
    for raw in polls(records[:1], [], 3):
        engine.read(raw)
    assert engine.tick().offsets == {2: (812, 813)}
    engine.restart()
    for raw in polls(records[1:], [], 3):
        engine.read(raw)
    assert engine.tick().offsets == {0: (7, 8), 2: (812, 816)}


def test_a_cut_before_the_first_record_holds_nothing_and_one_of_broken_records_no_numbers() -> None:
    engine = Engine(PLAIN)
    records = [Record(b"{", 0, 0, START), page(0, "ana", 0, 1)]
    assert wrong(audited(records, engine.tick(), {}, PLAIN)) == []
    engine.read(next(polls(records[:1], [], 1)))
    rows = audited(records, engine.tick(), {}, PLAIN)
    assert wrong(rows) == []
    assert {row.cell for row in rows if not row.cell.startswith("accounting.")} == {"_consumed"}


def test_records_before_and_behind_the_cut_are_no_part_of_it() -> None:
    records = [page(offset * SECOND, "ana", 0, offset) for offset in range(9)]
    engine = Engine(PLAIN)
    for raw in polls(records[3:6], [], 1):
        engine.read(raw)
    assert wrong(audited(records, engine.tick(final=True), engine.minutes, PLAIN)) == []


@pytest.mark.parametrize(
    "cell", ["events.1h", "users.alive", "bounce_rate_provisional", "accounting.late{partition=0}"]
)
def test_a_number_that_is_wrong_is_named(cell: str) -> None:
    records = [page(0, "ana", 0, 0), page(7 * MINUTE, "ben", 0, 1)]
    engine = Engine(PLAIN)
    for raw in polls(records, [], 1):
        engine.read(raw)
    snapshot = engine.tick(final=True)
    assert wrong(audited(records, snapshot, engine.minutes, PLAIN)) == []
    if cell.startswith("accounting"):
        account = snapshot.accounting[0]
        snapshot = replace(snapshot, accounting={0: {**account, "late": account["late"] + 1}})
        names = ["accounting.late", cell]
    else:
        snapshot = replace(snapshot, cells={**snapshot.cells, cell: snapshot.cells[cell] + 1})
        names = [cell]
    assert [row.cell for row in audited(records, snapshot, engine.minutes, PLAIN) if not row.equal] == names


def test_a_day_that_is_wrong_or_missing_is_named() -> None:
    config = Config.model_validate({"retention": {"days": [1]}})
    records = [page(0, "ana", 0, 0), page(2 * 24 * 60 * MINUTE, "ben", 0, 1)]
    engine = Engine(config)
    for raw in polls(records, [], 1):
        engine.read(raw)
    snapshot = engine.tick(final=True)
    assert wrong(audited(records, snapshot, engine.minutes, config)) == []
    said = published(snapshot, engine.minutes)
    date = "2026-03-29"
    more = {**said.days[date], "retention.d1.cohort": "1", "retention.d1.returned": "1"}  # final since the publish
    assert all(row.equal for row in held(records, replace(said, days={date: more}), config))
    for day, expected in (
        ({**said.days[date], "events": "2"}, {f"day:{date} events": "2"}),
        ({**said.days[date], "orders": "2"}, {f"day:{date} orders": "2"}),
        ({}, {f"day:{date} {name}": None for name in said.days[date]}),
    ):
        rows = held(records, replace(said, days={date: day}), config)
        assert {row.cell: row.published for row in rows if not row.equal} == expected


def test_a_minute_that_is_wrong_or_missing_is_named() -> None:
    records = [page(0, "ana", 0, 0), page(7 * MINUTE, "ben", 0, 1)]
    engine = Engine(PLAIN)
    for raw in polls(records, [], 1):
        engine.read(raw)
    snapshot = engine.tick(final=True)
    minutes = {start: dict(counts) for start, counts in engine.minutes.items()}
    minutes[START]["events"] += 1
    rows = audited(records, snapshot, minutes, PLAIN)
    assert [(row.cell, row.published, row.truth, row.difference) for row in rows if not row.equal] == [
        ("minute:2026-03-29T00:00Z events", "2", 1, 1.0)
    ]
    del minutes[START]
    missing = [row for row in audited(records, snapshot, minutes, PLAIN) if not row.equal]
    assert {row.published for row in missing} == {None}
    assert {row.cell.split()[0] for row in missing} == {"minute:2026-03-29T00:00Z"}
