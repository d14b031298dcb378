"""Several sources, one order: how every shard of a cluster cuts the streams of all processes at the same points.

Each process reads some partitions and ticks by itself. What process A sends reaches a shard in A's order, but between
it comes what B sends, differently in every shard. So a shard holds what it gets until it can take it in an order that
depends on nothing but the streams themselves:

    source 0   a  b  [1]  c  d     [2]  e                     [n]  a tick
    source 1   f     [1]  g  [2]   h                          a..h polls

    taken      a b f  cut 1   c d g  cut 2   (e, h wait for cut 3)

A *cut* is complete when every source has ticked. Its number is the largest among the sources' next ticks; from each
source all up to its last tick not beyond that number is taken, one source after the other. In lockstep, cut n is tick
n of all; a source that was stopped for a while answers with the number that the others have reached, and all of them
are cut there. A source that has given its final tick is not waited for any more.

The end of an epoch is a consistent cut of its own: there every shard has got exactly what all sources sent in it. So
`drain` hands out all that is held, in the same order everywhere, and a checkpoint holds nothing that waits.

Lags. A partition that lags at any time within a cut does so from the cut's beginning: `notice` gives word of it, which
is taken first. Else what is read of others in the same cut would move the stream clock on, and make late what a process
has still to read that stood still for a while.

Time. Monotonic clocks of different hosts cannot be compared. Polls carry none here, and a cut has that of source 0,
unless some source hands on no time (towards an end, or for a moment after a stall).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from flows.messages.tick import Tick

Poll = TypeVar("Poll")


class _Source(Generic[Poll]):
    """What came from one process and has not been taken."""

    def __init__(self) -> None:
        self.items: deque[Poll | Tick] = deque()
        self.ticks: deque[Tick] = deque()  # those among the items
        self.ended = False  # its final tick has been taken

    def put(self, item: Poll | Tick) -> None:
        self.items.append(item)
        if isinstance(item, Tick):
            self.ticks.append(item)

    def has_ticked(self, number: int) -> bool:
        """Whether its last tick not beyond `number` is known."""
        return bool(self.ticks) and (self.ticks[-1].number >= number or self.ticks[-1].final)

    def take(self, number: int, polls: list[Poll]) -> list[Tick]:
        """Move the polls before the last tick not beyond `number` to `polls`; returns the ticks passed."""
        passed: list[Tick] = []
        while self.ticks and self.ticks[0].number <= number:
            while not isinstance(item := self.items.popleft(), Tick):
                polls.append(item)
            passed.append(self.ticks.popleft())
            self.ended = self.ended or item.final
        return passed

    def drain(self) -> Iterator[Poll]:
        """Everything but the ticks."""
        for item in self.items:
            if not isinstance(item, Tick):
                yield item
        self.items = deque(self.ticks)


class Alignment(Generic[Poll]):
    """Puts what `sources` processes send into the one order that all shards share.

    `notice` gives, for a poll that leaves its partition lagging, the number of that and a poll that says so and nothing
    else; None for any other.
    """

    def __init__(self, sources: int, notice: Callable[[Poll], tuple[int, Poll] | None] = lambda poll: None) -> None:
        self._sources: list[_Source[Poll]] = [_Source() for _ in range(sources)]
        self._notice = notice
        self._ends: list[int | None] = []  # the `as_of_ms` of the final ticks so far

    def put(self, source: int, item: Poll | Tick) -> list[Poll | Tick]:
        """Take note of an item of process `source`; returns what can be taken now. A tick in it is a cut."""
        self._sources[source].put(item)
        taken: list[Poll | Tick] = []
        if isinstance(item, Tick):
            while (number := self._next()) is not None:
                self._cut(number, taken)
        return taken

    def drain(self) -> list[Poll]:
        """All polls that are held, at the end of an epoch."""
        return self._announced([poll for source in self._sources for poll in source.drain()])

    def _announced(self, polls: list[Poll]) -> list[Poll]:
        """Word of the partitions that lag at any time within `polls`, then these."""
        notices = dict(notice for poll in polls if (notice := self._notice(poll)) is not None)
        return [*notices.values(), *polls]

    def _next(self) -> int | None:
        """The number of the next cut, once it is complete."""
        living = [source for source in self._sources if not source.ended]
        if not living or not all(source.ticks for source in living):
            return None
        number = max(source.ticks[0].number for source in living)
        return number if all(source.has_ticked(number) for source in living) else None

    def _cut(self, number: int, taken: list[Poll | Tick]) -> None:
        leads = not self._sources[0].ended
        polls: list[Poll] = []
        ticks = [source.take(number, polls) for source in self._sources]
        taken += self._announced(polls)
        passed = [tick for some in ticks for tick in some]
        self._ends += [tick.as_of_ms for tick in passed if tick.final]
        timed = leads and all(tick.monotonic_ms is not None for tick in passed)
        ends = [end for end in self._ends if end is not None]
        final = all(source.ended for source in self._sources)
        taken.append(
            Tick(
                number,
                ticks[0][-1].monotonic_ms if timed and ticks[0] else None,
                max(ends) if final and len(ends) == len(self._sources) else None,
                final,
            )
        )
