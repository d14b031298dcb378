r"""What is spent on growth, by day, category and channel; and what a new customer costs (METRICS.md 5.9, ordered).

A *record* is what one `Marketing Spend Recorded` says: an amount, a category (`marketing`, `sales` or `other`), a
channel, and a period. It is known by its `spend_id`: a later record of the same id, by (event time, partition, offset),
replaces the earlier one, whichever is read first, and an amount of 0 takes it back. A record is used when it is read,
as the states of subscriptions are: late ones count.

An amount of A minor units over d days is spread so that day i = 0 .. d-1 gets

    floor(A (i + 1) / d) - floor(A i / d)

which is A / d up to one unit, and A in the sum over all days. Days are local dates of the product's `time_zone`, also
those of 23 and of 25 hours. A day counts in a window of n days when it is one of the last n dates, that of W included:
a window of 24h is today so far, which has today's whole share.

    period 2026-03-30 to 2026-04-02, 100.00        shares of 3 days: 33.33, 33.33, 33.34

The channel of a record is its property `channel`, by slug: a value of the config's breakdown named `channel`; where
there is no such breakdown, one of the channels of METRICS.md 5.7. Others are `other`; without one it is `unknown`.

Cells, for each of `long_windows`:

    spend.<l>                  all categories, in total and by `{channel=...}`
    spend.<category>.<l>       marketing, sales, other; at all times their sum is spend.<l>
    spend.refused              records beyond the limit `spend_per_shard`, since the beginning
    spend.too_far_ahead        records whose last day is more than 400 days after them, which are not used

Numbers derived of these and of customers are in `metrics/economics.py`.

A record is forgotten `remember` after its time: what it booked stays, and a record that comes then under its id is
another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.config.limits import Limits
from flows.config.model import OTHER, Config
from flows.metrics.cells import Cell
from flows.metrics.charts import ChartRow, Number
from flows.metrics.family import Family, Trail, trailing
from flows.metrics.frameworks import Headings
from flows.metrics.local_calendar import DAY_MS, day_at, days_of
from flows.metrics.rows import Block, Formula
from flows.metrics.spend.alerts import alerts_of
from flows.metrics.spend.cells import FRAMEWORKS, blocks_of, formulas_of
from flows.metrics.spend.charts import charts_of, headlines_of
from flows.metrics.spend.fact import spend_fact
from flows.metrics.spend.loop import AHEAD_DAYS, KINDS, RECORD, Ledger, use_records
from flows.state.axes import Legend, Names
from flows.state.days import Days
from flows.state.rows import Counters
from flows.state.table import Table

LONGEST_WINDOW_DAYS: Final = 400
DATES_KEPT: Final = LONGEST_WINDOW_DAYS + AHEAD_DAYS + 1
ALL: Final = ""
"""In place of a channel: all of them."""


class Channels(Names):
    """The channels, as the places of counters (behind those of all) and as the codes that records have."""

    def __init__(self, channels: Sequence[str]) -> None:
        super().__init__([ALL, *channels], rest=OTHER)

    def words(self, values: NDArray[np.uint64], past: Legend) -> NDArray[np.uint64]:
        """Codes under another legend, as they are under this one: what is not listed any more is `other`."""
        return self.places(values + np.uint64(1), past) - np.uint64(1)


class Spending(Family):
    """The newest record of each id, and what they come to by day."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {
            "spend": {"currency": "EUR"},
            "orders": {"currency": "EUR", "lapse_after": "20m"},
            "economics": {"margin": 0.8},
            "goals": {"signup": "Signed Up"},
            "time_zone": "Europe/Berlin",
            "windows": ["24h", "7d", "30d"],
            "ratio_windows": [],
            "breakdowns": {
                "channel": {"field": "properties.channel", "values": ["email", "push"], "of": ["orders", "visitors"]}
            },
        },
        {
            "spend": {"remember": "24h", "events": {"Invoice Booked": None}},
            "orders": {"lapse_after": "2h", "events": {"Bought": "completed", "Chargeback": "refunded"}},
            "subscriptions": {"plans": ["basic", "pro"]},
            "economics": {"margin": 0.7, "lifespan": "90d"},
            "time_zone": "America/New_York",
            "windows": ["1h", "24h", "30d"],
            "ratio_windows": [],
            "acquisition": {"customers": "orders"},
            "breakdowns": {"channel": {"computed": "channel", "scope": "session", "of": ["orders"]}},
        },
        {"spend": {"currency": "JPY"}, "windows": ["24h", "7d"], "ratio_windows": []},
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = FRAMEWORKS
    ordered: ClassVar[bool] = True
    alerts = staticmethod(alerts_of)

    def __init__(self, config: Config, limits: Limits) -> None:
        assert config.spend is not None
        self._config = config
        self._section = config.spend
        self.takes = spend_fact(config)
        self._most = limits.spend_per_shard
        self._begins = days_of(config.time_zone)
        self._labels = config.spend_channels()
        channels = Channels(self._labels)
        self.records = Table(RECORD, dims=channels)
        self.dates = Days(DATES_KEPT, channels, KINDS)
        self.not_used = Counters(2)
        self._read: NDArray[np.int64] | None = None  # what was read last, while it holds

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        if len(rows):
            if len(self.records) + len(rows) > min(self._most, self.records.capacity):
                self._forget(int(rows["used"].min()))
            self.records.reserve(len(rows))
        ledger = Ledger(self.records.entries, self.dates.sheet, self.not_used.values)
        stood = int(self.dates.sheet.head[0])
        use_records(rows, now_ms, self._section.remember, self._most, self._begins, ledger)
        if len(rows) or self.dates.sheet.head[0] != stood:
            self._read = None

    def _forget(self, at_ms: int) -> None:
        """Drop the records that cannot be corrected any more by one used at `at_ms` or later."""
        self.records.retain(at_ms - self.records.known["ts"] <= self._section.remember)

    def read(self) -> NDArray[np.int64]:
        if self._read is None:
            self._read = self._sums()
        return self._read

    def _sums(self) -> NDArray[np.int64]:
        today = int(self.dates.sheet.head[0]) - AHEAD_DAYS
        parts = [self.not_used.values]
        for width in self._config.long_windows:
            spent = self.dates.sums(today, width // DAY_MS).reshape(1 + len(self._labels), KINDS)
            acquisition = spent[:, :-1].sum(axis=1)
            parts += [spent[0], np.stack([spent.sum(axis=1), acquisition], axis=1).ravel()]
        return np.concatenate(parts)

    def blocks(self) -> list[Block]:
        return blocks_of(self._config)

    def trail(self, cell: Cell) -> Trail | None:
        """Windows that are new are filled at once: the days are known."""
        if not isinstance(cell.window, int):
            return None
        days = cell.window // DAY_MS
        begins = self._begins
        return Trail(
            f"{trailing(cell.window, None).key} of local dates",
            lambda now_ms: int(begins[max(0, day_at(begins, now_ms) - days + 1)]),
        )

    def definition(self) -> Definition:
        return Definition({"currency": self._config.spend_currency, "time_zone": self._config.time_zone})

    def formulas(self) -> list[Formula]:
        return list(formulas_of(self._config))

    def headlines(self) -> list[Number]:
        return headlines_of(self._config)

    def charts(self) -> list[ChartRow]:
        return charts_of(self._config)
