"""Several sources, whatever the interleaving: every shard cuts their streams at the same points."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.audit import recompute
from flows.cluster.alignment import Alignment
from flows.config.model import Config
from flows.messages.tick import Tick
from tests.comparison import assert_equal
from tests.laws.test_laws import CONFIGS, DAY, HOUR, START, encoded, events
from tests.several import Several
from tests.thorough import examples


def tick(number: int, at: int | None = 0, *, final: bool = False, as_of: int | None = None) -> Tick:
    return Tick(number, at, as_of, final)


def fed(alignment: Alignment[str], *arrivals: tuple[int, str | Tick]) -> list[str | int]:
    """What is taken, ticks by their numbers."""
    taken = [item for source, item in arrivals for item in alignment.put(source, item)]
    return [item.number if isinstance(item, Tick) else item for item in taken]


# source 0   a  b  [1]  c  d     [2]  e
# source 1   f     [1]  g  [2]   h


def test_polls_wait_for_the_tick_of_every_source_and_are_then_taken_source_by_source() -> None:
    alignment = Alignment[str](2)
    assert fed(alignment, (0, "a"), (1, "f"), (1, tick(1)), (1, "g"), (0, "b"), (1, tick(2)), (1, "h")) == []
    assert fed(alignment, (0, tick(1))) == ["a", "b", "f", 1]
    assert fed(alignment, (0, "c"), (0, "d"), (0, tick(2)), (0, "e")) == ["c", "d", "g", 2]
    assert alignment.drain() == ["e", "h"]


def test_a_source_that_was_stopped_answers_with_the_number_of_the_others_and_all_are_cut_there() -> None:
    alignment = Alignment[str](2)
    assert fed(alignment, (0, tick(1)), (0, "a"), (0, tick(2)), (0, "b"), (0, tick(3)), (0, "c")) == []
    assert fed(alignment, (1, "f"), (1, tick(3))) == ["a", "b", "f", 3]
    assert alignment.drain() == ["c"]


def test_the_last_tick_not_beyond_a_cut_is_only_known_with_a_later_one() -> None:
    alignment = Alignment[str](2)
    assert fed(alignment, (0, tick(5)), (1, tick(1)), (1, "f"), (1, tick(3)), (1, "g")) == []
    assert fed(alignment, (1, tick(8))) == ["f", 5]


def test_a_source_that_has_ended_is_not_waited_for() -> None:
    alignment = Alignment[str](2)
    assert fed(alignment, (0, "a"), (0, tick(1, final=True)), (1, tick(1))) == ["a", 1]
    assert fed(alignment, (1, "f"), (1, tick(2))) == ["f", 2]
    assert fed(alignment, (1, "g"), (1, tick(3, final=True))) == ["g", 3]


def test_only_the_last_cut_is_final_and_advances_the_clock_to_the_end_that_was_asked_for() -> None:
    alignment = Alignment[str](2)
    first = alignment.put(0, tick(1, None, final=True, as_of=99)) + alignment.put(1, tick(1, None))
    last = alignment.put(1, tick(2, None, final=True, as_of=99))
    assert first == [Tick(1, None, None, final=False)]
    assert last == [Tick(2, None, 99, final=True)]


def test_a_cut_has_the_time_of_the_first_source_unless_one_hands_on_none() -> None:
    alignment = Alignment[str](2)
    cuts = [
        alignment.put(source, one)
        for number, (mine, other) in enumerate([(1_000, 77_000), (1_500, None), (2_000, 78_000)], 1)
        for source, one in ((0, tick(number, mine)), (1, tick(number, other)))
    ]
    assert [cut.monotonic_ms for taken in cuts for cut in taken if isinstance(cut, Tick)] == [1_000, None, 2_000]


def test_what_the_end_of_an_epoch_has_handed_out_is_not_handed_out_again() -> None:
    alignment = Alignment[str](2)
    assert fed(alignment, (0, "a"), (0, tick(1)), (0, "b"), (1, "f")) == []
    assert alignment.drain() == ["a", "b", "f"]
    assert fed(alignment, (1, "g"), (1, tick(1))) == ["g", 1]


@given(st.integers(1, 4), st.integers(2, 4), st.integers(0, 2**32))
@examples(60)
def test_every_shard_takes_the_same_in_the_same_order(sources: int, shards: int, seed: int) -> None:
    random = Random(seed)
    alignments = [Alignment[str](sources) for _ in range(shards)]
    taken: list[list[str | Tick]] = [[] for _ in range(shards)]
    sent: list[str] = []
    numbers = [0] * sources
    for epoch in range(4):
        streams: list[list[str | Tick]] = [[] for _ in range(sources)]
        for step in range(random.randrange(40)):
            source = random.randrange(sources)
            if numbers[source] < 0:
                continue
            if random.random() < 0.5:
                sent.append(f"{epoch}.{step}")
                streams[source].append(sent[-1])
                continue
            final = epoch == 3 and random.random() < 0.3
            numbers[source] = max(numbers[source] + 1, random.choice(numbers))
            streams[source].append(tick(numbers[source], random.choice([None, step]), final=final))
            numbers[source] = -1 if final else numbers[source]
        for alignment, mine in zip(alignments, taken, strict=True):
            channels = [deque(stream) for stream in streams]
            while any(channels):
                source = random.choice([number for number, channel in enumerate(channels) if channel])
                mine += alignment.put(source, channels[source].popleft())
            mine += alignment.drain()
    assert all(mine == taken[0] for mine in taken)
    assert sorted(item for item in taken[0] if isinstance(item, str)) == sorted(sent)
    cuts = [item.number for item in taken[0] if isinstance(item, Tick)]
    assert cuts == sorted(set(cuts))


@given(
    events(),
    st.sampled_from(CONFIGS),
    st.integers(1, 6),
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.lists(st.integers(1, 8), max_size=20),
    st.sampled_from([None, HOUR, 40 * DAY]),
    st.integers(0, 2**32),
)
@settings(max_examples=40)
def test_every_number_equals_the_reference_for_any_number_of_processes_interleaving_and_rescaling(
    stream: list[dict[str, object]],
    config: Config,
    partitions: int,
    sizes: list[int],
    lengths: list[int],
    later: int | None,
    seed: int,
) -> None:
    records = encoded(stream, partitions)
    expected = recompute(records, config)
    as_of = None if later is None or expected.as_of_ms is None else expected.as_of_ms + later
    expected = recompute(records, config, as_of)
    random = Random(seed)
    several = Several(records, config, sizes[0], lengths, random)
    for processes in sizes[1:]:
        several.work(random.randrange(60))
        several.rescale(processes)
    snapshot = several.finish(as_of)
    assert_equal(expected, snapshot, several.minutes)
    for one in several.snapshots:
        for account in one.accounting.values():
            assert account["accepted"] == account["on_time"] + account["late"]


def test_a_partition_that_lags_within_a_cut_lags_from_its_beginning() -> None:
    def notice(poll: str) -> tuple[int, str] | None:
        return (int(poll[1]), f"{poll[1]} lags") if poll.endswith("...") else None

    alignment = Alignment[str](2, notice)
    assert fed(alignment, (0, "a0"), (0, tick(1)), (1, "b1..."), (1, "c1"), (1, tick(1))) == [
        "1 lags",
        "a0",
        "b1...",
        "c1",
        1,
    ]
    fed(alignment, (0, "d0"), (1, "e1..."))
    assert alignment.drain() == ["1 lags", "d0", "e1..."]


@pytest.mark.parametrize("sizes", [(1,), (2, 3), (3, 1)])
def test_what_travels_beside_events_arrives_in_every_process(sizes: tuple[int, ...]) -> None:
    """Values that a funnel holds, values that a list counts, and facts."""
    config = Config.model_validate(
        {
            "shards": 4,
            "funnels": {"held": {"window": "1h", "hold": "properties.item", "steps": ["Viewed", "Added"]}},
            "top": {"items": {"field": "properties.item", "count": "users", "k": 3}},
            "orders": {"currency": "EUR"},
        }
    )
    random = Random(len(sizes))
    stream: list[dict[str, object]] = [
        {
            "messageId": f"m{number}",
            "type": "track",
            "event": random.choice(["Viewed", "Added", "Order Completed"]),
            "userId": random.choice("abcdefgh"),
            "timestamp": START + number * random.randint(5_000, 20_000),
            "properties": {"item": random.choice(["x", "y", 3, None]), "order_id": f"o{number}", "total": 5},
        }
        for number in range(400)
    ]
    records = encoded(stream, 3)
    expected = recompute(records, config)
    several = Several(records, config, sizes[0], [5, 9], random)
    for processes in sizes[1:]:
        several.work(40)
        several.rescale(processes)
    snapshot = several.finish()
    assert_equal(expected, snapshot, several.minutes)
    assert snapshot.top == expected.top
    assert min(snapshot.cells[cell] for cell in ("funnel.held.converted.24h", "orders.completed.24h")) > 0
    assert len(snapshot.top["items"]["24h"]) == 3
