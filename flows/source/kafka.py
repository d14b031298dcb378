"""The job's input: every partition of one Kafka topic, and the ticks at which the numbers are published.

A Kafka partition is a Bytewax partition; its state is its next offset (`part_state`).
All parts of a process share one consumer. Bytewax calls the parts in the order of their names, round after
round; the first one living, the leader, does for all what is done once a round: it polls, ticks, commits
and looks for new partitions. Then each part hands on what has come for it. Two things follow from how
Bytewax closes epochs (tested):

* all that a part has handed on before its `snapshot()` belongs to the epoch that the snapshot closes, and
  nothing after;
* a part is called again only when that epoch is finished everywhere and stored, so what was in the last
  snapshot may then be committed to the consumer group.

In a cluster each process names only its own partitions, so that they are dealt out evenly, and a part of its own that
ticks, so that a process without partitions ticks as well. All names of such parts are always known, since the engine
refuses a checkpoint with a part that nobody names; those of other cluster sizes end at once.

A failure does not raise inside the flow, where it would end in a Rust backtrace and lose the last epoch: it
ends all parts, with a snapshot, and stands in `failure`. Call `check()` after the flow.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from flows.cluster.peers import MAX_PROCESSES, Cluster, Peers
from flows.config.settings import Settings
from flows.kafka.client import START_SECONDS
from flows.messages.raw import Raw
from flows.messages.tick import Tick
from flows.process.outcomes import Outcome, SourceError
from flows.source.epochs import EpochPhase
from flows.source.log_identity import Place
from flows.source.observer import Observer
from flows.source.part_state import (
    State,
    UnusedPart,
    part_name,
    restored,
    state_of,
    ticking_process,
    ticks_name,
)
from flows.source.reader import IDLE_SECONDS, Reader
from flows.source.skew import Pace
from flows.source.ticks import Part, Ticker
from flows.source.turns import Turn

Item = Raw | Tick
RECHECK_MS: Final = 30_000
HAND_ON_MS: Final = 100
"""In a cluster a partition's records wait for so long, or until a whole poll of them does, or until the next tick: each
poll is sent as one piece to every shard, and the shards use it no sooner than at the tick.
"""
QUIET_RECORDS: Final = 2_000
"""With fewer between two ticks, and nothing to catch up with, records are handed on at ticks only: numbers are told
there, and polls of a record or two would be most of what a product with little traffic costs.
"""
QUIET_SECONDS: Final = 0.125
"""And the source looks around so often, instead of every 20 ms."""
TICKS: Final = 2**31
"""The number of the part that ticks; no partition has it, and none is larger."""
_logger = logging.getLogger(__name__)


class KafkaSource(FixedPartitionedSource[Item, State]):
    """Hands on `Raw` and `Tick`.

    `until_end`: every partition ends where it ended at the start, then one final tick advances the stream
    clock to `as_of_ms`; no time is handed on. Otherwise it runs until `stop()`, a grown topic or a failure,
    then emits one final tick; `outcome` says which. `resumed`: the flow has a checkpoint, so a partition
    without state is new and is read from its beginning; None: it has one if any part of this process was
    built with state. `peers`: the other processes that run this flow, what has been heard from them, and
    the length of an epoch; None: there are none.
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
        peers: Peers | None = None,
        epoch_ms: int = 10_000,
        recheck_ms: int = RECHECK_MS,
        start_seconds: float = START_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.outcome: Outcome = "running"
        self.failure: SourceError | None = None
        self.begun = False  # the engine has built the parts
        self._settings = settings
        self._group_id = settings.group_id or f"tidegauge-{product}"
        self._until_end = until_end
        self._as_of_ms = as_of_ms
        self._pace = pace
        self._observer = observer
        self._resumed = resumed
        self._peers = peers
        self._cluster = Cluster() if peers is None else peers.cluster
        self._epochs = EpochPhase(epoch_ms, monotonic=monotonic)
        self._ticking = False  # in this round
        self._turn = Turn()  # among `peers`
        self._hands_on = True  # in this round
        self._handed_on = 0  # records since the last tick
        self._quiet = False  # there were few before it
        self._waits = False  # for the next tick, with nothing to do until then
        self._next_hand_on_ms = 0
        self._recheck_ms = recheck_ms
        self._start_seconds = start_seconds
        self._monotonic = monotonic
        self._ticker = Ticker(settings.tick_ms, timed=not until_end, monotonic=monotonic)
        self._next_recheck_ms = self._ticker.now_ms() + recheck_ms
        self._reader: Reader | None = None
        self._new: dict[int, Place] = {}  # built, not yet read
        self._topic_id: str | None = None  # as the checkpoint has it
        self._living: set[int] = set()
        self._snapped: dict[int, int] = {}  # next offsets of the latest epoch
        self._ended = False  # the final tick has been handed on
        self._caught_up = False

    def stop(self, outcome: Outcome = "stopped") -> None:
        """End the flow gracefully within a round. Only sets a field, so a signal handler may call it."""
        if self.outcome == "running":
            self.outcome = outcome

    def fail(self, reason: str) -> None:
        """End the flow, and with it that of all other processes, for a `reason` (one sentence)."""
        self._fail(SourceError(reason))

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
        try:
            if self._reader is None:
                self._reader = Reader(
                    self._settings,
                    self._group_id,
                    pace=self._pace,
                    stopping=lambda: self.outcome == "stopped",
                    processes=self._cluster.processes,
                    start_seconds=self._start_seconds,
                    monotonic=self._monotonic,
                )
            count = self._reader.find_topic()
        except SourceError as failure:
            self.failure = failure
            raise
        partitions = filter(self._cluster.reads, range(count))
        parts = [part_name(number) for number in partitions]
        if self._peers is not None or self._resumed:
            parts += map(ticks_name, filter(self._cluster.reads, range(MAX_PROCESSES)))
        return parts

    def build_part(
        self, step_id: str, for_part: str, resume_state: State | None
    ) -> StatefulSourcePartition[Item, State]:
        """A part that knows only its number and its next offset; reading begins with the first round."""
        self.begun = True
        if (process := ticking_process(for_part)) is not None:
            # Every checkpoint of a cluster has all of them, so a process whose partitions are all new knows of it.
            if resume_state is not None and self._resumed is None:
                self._resumed = True
            if self._peers is None or process != self._cluster.process:
                return UnusedPart()
            self._living.add(TICKS)
            return Part(self, TICKS)
        number = int(for_part)
        place = Place(None)
        if resume_state is not None:
            stored = restored(resume_state, self._settings.topic)
            place = stored.place
            self._topic_id = self._topic_id or stored.topic_id
            if stored.failure is not None:
                self._fail(stored.failure)
        if place.offset is not None and self._resumed is None:
            self._resumed = True
        self._new[number] = place
        self._living.add(number)
        return Part(self, number)

    # What the parts call

    def round(self, number: int) -> list[Item]:
        """What part `number` hands on now; raises StopIteration when it has nothing more to say."""
        leads = number == min(self._living)
        items: list[Item] = []
        if self._peers is not None and leads:
            self._epochs.on_round(self._peers.waited_seconds(), lambda: self.outcome != "running")
            self._heed(self._peers)
        try:
            if self.outcome == "running":
                if leads:
                    self._lead()
                items = [*self._doubt(leads), *self._hand_on(number, leads)]
        except SourceError as failure:
            self._fail(failure)
        if self.outcome == "running":
            if self._until_end and not items and self._finished(number) and (not leads or TICKS in self._living):
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
        self._epochs.ends()
        place = self._reader.position(number) if self._reader is not None else None
        if place is None:
            place = self._new.get(number, Place(None))
        elif place.offset is not None:
            self._snapped[number] = place.offset
        topic_id = None if self._reader is None else self._reader.topic_id
        return state_of(self._settings.topic, place, topic_id or self._topic_id)

    # How a round goes

    def _lead(self) -> None:
        """What is done once a round."""
        reader = self._reader
        assert reader is not None  # list_parts() comes before build_part()
        if self._new:
            start = "earliest" if self._resumed else self._settings.start
            reader.add(self._new, start=start, to_end=self._until_end, topic_id=self._topic_id)
            self._new = {}  # only now: until then snapshot() must give back what the part was built with
            if self._observer is not None:
                self._observer.assign((self._settings.topic, number) for number in sorted(self._living - {TICKS}))
        if self._snapped:
            snapped, self._snapped = self._snapped, {}
            reader.commit(snapped)
        if not self._until_end:
            self._look_for_new_partitions(reader)
        if self.outcome != "running" or self._living == {TICKS}:
            return
        reader.poll(min(QUIET_SECONDS, self._ticker.seconds_left()) if self._waits else IDLE_SECONDS)
        if self._peers is None and not self._until_end:
            self._waits = self._quiet and not (reader.behind or reader.full)
            self._hands_on = not self._waits or self._ticker.is_due()

    def _doubt(self, leads: bool) -> Iterable[Item]:
        """The news of partitions whose end is not known any more, just before a part hands anything on.

        A stall can come between any two of them: mostly while the leader polls, for that is where a process sleeps.
        """
        stalled = self._ticker.beat()
        if self._peers is not None:
            self._turn.stood_still(self._ticker.pause_ms)
            self._hands_on = self._hands_on and self._turn.in_step
            if self._hands_on:
                self._turn.used(self._ticker.pause_ms)
        if self._reader is None or self.outcome != "running" or not (leads or stalled):
            return []
        return self._reader.doubt(self._ticker.stamp(), everything=stalled)

    def _hand_on(self, number: int, leads: bool) -> list[Item]:
        reader = self._reader
        items: list[Item] = []
        if reader is None or self.outcome != "running":
            return items
        if number == TICKS:
            return self._tick(reader)
        if reader.position(number) is None or not self._hands_on:
            return items
        if raw := reader.take(number, self._ticker.stamp()):
            items.append(raw)
            self._handed_on += raw.count
        # The last part ticks, when all have handed on what the round's poll brought: no record that is there already
        # may come behind the time that the tick carries. Towards an end it carries none, and the leader lives longest.
        ticks = (leads if self._until_end else number == max(self._living)) and TICKS not in self._living
        if ticks and (tick := self._ticker.due()):
            items.append(tick)
            self._quiet, self._handed_on = self._handed_on < QUIET_RECORDS, 0
            self._observe(reader)
        if leads and self._until_end and self._living == {number} and reader.finished(number):
            self.outcome = "finished"
        return items

    def _finished(self, number: int) -> bool:
        return number != TICKS and self._reader is not None and self._reader.finished(number)

    # In a cluster

    def _heed(self, peers: Peers) -> None:
        """End when another process ends all; and decide whether this round hands on, and whether it ticks."""
        word = peers.ended()
        if word is not None and self.outcome == "running":
            if word.end == "failed":
                self.failure = SourceError(f"process {word.process} has failed: {word.reason}")
            self.outcome = word.end
        self._ticking = self._ticker.is_due(peers.number)
        self._turn.hear(peers.answered)
        now_ms = self._ticker.now_ms()
        full = self._reader is not None and self._reader.full
        # A tick carries the news of what lags, so there is none without it.
        due = full or now_ms >= self._next_hand_on_ms
        self._hands_on = self._turn.in_step and (self._ticking or (due and peers.keep_up()))
        if self._hands_on:
            self._next_hand_on_ms = now_ms + HAND_ON_MS

    def _tick(self, reader: Reader) -> list[Item]:
        """What the part that ticks hands on: it is the last of its round, and the last to leave."""
        assert self._peers is not None
        if self._until_end and self._living == {TICKS}:
            self.outcome = "finished"
            return []
        tick = self._ticker.due(self._peers.number) if self._ticking else None
        if tick is None:
            return []
        self._turn.ticked(tick.number)
        self._observe(reader)
        return [tick]

    @property
    def waited_seconds(self) -> float:
        """How long this process has waited for its epoch to begin."""
        return self._epochs.waited_seconds

    def slowest_ms(self) -> int | None:
        """The event time of the slowest lagging partition of this process; None: none lags."""
        return None if self._reader is None else self._reader.slowest_ms()

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
        self._observer.open_transactions(self._settings.topic, reader.waits_for_transactions())
        self._observer.clock_holds(self._settings.topic, reader.clock_holds())
        if not self._caught_up and reader.all_caught_up():
            self._caught_up = True
            self._observer.caught_up()

    def _leave(self, number: int) -> None:
        self._living.discard(number)
        raise StopIteration

    def _fail(self, failure: SourceError) -> None:
        self.outcome = "failed"
        self.failure = self.failure or failure
