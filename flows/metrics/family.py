"""What every metric family is: the rows it is shown, the verbs it has, and the breakdowns its cells carry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined
from flows.config.model import Config
from flows.config.selectors import Selector
from flows.facts.fact import Fact
from flows.metrics.cells import Tally
from flows.metrics.charts import ChartRow, Number
from flows.metrics.rows import Block, Formula

HELD: Final = np.dtype(
    [
        ("ts", "i8"),  # event time, ms UTC
        ("dims", "u8"),  # one code per breakdown, the first in the lowest byte
        ("slot", "i4"),  # the user's row in this shard
        ("partition", "i4"),
        ("code", "u2"),  # of its name and the conditions it meets (config/event_codes.py)
        ("kind", "u1"),  # index into columns.KINDS
        ("late", "u1"),  # 1: not for ordered metrics
    ]
)
"""One accepted event of a known user, waiting for its time."""


class Family(ABC):
    """The definition of some metrics over the users of one shard.

    State is in containers (`flows/state`) that are public attributes: the shard saves, restores and grows them.
    """

    ordered: ClassVar[bool]
    """True: shown on-time events in event-time order, at the watermark. False: all events, at the stream clock."""
    takes: Fact | None = None
    """The facts whose rows it uses; None: it uses events.

    A family of facts is ordered: it gets rows of the fact's dtype by `used`, all with used < now_ms, at the watermark.
    Their `slot` is the user's where the fact's key is the user.
    """

    @abstractmethod
    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        """Use `rows` (dtype HELD) and then stand at `now_ms`.

        Ordered families get rows sorted by event time with ts < now_ms, none older than an earlier `now_ms`; arrival
        families get rows in any order with ts <= now_ms. Slots in rows are < `users`, the number of known users.
        """

    @abstractmethod
    def read(self) -> NDArray[np.int64]:
        """The family's vector, as `blocks` lays it out, at the time last advanced to."""

    @abstractmethod
    def blocks(self) -> list[Block]:
        """What the vector consists of."""

    def formulas(self) -> list[Formula]:
        """Numbers derived from the vectors of all shards together, of this family and others."""
        return []

    def tallies(self) -> list[Tally]:
        """Counters and histograms of Prometheus, over cells of this family."""
        return []

    def headlines(self) -> list[Number]:
        """The few numbers of the family that are looked at first."""
        return []

    def charts(self) -> list[ChartRow]:
        """How the family is drawn; what no chart names gets a plain panel in the row of its metric."""
        return []

    def forget(self, slots: NDArray[Any]) -> None:  # noqa: B027 - most families keep nothing present of a user
        """Take the users of `slots` out of what counts the present: they are about to be evicted."""


class Split(NamedTuple):
    """How kernels find the groups of an event: of breakdown d, the group `base[d] + code`.

    Breakdown 0 is everybody, in group 0 whatever the event shows; those of the config follow.
    """

    base: NDArray[np.int64]
    shift: NDArray[np.uint64]  # where the breakdown's code is in `dims`
    mask: NDArray[np.uint64]  # which bits of it count: 255, and none for everybody


class Groups:
    """The groups that a family's numbers are kept for: everybody, and every value of each breakdown `of` it."""

    def __init__(self, config: Config, of: str) -> None:
        self.labels: list[dict[str, str]] = [{}]
        base, shift, mask = [0], [0], [0]
        for position, (name, breakdown) in enumerate(config.breakdowns.items()):
            if of in breakdown.of:
                base.append(len(self.labels))
                shift.append(8 * position)
                mask.append(255)
                self.labels += [{name: value} for value in breakdown.labels()]
        self.split = Split(np.array(base, np.int64), np.array(shift, np.uint64), np.array(mask, np.uint64))

    def __len__(self) -> int:
        return len(self.labels)


@inlined
def group_of(split: Split, d: int, dims: int) -> Any:
    """The group (an integer) of breakdown `d` for an event's `dims`."""
    return split.base[d] + np.int64((np.uint64(dims) >> split.shift[d]) & split.mask[d])


def selected(config: Config, selectors: Iterable[Selector]) -> NDArray[np.bool_]:
    """By event code: whether such an event is one of those that any of `selectors` chooses."""
    return config.codes().matching(selector.selection() for selector in selectors)


def events_that_count(config: Config) -> NDArray[np.bool_]:
    """By event code: whether it makes its user active: it shows presence, and is among `active_users.events` if set."""
    shows = config.shows_presence(config.codes())
    chosen = config.active_users.events
    return shows if chosen is None else shows & selected(config, chosen)
