from __future__ import annotations

import hashlib
import json
import statistics
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.bench import stream
from deploy.bench.stream import CHUNK, Stream
from flows.audit import recompute

EVENTS = 30_000


@pytest.fixture(scope="module")
def bench_stream() -> Stream:
    return Stream(users=2_000, seed=5, rate=100.0)


def readable(bench_stream: Stream) -> Iterator[Any]:
    for record in bench_stream.records(EVENTS):
        try:
            event = json.loads(record.value or b"")
        except ValueError:
            continue
        if isinstance(event, dict) and "userId" in event:
            yield event


def test_a_stream_is_the_same_again_and_its_prefixes_are_smaller_streams(bench_stream: Stream) -> None:
    whole = bench_stream.records(EVENTS)
    assert Stream(users=2_000, seed=5, rate=100.0).records(CHUNK + 7) == whole[: CHUNK + 7]
    rest = [value for chunk in bench_stream.chunks(CHUNK + 7, EVENTS) for value in chunk.values]
    assert rest == [record.value for record in whole[CHUNK + 7 :]]
    assert Stream(users=2_000, seed=6, rate=100.0).records(100) != whole[:100]


def test_the_stream_is_that_of_earlier_benches() -> None:
    """Else their numbers could not be compared."""
    digest = hashlib.sha256(b"\n".join(record.value or b"" for record in Stream(500, 1, 100.0).records(25_000)))
    assert digest.hexdigest() == "720f952844700a2c8ca8bcaba0fc9805ef370609f5905a8e1228a3f125f371bb"


def test_a_user_keeps_to_one_partition_and_each_is_introduced_once(bench_stream: Stream) -> None:
    users: list[int] = []
    partitions: dict[int, set[int]] = {}
    for chunk in bench_stream.chunks(0, EVENTS):
        users += chunk.users
        for user, partition in zip(chunk.users, chunk.partitions, strict=True):
            partitions.setdefault(user, set()).add(partition)
    assert len(set(users[:2_000])) >= 1_980  # but for the copies among them
    assert all(len(found) == 1 for found in partitions.values())


def test_the_shares_of_late_repeated_and_broken_records_are_those_promised(bench_stream: Stream) -> None:
    accounting = recompute(bench_stream.records(EVENTS), stream.config()).accounting
    total: Counter[str] = Counter()
    for account in accounting.values():
        total.update(account)
    rejected = sum(count for name, count in total.items() if name.startswith("rejected."))
    assert total["consumed"] == EVENTS
    assert 0.015 < total["late"] / EVENTS < 0.025
    assert 0.003 < total["duplicate"] / EVENTS < 0.007
    assert 0.0005 < rejected / EVENTS < 0.002


def test_a_user_has_one_plan_and_nearly_always_one_platform(bench_stream: Stream) -> None:
    plans: dict[str, set[str]] = {}
    platforms: dict[str, Counter[str]] = {}
    for event in readable(bench_stream):
        plans.setdefault(event["userId"], set()).add(event["properties"]["plan"])
        platforms.setdefault(event["userId"], Counter())[event["context"]["device"]["type"]] += 1
    assert all(len(found) == 1 for found in plans.values())
    elsewhere = sum(found.total() - max(found.values()) for found in platforms.values())
    assert 0.01 < elsewhere / EVENTS < 0.05
    assert len({plan for found in plans.values() for plan in found}) == 4


def test_two_per_cent_carry_the_state_of_a_subscription(bench_stream: Stream) -> None:
    states = [event["properties"] for event in readable(bench_stream) if event.get("event") == "Subscription Changed"]
    assert 0.015 < len(states) / EVENTS < 0.025
    assert {state["status"] for state in states} == {"active", "past_due", "cancelled"}


def test_an_event_takes_about_250_bytes(bench_stream: Stream) -> None:
    sizes = [len(record.value or b"") for record in bench_stream.records(1_000)]
    assert 230 <= statistics.mean(sizes) <= 280
