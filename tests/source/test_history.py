"""History that is handed on ahead of a topic: every record once, in order, and a state that says: nothing was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flows.messages.tick import Tick
from flows.source.history import FIRST_OFFSET, HistorySource, Slice
from tests.source.driving import Rounds

TOPIC = "events"


def slices() -> Iterator[Mapping[int, Slice]]:
    yield {0: Slice([b"a", None], [1, 2]), 2: Slice([b"b"], [2])}
    yield {2: Slice([b"c"], [3])}
    yield {0: Slice([b"d"], [4])}


def test_every_record_comes_once_in_order_with_an_offset_of_its_own() -> None:
    rounds = Rounds(HistorySource(TOPIC, 3, slices(), as_of_ms=9)).to_end()
    assert [rounds.values(number) for number in range(3)] == [[b"a", b"", b"d"], [], [b"b", b"c"]]
    assert rounds.offsets(0) == [FIRST_OFFSET, FIRST_OFFSET + 1, FIRST_OFFSET + 2]
    assert rounds.offsets(2) == [FIRST_OFFSET, FIRST_OFFSET + 1]
    assert [stamp for raw in rounds.raws if raw.partition == 0 for stamp in raw.timestamps_ms.tolist()] == [1, 2, 4]
    assert {(raw.topic, raw.partitions, raw.monotonic_ms) for raw in rounds.raws} == {(TOPIC, 3, None)}


def test_every_partition_lags_until_all_is_handed_on_and_time_moves_behind_all() -> None:
    rounds = Rounds(HistorySource(TOPIC, 3, slices(), as_of_ms=9)).to_end()
    caught_up = {raw.partition: raw.caught_up for raw in rounds.raws}
    assert caught_up == {0: True, 1: True, 2: True}
    assert not any(raw.caught_up for raw in rounds.raws if raw.count)
    assert rounds.items[-1] == Tick(1, None, 9, final=True)
    assert len(rounds.ticks) == 1


def test_a_history_without_records_ends_at_once() -> None:
    rounds = Rounds(HistorySource(TOPIC, 2, iter([]), as_of_ms=5)).to_end()
    assert rounds.records() == 0
    assert rounds.items[-1] == Tick(1, None, 5, final=True)


def test_what_is_left_of_it_is_a_topic_of_which_nothing_was_read() -> None:
    rounds = Rounds(HistorySource(TOPIC, 2, slices()))
    rounds.play()
    assert set(rounds.states().values()) == {(2, TOPIC, None, None, None)}
