r"""What users answer when they are asked: NPS, CSAT and CES (METRICS.md 5.10, ordered, slow).

A *response* is what one `Survey Responded` says: of which `survey`, and the `score`. Every survey of the config is a
family of its own. A score that is not whole or off the scale makes the event a `bad_property`; a response to a survey
that the config does not have counts as an event alone, whatever its score. A `response_id` counts once per user and
survey, within `orders.dedup` of event time (24 h where there are no orders), as the ids of orders do. Without an id
every response counts.

Cells, for the `long_windows` <l>, broken down by the response's own value where a breakdown is of `surveys`:

    survey.<name>.responses.<l>, survey.<name>.score_<s>.<l>     all responses, and those with score s

With `count: latest` a user counts once, with the latest response, under the score and the values that this one showed.
Derived, absent without responses; n are the responses, p and d the shares of scores 9, 10 and 0 to 6:

    nps.<name>.<l>         100 (p - d)                 nps_se        100 sqrt((p + d - (p - d)^2) / n)
    csat.<name>.<l>        the share of scores with (score - low) / (high - low) >= 0.75: of 1..5 these are 4 and 5
    csat_low, csat_high    its 95 % interval by Wilson, z = 1.959963984540054
    csat_mean              the mean score              csat_mean_share   (mean - low) / (high - low)
    ces.<name>.<l>         the mean score              ces_sd            standard deviation, over n

A worked month: of 10 answers to "Would you recommend us?" 5 are 9 or 10, 3 are 7 or 8, 2 are at most 6.

    nps = 100 (0.5 - 0.2) = 30        nps_se = 100 sqrt((0.5 + 0.2 - 0.3^2) / 10) = 24.7

So the true score lies between -18 and 78, by two standard errors: ten answers say little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.compiled.loops import Number, inlined, steady
from flows.config.model import Config
from flows.metrics.charts import ChartRow
from flows.metrics.family import Family, Groups, Split, group_of, groups_of
from flows.metrics.frameworks import Headings
from flows.metrics.rows import Block, Formula
from flows.metrics.surveys.alerts import alerts_of
from flows.metrics.surveys.cells import FRAMEWORKS, formulas_of, rows_of
from flows.metrics.surveys.charts import charts_of
from flows.metrics.surveys.fact import response_fact
from flows.state.remembered import Ids, Remembered, is_copy
from flows.state.table import Entries, UserTable, row_of
from flows.state.windows import Ring, Windows, add, move

DEDUP_MS: Final = 86_400_000
"""For how long a repeated `response_id` is a copy, where the config has no orders."""
LATEST: Final = np.dtype([("ts", "i8"), ("dims", "u8"), ("score", "i8")])
"""A user's latest response: when (ms; 0: it is the first), what breakdown values it showed, the score's place on the
scale."""


class Surveyed(Family):
    """The responses to one survey, by score."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"surveys": {"nps": {"kind": "nps"}, "ease": {"kind": "ces", "scale": [1, 3]}}},
        {
            "surveys": {"pulse": {"kind": "csat", "count": "latest"}},
            "orders": {"dedup": "5m"},
            "long_windows": ["1h", "24h"],
            "breakdowns": {
                "platform": {"field": "context.device.type", "values": ["ios"], "of": ["surveys"]},
                "plan": {"field": "properties.plan", "values": ["pro"], "of": ["surveys"]},
            },
        },
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = FRAMEWORKS
    ordered: ClassVar[bool] = True
    broken_down_as: ClassVar[str] = "surveys"
    alerts = staticmethod(alerts_of)

    def __init__(self, config: Config, name: str) -> None:
        self._config = config
        self._name = name
        self._survey = config.surveys[name]
        self._place = list(config.surveys).index(name)
        self._dedup = config.orders.dedup if config.orders else DEDUP_MS
        self._groups = Groups(config, self.broken_down_as)
        self.takes = response_fact(config.surveys)
        self.counted = Remembered()
        self.windows = Windows(config.long_windows, self._groups, len(self._survey.scores))
        self.latest = UserTable(LATEST, dims=self._groups)  # of who has answered, where that is what counts

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        own = rows.compress(rows["survey"] == self._place)
        self.counted.reserve(len(own), self._dedup)
        if self._survey.count == "latest":
            self.latest.reserve(len(own))
        ledger = Ledger(self.counted.ids, self.latest.entries, self.windows.ring)
        rules = Rules(self._dedup, self._survey.ends[0], len(self._survey.scores), self._survey.count == "latest")
        _advance(own, now_ms, rules, ledger, self._groups.split)

    def rebuild(self, users: int, now_ms: int) -> None:
        """Book the latest responses in the windows that are new, where these are what counts."""
        new = self.windows.begin(now_ms)
        latest = self.latest.known
        for groups in groups_of(self._groups.split, latest["dims"]):
            self.windows.book(new, latest["ts"], groups * len(self._survey.scores) + latest["score"])

    def read(self) -> NDArray[np.int64]:
        by_score = self.windows.totals.reshape(-1, len(self._survey.scores))
        return np.concatenate([by_score.sum(axis=1, keepdims=True), by_score], axis=1).ravel()

    def blocks(self) -> list[Block]:
        return [Block(rows_of(self._name, self._survey), self._config.long_windows, self._groups.labels)]

    def definition(self) -> Definition:
        low, high = self._survey.ends
        return Definition({"kind": self._survey.kind, "scale": f"{low} to {high}", "count": self._survey.count})

    def formulas(self) -> list[Formula]:
        return formulas_of(self._name, self._survey)

    def charts(self) -> list[ChartRow]:
        return charts_of(self._config, self._name, self._survey)


class Ledger(NamedTuple):
    """What the loop writes to."""

    counted: Ids
    latest: Entries  # LATEST, by slot
    windows: Ring


class Rules(NamedTuple):
    """What the survey's section says."""

    dedup: int
    low: int
    scores: int
    latest: bool  # each user counts once


@steady
def _advance(rows: NDArray[Any], now: int, rules: Rules, ledger: Ledger, split: Split) -> None:
    move(ledger.windows, now)
    for row in rows:
        slot, ts = row["slot"], row["ts"]
        if is_copy(ledger.counted, row["response"], slot, ts, rules.dedup):
            continue
        score = row["score"] - rules.low
        if rules.latest:
            latest = ledger.latest.rows[row_of(ledger.latest, np.uint64(slot))]
            if latest["ts"] > 0:
                _add(ledger.windows, split, latest["ts"], latest["dims"], rules.scores, latest["score"], -1)
            latest["ts"] = ts
            latest["dims"] = row["dims"]
            latest["score"] = score
        _add(ledger.windows, split, ts, row["dims"], rules.scores, score, 1)


@inlined
def _add(windows: Ring, split: Split, ts: Number, dims: Number, scores: int, score: Number, amount: int) -> None:
    for d in range(len(split.base)):
        add(windows, ts, group_of(split, d, dims) * scores + score, amount)
