"""Compares what was published with the truth, cell by cell."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

COVERED = re.compile(
    r"(events|active_users|stickiness|sessions|bounce_rate|bounce_rate_provisional|session_duration_\w+"
    r"|events_per_session|key_actions_per_session|sessions_per_user|funnel|user_churn_rate"
    r"|users\.(alive|known|new|resurrected|churned)|accounting"
    r"|customers|subscriptions|mrr|arr|arpa|(customer|mrr|net_mrr)_churn_rate)(\.|\{|$)"
)
"""The cells that the truth knows. A published one that it does not mention has to be a count of 0."""

DERIVED = re.compile(
    r"stickiness|bounce_rate|session_duration_|\w+_per_\w+|user_churn_rate|arpa|(customer|mrr|net_mrr)_churn_rate"
    r"|funnel\.\w+\.(drop_off_|convert_(mean|p\d+)|conversion_)"
)
"""The cells that are absent, not 0, where nothing is below the line."""

TOLERANCE = 1e-9  # of ratios: the same formula added up in another order

HEADLINES = re.compile(
    r"events\.(5m|24h)|active_users\.(5m|1h|24h|day)|sessions\.(open|(started|closed|bounced)\.1h)|bounce_rate\.1h"
    r"|bounce_rate_provisional|session_duration_p50\.1h"
    r"|funnel\.\w+\.(\d\d_\w+\.1h|(converted|in_progress|dropped)\.1h|conversion_live)"
    r"|users\.(alive|new\.24h|churned\.7d)|accounting\.[a-z_.]+"
    r"|customers\.(active|churned\.1h)|mrr|mrr\.(new|expansion|contraction|churned|reactivated)\.24h|mrr\.difference"
    r"|customer_churn_rate\.1h|subscriptions\.(active|cancel_requested\.1h)"
)
MOST_DIFFERENCES = 40  # shown


@dataclass(frozen=True, slots=True)
class Compared:
    """One cell on both sides; None: absent."""

    cell: str
    published: str | None
    truth: int | float | None

    @property
    def equal(self) -> bool:
        """Counts agree to the last digit, ratios but for the order of their additions."""
        if self.published is None or self.truth is None:
            return self.truth is None and self.published in (None, "0") and not DERIVED.match(self.cell)
        if isinstance(self.truth, int):
            return self.published == str(self.truth)
        try:
            published = float(self.published)
        except ValueError:
            return False
        return math.isclose(published, self.truth, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def compare(fields: Mapping[str, str], truth: Mapping[str, int | float]) -> list[Compared]:
    """Every cell that either side has, by name, but for published ones that the truth does not cover."""
    cells = {cell for cell in fields if COVERED.match(cell)} | set(truth)
    return [Compared(cell, fields.get(cell), truth.get(cell)) for cell in sorted(cells)]


def report(compared: Sequence[Compared]) -> Table:
    """The best-known cells and all that differ."""
    table = Table(title="Published and true", title_justify="left", header_style="bold")
    table.add_column("cell", overflow="ellipsis", no_wrap=True)
    for heading in ("published", "truth"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    differences = [row for row in compared if not row.equal]
    headlines = [row for row in compared if row.equal and HEADLINES.fullmatch(row.cell)]
    for row in [*headlines, *differences[:MOST_DIFFERENCES]]:
        published = "absent" if row.published is None else _short(row.published)
        nothing = "0" if row.equal else "absent"  # the truth does not mention what it counts as 0
        truth = nothing if row.truth is None else _short(str(row.truth))
        table.add_row(row.cell, published, truth, "ok" if row.equal else "WRONG", style="" if row.equal else "red")
    return table


def verdict(compared: Sequence[Compared]) -> str:
    """One sentence."""
    wrong = sum(not row.equal for row in compared)
    if wrong:
        return f"{wrong:,} of {len(compared):,} published numbers differ from the truth"
    return f"all {len(compared):,} published numbers equal the truth"


def _short(number: str) -> str:
    whole, point, digits = number.partition(".")
    return whole + point + digits[:6]
