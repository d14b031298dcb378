"""How many events arrive, by name, in each window (METRICS.md 3.1, arrival).

`events.<w>` counts every accepted event whose time lies in the window, `events.<event>.<w>` those of one name; names
that the config does not mention count as `other`. With a breakdown, an event counts under its own value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.compiled.loops import steady
from flows.config.alerts import Alerts
from flows.config.model import OTHER, Config, slug
from flows.metrics.alerts import Amount, AnyShape, CountFell, Series, label_of, window_of
from flows.metrics.cells import Metric, Tally
from flows.metrics.charts import ChartRow, Course, Line, Rate
from flows.metrics.family import Family, Groups, Split, group_of
from flows.metrics.frameworks import Headings
from flows.metrics.rows import Block, Count
from flows.state.axes import Names
from flows.state.rows import Counters
from flows.state.windows import Ring, Windows, add, move

EVENTS = Metric("events", "Accepted events in the window.", "events", "Traffic")
EVENTS_BY_NAME = Metric(
    "events.<event>", "Accepted events with one name in the window.", "events", "Traffic", "window_events"
)

SIGNED_UP: Final = "signed_up"

PER_SECOND = Rate(
    "Events",
    "Events counted, by name, as they are read. A stretch without any that is no quiet night is an outage.",
    "events",
    "event",
    "events.<event>",
)
IN_WINDOW = Course(
    "Events by name",
    "Accepted events of the window, by name, on a logarithmic scale: rare ones can be seen beside frequent ones.",
    [Line("events.<event>", "{{event}}", by=("event",))],
    log=True,
)


class Events(Family):
    """Counts of events by window, breakdown value and name."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {
            "events": ["Viewed", "Bought"],
            "breakdowns": {"platform": {"field": "context.device.type", "values": ["ios"], "of": ["events"]}},
        },
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = {
        "events": Headings(None, "engagement", why="What an event says of the user's way depends on its name.")
    }
    ordered: ClassVar[bool] = False
    broken_down_as: ClassVar[str] = "events"

    def __init__(self, config: Config) -> None:
        self._config = config
        self._groups = Groups(config, self.broken_down_as)
        codes = config.codes
        self._names = codes.names
        self._name_of = codes.name_of
        names = Names(self._names, rest=OTHER)
        self.windows = Windows(config.windows, self._groups, names)
        self.lifetime = Counters(names)  # by name, since the beginning

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        _advance(rows, now_ms, self._name_of, self.windows.ring, self.lifetime.values, self._groups.split)

    def read(self) -> NDArray[np.int64]:
        names, totals = len(self._names), self.windows.totals.reshape(-1)
        windowed = totals.size // names * (1 + names)
        values = np.empty(windowed + names, np.int64)
        _read_windows(totals, names, values)
        values[windowed:] = self.lifetime.values
        return values

    def blocks(self) -> list[Block]:
        by_name = [Count(EVENTS_BY_NAME, f"events.{name}", {"event": name}) for name in self._names]
        return [
            Block([Count(EVENTS), *by_name], self._config.windows, self._groups.labels),
            Block([Count(None, f"events.lifetime.{name}") for name in self._names]),
        ]

    def charts(self) -> list[ChartRow]:
        return [ChartRow("Traffic", [PER_SECOND, IN_WINDOW])]

    @staticmethod
    def alerts(config: Config, thresholds: Alerts) -> Iterator[AnyShape]:
        """KeyActionDrop, one series for each event."""
        limits = thresholds.key_actions
        if limits is None or not (events := _watched(config, limits.events)):
            return
        window_ms = window_of(config.windows, limits.window)
        window = label_of(window_ms)
        yield CountFell(
            name="key_actions",
            alert="KeyActionDrop",
            about=f"What visitors should do, within {window}.",
            counts=[
                Amount(
                    "now",
                    f"How often {event} came.",
                    Series("window_events", {"event": event, "window": window}),
                    labels={"what": event},
                )
                for event in events
            ],
            window_ms=window_ms,
            drop=limits.drop,
            below=limits.below,
            least=limits.count,
            summary="Only {{ $value }} times {{ $labels.what }} of {{ $labels.product }}",
            description=f"It came {{{{ $value }}}} times within {window}.",
            severity=limits.severity,
        )

    def tallies(self) -> list[Tally]:
        return [
            Tally("events", "Events counted, by name.", [f"events.lifetime.{name}"], {"event": name})
            for name in self._names
        ]

    def definition(self) -> Definition:
        return Definition({})


def _watched(config: Config, listed: Sequence[str] | None) -> list[str]:
    """Slugs of the events listed, else of all key actions, and of sign-ups where they are counted by name."""
    if listed is not None:
        return sorted({slug(name) for name in listed})
    signed_up = {SIGNED_UP} & set(config.vocabulary())
    named = {slug(name) for action in config.key_actions for name in action.event}
    return sorted(named | signed_up)


@steady
def _advance(
    rows: NDArray[Any],
    now: int,
    name_of: NDArray[np.int64],
    ring: Ring,
    lifetime: NDArray[np.int64],
    split: Split,
) -> None:
    move(ring, now)
    names = len(lifetime)
    for row in rows:
        name = name_of[row["code"]]
        lifetime[name] += 1
        for d in range(len(split.base)):
            add(ring, row["ts"], group_of(split, d, row["dims"]) * names + name, 1)


@steady
def _read_windows(totals: NDArray[np.int64], names: int, values: NDArray[np.int64]) -> None:
    """By window and group: the count of all events, then that of each name."""
    place = 0
    for first in range(0, len(totals), names):
        whole = place
        values[whole] = 0
        for name in range(names):
            place += 1
            values[place] = totals[first + name]
            values[whole] += values[place]
        place += 1
