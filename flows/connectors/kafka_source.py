"""The job's input: every partition of one Kafka topic, and the ticks at which the numbers are published.

A Kafka partition is a Bytewax partition, named by its number in five digits; its state is its next offset.
All parts of a process share one consumer. Bytewax calls the parts in the order of their names, round after
round; the first one living, the leader, does for all what is done once a round: it polls, ticks, commits
and looks for new partitions. Then each part hands on what has come for it. Two things follow from how
Bytewax closes epochs (tested):

* all that a part has handed on before its `snapshot()` belongs to the epoch that the snapshot closes, and
  nothing after;
* a part is called again only when that epoch is finished everywhere and stored, so what was in the last
  snapshot may then be committed to the consumer group.

A failure does not raise inside the flow, where it would end in a Rust backtrace and lose the last epoch: it
ends all parts, with a snapshot, and stands in `failure`. Call `check()` after the flow.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from flows.columns import Tick
from flows.connectors.kafka_client import START_SECONDS
from flows.connectors.kafka_reader import Pace, Reader
from flows.connectors.source import Outcome, Part, SourceError, Ticker
from flows.records import Raw
from flows.settings import Settings

Item = Raw | Tick
State = tuple[int, str, int | None]
"""Version, topic, next offset (None: the partition's start was not known yet)."""

STATE_VERSION: Final = 1
RECHECK_MS: Final = 30_000
_logger = logging.getLogger(__name__)


class Observer(Protocol):
    """Who wants to know how reading goes; `flows.health.Health` is one."""

    def assign(self, partitions: Iterable[tuple[str, int]]) -> None:
        """These (topic, partition) are read by this process."""

    def lags(self, topic: str, partition: int, messages: int) -> None:
        """So many records of a partition wait to be read."""

    def caught_up(self) -> None:
        """Every partition has been read to its end."""


class KafkaSource(FixedPartitionedSource[Item, State]):
    """Hands on `Raw` and `Tick`.

    `until_end`: every partition ends where it ended at the start, then one final tick advances the stream
    clock to `as_of_ms`; no time is handed on. Otherwise it runs until `stop()`, a grown topic or a failure,
    then emits one final tick; `outcome` says which. `resumed`: the flow has a checkpoint, so a partition
    without state is new and is read from its beginning; None: it has one if any part of this process was
    built with state. `alone`: no other process runs this flow; otherwise a failure raises, for the others
    must end too.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        product: str = "product",
        until_end: bool = False,
        as_of_ms: int | None = None,
        pace: Pace | None = None,
        observer: Observer | None = None,
        resumed: bool | None = None,
        alone: bool = True,
        recheck_ms: int = RECHECK_MS,
        start_seconds: float = START_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.outcome: Outcome = "running"
        self.failure: SourceError | None = None
        self._settings = settings
        self._group_id = settings.group_id or f"tidegauge-{product}"
        self._until_end = until_end
        self._as_of_ms = as_of_ms
        self._pace = pace
        self._observer = observer
        self._resumed = resumed
        self._alone = alone
        self._recheck_ms = recheck_ms
        self._start_seconds = start_seconds
        self._ticker = Ticker(settings.tick_ms, timed=not until_end, monotonic=monotonic)
        self._next_recheck_ms = self._ticker.now_ms() + recheck_ms
        self._reader: Reader | None = None
        self._new: dict[int, int | None] = {}  # built, not yet read: next offset
        self._living: set[int] = set()
        self._snapped: dict[int, int] = {}  # next offsets of the latest epoch
        self._ended = False  # the final tick has been handed on
        self._caught_up = False

    def stop(self) -> None:
        """End the flow gracefully within a round. Only sets a field, so a signal handler may call it."""
        if self.outcome == "running":
            self.outcome = "stopped"

    def check(self) -> None:
        """Raise the `SourceError` that has ended the flow, if one has."""
        if self.failure is not None:
            raise self.failure

    def flow_finished(self) -> None:
        """Call before `close()` when the flow has returned normally: its last epoch is stored then."""
        if self._reader is not None:
            self._reader.commit(self._snapped)

    def close(self) -> None:
        """Call after the flow, however it ended: sends the last commit and leaves Kafka."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    # What Bytewax calls

    def list_parts(self) -> list[str]:
        """One name per partition; waits for the topic, and raises `SourceError`, before the flow begins."""
        if self._reader is None:
            self._reader = Reader(
                self._settings,
                self._group_id,
                pace=self._pace,
                stopping=lambda: self.outcome == "stopped",
                start_seconds=self._start_seconds,
            )
        return [part_name(number) for number in range(self._reader.find_topic())]

    def build_part(
        self, step_id: str, for_part: str, resume_state: State | None
    ) -> StatefulSourcePartition[Item, State]:
        """A part that knows only its number and its next offset; reading begins with the first round."""
        number = int(for_part)
        offset = None
        if resume_state is not None:
            version, topic, offset = resume_state
            if version != STATE_VERSION:
                self._fail(SourceError(f"the checkpoint's offsets are of version {version}, this is {STATE_VERSION}"))
            elif topic != self._settings.topic:
                self._fail(
                    SourceError(
                        f"the checkpoint was made from topic {topic}, now {self._settings.topic} is "
                        f"configured; each topic needs a state folder of its own"
                    )
                )
        if offset is not None and self._resumed is None:
            self._resumed = True
        self._new[number] = offset
        self._living.add(number)
        return Part(self, number)

    # What the parts call

    def round(self, number: int) -> list[Item]:
        """What part `number` hands on now; raises StopIteration when it has nothing more to say."""
        leads = number == min(self._living)
        items: list[Item] = []
        try:
            if self.outcome == "running":
                if leads:
                    items = self._lead()
                items += self._hand_on(number, leads)
        except SourceError as failure:
            self._fail(failure)
        if self.outcome == "running":
            if self._until_end and not leads and not items and self._finished(number):
                self._leave(number)
            return items
        # No record is handed on any more, so nothing of any part can come behind the final tick.
        if items:
            return items
        if leads and not self._ended:
            self._ended = True
            return [self._ticker.final(self._as_of_ms if self.outcome == "finished" else None)]
        self._leave(number)
        return []

    def snapshot(self, number: int) -> State:
        """The state of part `number`."""
        offset = self._reader.position(number) if self._reader is not None else None
        if offset is None:
            offset = self._new.get(number)
        else:
            self._snapped[number] = offset
        return STATE_VERSION, self._settings.topic, offset

    # How a round goes

    def _lead(self) -> list[Item]:
        """What is done once a round; returns the news of partitions whose end is not known any more."""
        reader = self._reader
        assert reader is not None  # list_parts() comes before build_part()
        stalled = self._ticker.beat()
        if self._new:
            start = "earliest" if self._resumed else self._settings.start
            reader.add(self._new, start=start, to_end=self._until_end)
            self._new = {}  # only now: until then snapshot() must give back what the part was built with
            if self._observer is not None:
                self._observer.assign((self._settings.topic, number) for number in sorted(self._living))
        if self._snapped:
            snapped, self._snapped = self._snapped, {}
            reader.commit(snapped)
        if not self._until_end:
            self._look_for_new_partitions(reader)
        if self.outcome != "running":
            return []
        reader.poll()
        return [*reader.doubt(self._ticker.stamp(), everything=stalled)]

    def _hand_on(self, number: int, leads: bool) -> list[Item]:
        reader = self._reader
        items: list[Item] = []
        if reader is None or reader.position(number) is None or self.outcome != "running":
            return items
        if raw := reader.take(number, self._ticker.stamp()):
            items.append(raw)
        # The last part ticks, when all have handed on what the round's poll brought: no record that is there already
        # may come behind the time that the tick carries. Towards an end it carries none, and the leader lives longest.
        ticks = leads if self._until_end else number == max(self._living)
        if ticks and (tick := self._ticker.due()):
            items.append(tick)
            self._observe(reader)
        if leads and self._until_end and self._living == {number} and reader.finished(number):
            self.outcome = "finished"
        return items

    def _finished(self, number: int) -> bool:
        return self._reader is not None and self._reader.finished(number)

    def _look_for_new_partitions(self, reader: Reader) -> None:
        now_ms = self._ticker.now_ms()
        if now_ms < self._next_recheck_ms:
            return
        self._next_recheck_ms = now_ms + self._recheck_ms
        count = reader.count_partitions()
        if count is None or count == reader.partitions:
            return
        if count < reader.partitions:
            raise SourceError(
                f"topic {self._settings.topic} has {count} partitions, it had {reader.partitions}: it was "
                f"made anew; start with an empty state folder to count from scratch"
            )
        _logger.warning("topic %s has grown from %d to %d partitions", self._settings.topic, reader.partitions, count)
        self.outcome = "partitions_changed"

    def _observe(self, reader: Reader) -> None:
        if self._observer is None:
            return
        for number, messages in reader.lags():
            self._observer.lags(self._settings.topic, number, messages)
        if not self._caught_up and reader.all_caught_up():
            self._caught_up = True
            self._observer.caught_up()

    def _leave(self, number: int) -> None:
        self._living.discard(number)
        raise StopIteration

    def _fail(self, failure: SourceError) -> None:
        self.outcome = "failed"
        self.failure = self.failure or failure
        if not self._alone:
            raise failure


def part_name(partition: int) -> str:
    """The frozen name under which a partition's state is stored."""
    return f"{partition:05d}"
