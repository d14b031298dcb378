"""What every metric family is: the rows it is shown, the verbs it has, and the breakdowns its cells carry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined
from flows.config.model import Config, format_duration
from flows.config.selectors import Selector
from flows.metrics.cells import Cell, Derived

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


class Family(Protocol):
    """The definition of some metrics over the users of one shard."""

    ordered: ClassVar[bool]
    """True: shown on-time events in event-time order, at the watermark. False: all events, at the stream clock."""

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        """Use `rows` (dtype HELD) and then stand at `now_ms`.

        Ordered families get rows sorted by event time with ts < now_ms, none older than an earlier `now_ms`; arrival
        families get rows in any order with ts <= now_ms. Slots in rows are < `users`, the number of known users.
        """

    def read(self) -> NDArray[np.int64]:
        """The values of `cells()` at the time last advanced to."""

    def cells(self) -> list[Cell]:
        """Names and labels of the additive numbers, in the order of `read()`."""

    def derived(self) -> list[Derived]:
        """Numbers computed from the cells of all shards together."""


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


def cell_name(metric: str, window_ms: int | None = None, group: dict[str, str] | None = None) -> str:
    """`sessions.closed`, 300000, {platform: ios} -> `sessions.closed.5m{platform=ios}`."""
    name = metric if window_ms is None else f"{metric}.{format_duration(window_ms)}"
    return name + "".join(f"{{{dimension}={value}}}" for dimension, value in (group or {}).items())


def window_label(window_ms: int) -> dict[str, str]:
    """The Prometheus label of a window."""
    return {"window": format_duration(window_ms)}


def pairs_of(windows: Sequence[int], groups: Groups) -> list[tuple[int, dict[str, str]]]:
    """All (window, group) pairs in the order in which arrays of shape (windows, groups) are flattened."""
    return [(window, group) for window in windows for group in groups.labels]
