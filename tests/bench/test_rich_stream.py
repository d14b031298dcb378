from __future__ import annotations

import json
from collections import Counter

import pytest

from deploy.bench import everything, rich_stream, stream
from deploy.bench.rich_stream import RichStream
from deploy.bench.stream import CHUNK, Stream
from flows.audit import Record, recompute
from flows.config.model import Config
from flows.facts.fact import Fact
from flows.metrics.catalogue import facts, families
from flows.metrics.minutes import MinuteBook

EVENTS = 30_000
LISTS = [f"top.{name}" for name in everything.every_option().top]


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return RichStream(users=2_000, seed=5, rate=100.0).records(EVENTS)


def names_of(records: list[Record]) -> Counter[str]:
    found: Counter[str] = Counter()
    for record in records:
        try:
            event = json.loads(record.value or b"")
        except ValueError:
            continue
        if isinstance(event, dict):
            found[str(event.get("event", event.get("type")))] += 1
    return found


def test_a_stream_is_the_same_again_and_its_prefixes_are_smaller_streams(records: list[Record]) -> None:
    assert RichStream(users=2_000, seed=5, rate=100.0).records(CHUNK + 7) == records[: CHUNK + 7]
    assert RichStream(users=2_000, seed=6, rate=100.0).records(100) != records[:100]
    assert Stream(users=2_000, seed=5, rate=100.0).records(100) != records[:100]


def test_the_shares_of_all_kinds_are_the_whole_and_facts_are_two_per_cent(records: list[Record]) -> None:
    assert sum(kind.share for kind in rich_stream.KINDS) == pytest.approx(1)
    assert sum(kind.share for kind in rich_stream.FACTS) == pytest.approx(0.02)
    carriers = {name for fact in facts(everything.every_option()) for name in fact.events}
    names = names_of(records)
    assert 0.017 < sum(names[name] for name in carriers) / EVENTS < 0.023


@pytest.mark.parametrize("fact", facts(everything.every_option()), ids=lambda fact: fact.name)
def test_every_fact_is_there_and_can_be_read(records: list[Record], fact: Fact) -> None:
    read = 0
    for record in records:
        value = record.value or b""
        name = next((name for name in fact.events if b'"event":"%b"' % name.encode() in value), None)
        if name is None or not value.startswith(b'{"messageId"') or not value.endswith(b"}}"):
            continue
        assert isinstance(fact.read(value, record.timestamp_ms, fact.events[name]), dict), value
        read += 1
    assert read > 0


def test_every_family_counts_something() -> None:
    config = everything.every_option()
    events = 6_000
    result = recompute(RichStream(60, 3, 20.0, day_events=events // 12 + 1).records(events), config)
    counted = {name for name, value in result.cells.items() if value}
    members = families(config, MinuteBook(config))
    cells = {name: {cell.name for block in one.blocks() for cell in block.cells()} for name, one in members.items()}
    assert [name for name, one in cells.items() if not one & counted and name not in ("minutes", *LISTS)] == []
    assert result.minutes
    assert {name for name, windows in result.top.items() if any(windows.values())} == set(config.top)


def test_days_pass_and_before_most_of_them_a_pause_in_which_users_churn() -> None:
    of_days = RichStream(users=100, rate=100.0, day_events=500)
    days = [record.timestamp_ms // rich_stream.DAY_MS for record in of_days.records(3_000)]
    passed = sorted(set(days))
    assert [day - passed[0] for day in passed] == [0, 1, 37, 38, 39, 40]


def test_an_event_takes_about_350_bytes(records: list[Record]) -> None:
    assert 330 <= sum(len(record.value or b"") for record in records) / EVENTS <= 370


@pytest.mark.parametrize("config", [everything.smallest(), stream.config(), everything.every_option()])
def test_no_config_rejects_more_than_what_is_broken(config: Config) -> None:
    """Rejecting costs much, and would be taken for the cost of a family."""
    rejected: Counter[str] = Counter()
    for account in recompute(RichStream(60, 3, 20.0).records(3_000), config).accounting.values():
        rejected.update({name: count for name, count in account.items() if name.startswith("rejected.")})
    assert rejected.total() / 3_000 < 2 * stream.BROKEN
