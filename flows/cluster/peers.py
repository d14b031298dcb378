"""Which process of how many this is, and what it has heard from the others.

The processes of a cluster run the same dataflow. At each of its ticks a process sends a `Word` to all, through the
dataflow itself: no second channel, and what has been said is said behind all records before it. Four things need it:

* *ticks in step*: a process that hears a number beyond its own ticks at once, with that number. So the first clock to
  be due leads, and the others answer within milliseconds. One that was stopped hands nothing on until all have answered
  a tick of its: before that it is behind their numbers, and what it reads now would be cut with what they read then;
* *skew*: partitions are held that are far ahead of the slowest lagging one, wherever that is read;
* *ends*: who was stopped, or has failed, or was replaced, takes the others with it in good order;
* *health*: process 0 tells for all, on one page.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from flows.messages.columns import NO_TIME
from flows.messages.errors import RecoverableError
from flows.messages.tick import Tick
from flows.process.health import Report
from flows.process.outcomes import Outcome

MAX_PROCESSES: Final = 16
"""Names of ticking parts are part of the checkpoint's layout, and all of them must be known to every later run."""

LEAD_SECONDS: Final = 2.0
"""A process reads no further when it has not heard from another for so long: what it reads would only be held."""

SILENT_SECONDS: Final = 60.0
"""A process not heard of for so long is taken for dead, though its connection stands."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """This process among all; `addresses` (host:port) has one entry for each, and none where there is just one."""

    process: int = 0
    addresses: tuple[str, ...] = ()

    @property
    def processes(self) -> int:
        """How many there are."""
        return max(1, len(self.addresses))

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.processes == 1

    def reads(self, partition: int) -> bool:
        """Whether this process reads `partition`: they are dealt out in turn, so each process has as many."""
        return partition % self.processes == self.process


@dataclass(frozen=True, slots=True)
class Word:
    """What a process says at a tick."""

    process: int
    tick: Tick
    slowest_ms: int | None  # event time of its slowest lagging partition; None: none lags
    definitions: str  # fingerprint of its config, which must be that of all
    report: Report
    waited_seconds: float  # for its epoch to begin
    heard: Sequence[int]  # by process: the number of the last tick that was heard of it
    end: Outcome = "running"
    reason: str = ""  # of a failure, one sentence


@dataclass(slots=True)
class _Heard:
    """The last of one process."""

    at: float
    word: Word | None = None


class ClusterError(RecoverableError):
    """The cluster cannot go on; the message is one sentence for the operator."""


@dataclass(slots=True)
class Peers:
    """What process `cluster.process` has heard from the others. Written and read by the thread of the dataflow."""

    cluster: Cluster
    definitions: str
    tick_ms: int = 500
    monotonic: Callable[[], float] = time.monotonic
    _heard: dict[int, _Heard] = field(init=False)
    _own: deque[int | None] = field(init=False)  # the slowest clocks of this process at its last three ticks

    def __post_init__(self) -> None:
        now = self.monotonic()
        others = (other for other in range(self.cluster.processes) if other != self.cluster.process)
        self._own = deque(maxlen=3)
        self._heard = {other: _Heard(now) for other in others}

    def hear(self, word: Word) -> None:
        """Take note; raises ClusterError when the other measures something else."""
        if word.process == self.cluster.process:
            self._own.append(word.slowest_ms)
            return
        if word.definitions != self.definitions:
            raise ClusterError(
                f"process {word.process} was started with other definitions than process {self.cluster.process}; "
                "start all processes of a product with the same config"
            )
        self._heard[word.process] = _Heard(self.monotonic(), word)

    @property
    def heard(self) -> list[int]:
        """By process: the number of the last tick that was heard of it; 0 before the first, and for this one."""
        words = {word.process: word for word in self._words()}
        return [words[process].tick.number if process in words else 0 for process in range(self.cluster.processes)]

    def answered(self, number: int) -> bool:
        """Whether all others have ticked since they heard tick `number` of this process."""
        return all(
            heard.word is not None and (heard.word.tick.final or heard.word.heard[self.cluster.process] >= number)
            for heard in self._heard.values()
        )

    @property
    def number(self) -> int:
        """The largest number of a tick that was heard; 0 before the first."""
        return max((word.tick.number for word in self._words() if not word.tick.final), default=0)

    def slowest_ms(self) -> int | None:
        """The event time of the slowest lagging partition that others read; None: none of them lags.

        What was heard is as old as a tick, so it is taken to have gone on as far as this process has in two. Whoever
        waits for others does not go on, so that a process that really is slow still holds the others back.
        """
        heard = min((word.slowest_ms for word in self._words() if word.slowest_ms is not None), default=None)
        if heard is None or len(self._own) < 3 or (now := self._own[-1]) is None or (then := self._own[0]) is None:
            return heard
        return heard + (max(0, now - then) if then > NO_TIME else 0)

    def waited_seconds(self) -> float | None:
        """The least that another process has waited for its epoch to begin: that of the slowest; None: not known."""
        return min((word.waited_seconds for word in self._words()), default=None)

    def ended(self) -> Word | None:
        """The last word of a process whose end is an end for all; that it has read its part to the end is none."""
        ends = [word for word in self._words() if word.end not in ("running", "finished")]
        grave = [word for word in ends if word.end in ("failed", "fenced")]
        return next(iter(grave or ends), None)

    def keep_up(self) -> bool:
        """Whether all others have been heard of lately, so that reading on makes sense."""
        lead = max(LEAD_SECONDS, 3 * self.tick_ms / 1000)
        return not self.silent(lead)

    def silent(self, seconds: float = SILENT_SECONDS) -> Sequence[int]:
        """The processes that have not been heard of for so long, without having ended."""
        since = self.monotonic() - seconds
        return [
            other
            for other, heard in self._heard.items()
            if heard.at < since and not (heard.word is not None and heard.word.tick.final)
        ]

    def _words(self) -> list[Word]:
        return [heard.word for heard in self._heard.values() if heard.word is not None]
