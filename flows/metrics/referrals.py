"""Users who bring users: invites sent, and joins that come of them (METRICS.md 5.7, ordered).

Every event that the config's selectors choose counts, by its own time, in the `long_windows`. Derived, with the users
who are new in the same window: `invites_per_user` is invites by new users, `k_factor` joins by new users, and
`invite_conversion` joins by invites, so that k_factor = invites_per_user x invite_conversion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.compiled.loops import steady
from flows.config import canonical
from flows.config.model import Config, format_duration
from flows.metrics.cells import Metric
from flows.metrics.charts import ChartRow, Course, Line
from flows.metrics.family import Family, selected
from flows.metrics.formulas import ratio
from flows.metrics.frameworks import Headings
from flows.metrics.rows import Block, Count, Formula
from flows.state.windows import Ring, Windows, add, move

INVITES, JOINS = range(2)

SENT = Metric("referrals.invites", "Invites sent in the window.", "events", "Referrals", "window_invites")
JOINED = Metric("referrals.joins", "Joins in the window that an invite led to.", "events", "Referrals", "window_joins")
PER_USER = Metric(
    "invites_per_user", "Invites per new user of the window.", "events", "Referrals", "invites_per_new_user_ratio"
)
CONVERSION = Metric("invite_conversion", "Joins per invite.", "ratio", "Referrals", "invite_conversion_ratio")
K_FACTOR = Metric("k_factor", "Joins per new user of the window.", "joins per new user", "Referrals", "k_factor_ratio")
CHARTS = [
    Course(
        "Invites and joins",
        "In the window.",
        [Line("referrals.invites", "invites"), Line("referrals.joins", "joins")],
        width=8,
    ),
    Course(
        "Joins per invite",
        "Of the invites sent in the window, by the joins in it.",
        [Line("invite_conversion")],
        last_week=True,
        width=8,
    ),
    Course(
        "K-factor",
        "Joins per new user: above 1, users who invite are enough for growth.",
        [Line("k_factor")],
        last_week=True,
        width=8,
    ),
    Course("Invites per new user", "Invites over the new users of the window.", [Line("invites_per_user")], width=8),
]


class Referrals(Family):
    """Counts of invites and joins by window."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {
            "referrals": {
                "invites": "Invite Sent",
                "joins": {"event": "Signed Up", "where": {"properties.referred": True}},
            }
        },
        {"referrals": {"invites": ["Shared", "page_viewed"], "joins": "identify"}, "lateness": "1m"},
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = dict.fromkeys(
        ("referrals", "invite", "k_factor"), Headings("referral", "adoption")
    )
    ordered: ClassVar[bool] = True

    def __init__(self, config: Config) -> None:
        assert config.referrals is not None
        self._config = config
        self._section = config.referrals
        self._counted_as = np.stack(  # by event code: an invite, a join
            [selected(config, self._section.invites), selected(config, self._section.joins)], axis=1
        )
        self.windows = Windows(config.long_windows, 2)

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        _advance(rows, now_ms, self._counted_as, self.windows.ring)

    def read(self) -> NDArray[np.int64]:
        return self.windows.totals.ravel()

    def blocks(self) -> list[Block]:
        return [Block([Count(SENT), Count(JOINED)], self._config.long_windows)]

    def formulas(self) -> list[Formula]:
        windows = self._config.long_windows
        return [
            Formula(PER_USER, ("referrals.invites", "users.new"), ratio, windows=windows, total_only=True),
            Formula(CONVERSION, ("referrals.joins", "referrals.invites"), ratio, windows=windows),
            Formula(K_FACTOR, ("referrals.joins", "users.new"), ratio, windows=windows, total_only=True),
        ]

    def definition(self) -> Definition:
        return Definition(
            {
                "invites": canonical.selected(self._section.invites),
                "joins": canonical.selected(self._section.joins),
            }
        )

    def charts(self) -> list[ChartRow]:
        if not self._config.long_windows:
            return []
        window = format_duration(self._config.long_windows[-1])
        return [ChartRow("Referrals", CHARTS, {"window": window})]


@steady
def _advance(rows: NDArray[Any], now: int, counted_as: NDArray[np.bool_], ring: Ring) -> None:
    move(ring, now)
    for row in rows:
        for counter in (INVITES, JOINS):
            if counted_as[row["code"], counter]:
                add(ring, row["ts"], counter, 1)
