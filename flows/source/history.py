"""Records of before a topic's first: read ahead of it by one run, so that a later one goes on with the topic.

What the run leaves in its checkpoint is what `KafkaSource` leaves before it has read anything: the names of the
partitions, and that reading begins where each of them begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from flows.messages.raw import Raw
from flows.messages.tick import Tick
from flows.process.outcomes import Outcome
from flows.source.part_state import STATE_VERSION, State, part_name
from flows.source.ticks import Part, Ticker

FIRST_OFFSET: Final = -(10**12)
"""Of the history of each partition: far below those of any topic, which begin at 0."""

Item = Raw | Tick


class Slice(NamedTuple):
    """What one partition holds of a span of time, in its order."""

    values: list[bytes | None]
    timestamps_ms: list[int]  # as Kafka has them


class HistorySource(FixedPartitionedSource[Item, State]):
    """Hands on all `slices` (of one span of time each, by partition), then one tick that moves time on to `as_of_ms`.

    Time moves with the events only.
    """

    def __init__(
        self, topic: str, partitions: int, slices: Iterator[Mapping[int, Slice]], *, as_of_ms: int | None = None
    ) -> None:
        self.outcome: Outcome = "running"
        self._topic = topic
        self._partitions = partitions
        self._slices = slices
        self._as_of_ms = as_of_ms
        self._ticker = Ticker(0, timed=False)
        self._next_offset = [FIRST_OFFSET] * partitions
        self._waiting: dict[int, Slice] = {}
        self._at_end = False
        self._told: set[int] = set()  # partitions of which it is known that they are read to their end
        self._living = set(range(partitions))

    # What Bytewax calls

    def list_parts(self) -> list[str]:
        """As those of the topic."""
        return [part_name(number) for number in range(self._partitions)]

    def build_part(
        self, step_id: str, for_part: str, resume_state: State | None
    ) -> StatefulSourcePartition[Item, State]:
        """A part at the beginning; history is read in one go or not at all."""
        return Part(self, int(for_part))

    # What the parts call

    def round(self, number: int) -> list[Item]:
        """What part `number` hands on now; raises StopIteration when it has nothing more to say."""
        leads = number == min(self._living)
        if leads and not self._at_end and not self._waiting:
            self._waiting = dict(next(self._slices, {}))
            self._at_end = not self._waiting
        if (found := self._waiting.pop(number, None)) is not None:
            return [self._raw(number, found)]
        if not self._at_end:
            return []
        if number not in self._told:
            self._told.add(number)
            return [self._raw(number, Slice([], []))]
        if leads and len(self._living) == 1 and self.outcome == "running":
            self.outcome = "finished"
            return [self._ticker.final(self._as_of_ms)]
        if leads and len(self._living) > 1:
            return []  # it lives longest
        self._living.discard(number)
        raise StopIteration

    def snapshot(self, number: int) -> State:
        """The state of a partition of the topic, of which nothing has been read."""
        return STATE_VERSION, self._topic, None, None, None

    def _raw(self, number: int, found: Slice) -> Raw:
        first = self._next_offset[number]
        self._next_offset[number] = first + len(found.values)
        return Raw.of(
            topic=self._topic,
            partition=number,
            partitions=self._partitions,
            values=found.values,
            offsets=range(first, self._next_offset[number]),
            timestamps_ms=found.timestamps_ms,
            caught_up=self._at_end,
            monotonic_ms=None,
        )
