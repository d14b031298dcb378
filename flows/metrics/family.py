"""What every metric family is: the rows it is shown, the verbs it has, and the breakdowns its cells carry."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.compiled.loops import inlined
from flows.config import canonical
from flows.config.alerts import Alerts
from flows.config.model import UNKNOWN, Config, format_duration
from flows.config.selectors import Selector
from flows.facts.fact import Fact
from flows.messages.columns import VALUE
from flows.metrics.alerts import AnyShape
from flows.metrics.cells import Cell, Metric, Tally
from flows.metrics.charts import ChartRow, Number
from flows.metrics.frameworks import Headings
from flows.metrics.rows import Block, Formula
from flows.state.axes import Legend
from flows.state.windows import PANES

HELD: Final = np.dtype(
    [
        ("ts", "i8"),  # event time, ms UTC
        ("dims", "u8"),  # one code per breakdown, the first in the lowest byte
        ("slot", "i4"),  # the user's row in this shard
        ("partition", "i4"),
        ("code", "u2"),  # of its name and the conditions it meets (config/event_codes.py)
        ("kind", "u1"),  # index into columns.KINDS
        ("late", "u1"),  # 1: ordered metrics do not wait for it
    ]
)
"""One accepted event of a known user, waiting for its time."""


class Tie(NamedTuple):
    """What a family is tied to: a field whose value it compares from event to event of a user."""

    field: int  # its place in `Config.held_fields()`
    events: NDArray[np.bool_]  # by event code: those whose values it compares


NO_VALUES: Final[NDArray[np.uint64]] = np.zeros(0, np.uint64)


class Listed(NamedTuple):
    """The values of one top list on their way to it: as a fact is, for the lane."""

    name: str
    dtype: np.dtype[np.void] = VALUE
    by_user: bool = False
    late_counts: bool = True


class Family(ABC):
    """The definition of some metrics over the users of one shard.

    State is in containers (`flows/state`) that are public attributes: the shard saves, restores and grows them.
    """

    LAYOUT: ClassVar[int] = 1
    """Rises when its state is stored otherwise, or means something else: then it starts afresh, and only it."""
    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """Configs, as a file has them, under which its laws are checked: each of its options at least once."""
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = {}
    """The headings of its metrics in AARRR and HEART, by their names or beginnings of these; the longest one holds."""
    ordered: ClassVar[bool]
    """True: shown events in event-time order, at the watermark. False: all events, at the stream clock."""
    broken_down_as: ClassVar[str | None] = None
    """The name by which a breakdown lists it in `of`, for one that breakdowns apply to."""
    takes: Fact | None = None
    """The facts whose rows it uses; None: it uses events.

    A family of facts is ordered: it gets rows of the fact's dtype by `used`, all with used < now_ms, at the watermark.
    Their `slot` is the user's where the fact's key is the user.
    """
    tie: Tie | None = None
    """The field whose values it is shown beside its events; None: it needs none."""
    tied_values: NDArray[np.uint64] = NO_VALUES
    """Where it has a tie: what the rows of the next `advance` have in the field, one for each, as the hash of the
    value's slug; 0: no value, or an event that the tie does not name."""
    lists: Listed | None = None
    """The values of a top list, where it is one (`metrics/top`). Then it is no family of events or facts."""

    @property
    def bytes_per_use(self) -> int:
        """Of stored state, for each user that it knows anything of, where most users are none."""
        return 0

    @abstractmethod
    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        """Use `rows` (dtype HELD) and then stand at `now_ms`.

        Ordered families get rows sorted by event time with ts < now_ms, and the rows of a user in order over all calls.
        A row may be older than an earlier `now_ms`, if its user has none between the two (late, but in order): it is
        booked in its own panes, and what was concluded since from its absence is taken back from where it was booked.

        Arrival families get rows in any order with ts <= now_ms. Slots are < `users`, the number of known users.
        """

    @abstractmethod
    def read(self) -> NDArray[np.int64]:
        """The family's vector, as `blocks` lays it out, at the time last advanced to."""

    @abstractmethod
    def blocks(self) -> list[Block]:
        """What the vector consists of."""

    @abstractmethod
    def definition(self) -> Definition:
        """What its state depends on: where that is another, the family starts afresh."""

    def formulas(self) -> list[Formula]:
        """Numbers derived from the vectors of all shards together, of this family and others."""
        return []

    def metrics(self) -> list[Metric]:
        """What it publishes, in the order of its cells."""
        counted = [row.metric for block in self.blocks() for row in block.rows if row.metric]
        return [*counted, *(formula.metric for formula in self.formulas())]

    def tallies(self) -> list[Tally]:
        """Counters and histograms of Prometheus, over cells of this family."""
        return []

    def trail(self, cell: Cell) -> Trail | None:
        """How far back a cell looks; None: it has no window."""
        return trailing(cell.window) if isinstance(cell.window, int) else None

    def rebuild(self, users: int, now_ms: int) -> None:  # noqa: B027 - most families know nothing of the time before
        """Fill windows that are new since the checkpoint with what is known at `now_ms`, where the family stands."""

    def headlines(self) -> list[Number]:
        """The few numbers of the family that are looked at first."""
        return []

    def charts(self) -> list[ChartRow]:
        """How the family is drawn; what no chart names gets a plain panel in the row of its metric."""
        return []

    @staticmethod
    def alerts(config: Config, thresholds: Alerts) -> Iterator[AnyShape]:
        """What may alert, of all families of this class together; nothing for what is off or not measured."""
        return iter(())

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
    """The groups that a family's numbers are kept for: everybody, and every value of each breakdown `of` it.

    With `of` None: of every breakdown. Where a breakdown is new since a checkpoint, or its field is another, or a value
    is not listed any more, everybody of before is `unknown`. The values of all others go on by name; what was `other`
    stays so.
    """

    def __init__(self, config: Config, of: str | None) -> None:
        self._breakdowns = list(config.breakdowns.items())
        self._of = [name for name, breakdown in self._breakdowns if of is None or of in breakdown.of]
        self._legend = {
            "breakdowns": [[name, canonical.breakdown(one), one.labels()] for name, one in self._breakdowns],
            "of": self._of,
        }
        self.labels: list[dict[str, str]] = [{}]
        base, shift, mask = [0], [0], [0]
        for position, (name, breakdown) in enumerate(self._breakdowns):
            if name in self._of:
                base.append(len(self.labels))
                shift.append(8 * position)
                mask.append(255)
                self.labels += [{name: value} for value in breakdown.labels()]
        self.split = Split(np.array(base, np.int64), np.array(shift, np.uint64), np.array(mask, np.uint64))

    def __len__(self) -> int:
        return len(self.labels)

    def legend(self) -> Legend:
        return self._legend

    def size(self, past: Legend) -> int:
        return 1 + sum(len(values) for name, _, values in past["breakdowns"] if name in past["of"])

    def sources(self, past: Legend) -> list[list[int]]:
        """The `unknown` of a breakdown that is new are all there were."""
        old = self._old_groups(past)
        goes_on = self._going_on(past, past["of"])
        found = [[0]]
        for group in self.labels[1:]:
            ((name, value),) = group.items()
            place = old.get((name, value)) if name in goes_on else 0 if value == UNKNOWN else None
            found.append([] if place is None else [place])
        return found

    def words(self, values: NDArray[np.uint64], past: Legend) -> NDArray[np.uint64]:
        """`dims` of before, as they are now. (Codes of breakdowns that are of other families go on where they can.)"""
        of_others = {name for name, _ in self._breakdowns} - set(self._of)
        goes_on = self._going_on(past, [*past["of"], *of_others])
        were = {name: (position, labels) for position, (name, _, labels) in enumerate(past["breakdowns"])}
        words = np.zeros_like(values)
        for position, (name, breakdown) in enumerate(self._breakdowns):
            labels = breakdown.labels()
            codes = np.full(256, labels.index(UNKNOWN), np.uint64)
            was_at = 0
            if name in goes_on:
                was_at, old = were[name]
                codes[: len(old)] = [labels.index(value) for value in old]
            words |= codes[(values >> np.uint64(8 * was_at)) & np.uint64(255)] << np.uint64(8 * position)
        return words

    @functools.cached_property
    def unknown(self) -> np.uint64:
        """The `dims` of what shows no value of any breakdown."""
        codes = [breakdown.labels().index(UNKNOWN) for _, breakdown in self._breakdowns]
        return np.uint64(sum(code << 8 * position for position, code in enumerate(codes)))

    def going_on(self, past: Legend) -> set[str]:
        """The breakdowns, of whatever family, whose values of before are told apart as they were."""
        return self._going_on(past, [name for name, _ in self._breakdowns])

    def _old_groups(self, past: Legend) -> dict[tuple[str, str], int]:
        listed = [(name, value) for name, _, values in past["breakdowns"] if name in past["of"] for value in values]
        return {group: place for place, group in enumerate(listed, 1)}

    def _going_on(self, past: Legend, of: Sequence[str]) -> set[str]:
        """Those breakdowns, of the ones named `of`, that tell the values of before apart as they were."""
        were = {name: (definition, values) for name, definition, values in past["breakdowns"]}
        return {
            name
            for name, breakdown in self._breakdowns
            if name in were
            and name in of
            and were[name][0] == canonical.breakdown(breakdown)
            and set(were[name][1]) <= set(breakdown.labels())
        }


@inlined
def group_of(split: Split, d: int, dims: int) -> Any:
    """The group (an integer) of breakdown `d` for an event's `dims`."""
    return split.base[d] + np.int64((np.uint64(dims) >> split.shift[d]) & split.mask[d])


def groups_of(split: Split, dims: NDArray[np.uint64]) -> Iterator[NDArray[np.int64]]:
    """For everybody and each breakdown: the groups of many events."""
    for base, shift, mask in zip(split.base, split.shift, split.mask, strict=True):
        yield base + ((dims >> shift) & mask).astype(np.int64)


def selected(config: Config, selectors: Iterable[Selector]) -> NDArray[np.bool_]:
    """By event code: whether such an event is one of those that any of `selectors` chooses."""
    return config.codes.matching(selector.selection() for selector in selectors)


def events_that_count(config: Config) -> NDArray[np.bool_]:
    """By event code: whether it makes its user active: it shows presence, and is among `active_users.events` if set."""
    shows = config.shows_presence(config.codes)
    chosen = config.active_users.events
    return shows if chosen is None else shows & selected(config, chosen)


def presence(config: Config) -> Definition:
    """What says which events show presence, for families that depend on it."""
    rules = config.presence
    hidden = config.events_of_nobody() if rules.only is None else ()
    return Definition(
        {
            "presence": {
                "except": canonical.selectors(rules.except_),
                "only": None if rules.only is None else canonical.selectors(rules.only),
                "server": rules.server,
            }
        },
        frozenset(f"event.{name}" for name in hidden),
    )


def presence_of_active(config: Config) -> Definition:
    """What says which events make a user active."""
    listed = config.active_users.events
    return presence(config).beside({"events": None if listed is None else canonical.selected(listed)})


class Trail(NamedTuple):
    """How far back a cell looks."""

    key: str  # tells windows apart
    begins: Callable[[int], int]  # from the time it stands at to the beginning of its window, ms
    parts: tuple[str, ...] = ()  # that keep such a window


def trailing(width_ms: int, part: str | None = "window") -> Trail:
    """A window of that width, which begins with its oldest pane; kept in the part of the width that `part` names."""
    width = format_duration(width_ms)

    def begins(now_ms: int) -> int:
        return -(-(now_ms * PANES // width_ms - PANES + 1) * width_ms // PANES)

    return Trail(width, begins, () if part is None else (f"{part}.{width}",))
