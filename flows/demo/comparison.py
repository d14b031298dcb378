"""Shows how the published numbers compare with the truth: the best-known ones, and all that differ."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from flows.audit.comparison import Compared

HEADLINES = re.compile(
    r"events\.(5m|24h)|active_users\.(5m|1h|24h|day)|sessions\.(open|(started|closed|bounced)\.1h)|bounce_rate\.1h"
    r"|bounce_rate_provisional|session_duration_p50\.1h"
    r"|funnel\.\w+\.(\d\d_\w+\.1h|(converted|in_progress|dropped)\.1h|conversion_live)"
    r"|users\.(alive|new\.24h|churned\.7d)|accounting\.[a-z_.]+"
    r"|customers\.(active|churned\.1h)|mrr|mrr\.(new|expansion|contraction|churned|reactivated)\.24h|mrr\.difference"
    r"|customer_churn_rate\.1h|subscriptions\.(active|cancel_requested\.1h)"
)
MOST_DIFFERENCES = 40  # shown


def report(compared: Sequence[Compared]) -> Table:
    """The best-known cells and those that differ."""
    table = Table(title="Published and true", title_justify="left", header_style="bold")
    table.add_column("cell", overflow="ellipsis", no_wrap=True)
    for heading in ("published", "truth"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    differences = [row for row in compared if row.verdict == "differs"]
    headlines = [row for row in compared if row.equal and HEADLINES.fullmatch(row.cell)]
    for row in [*headlines, *differences[:MOST_DIFFERENCES]]:
        published = "absent" if row.published is None else _short(row.published)
        truth = "absent" if row.truth is None else _short(str(row.truth))
        table.add_row(
            _named(row.cell), published, truth, "ok" if row.equal else "WRONG", style="" if row.equal else "red"
        )
    return table


def _named(cell: str) -> Text:
    """A cell, whose name may end in the value of a top list: text that is neither markup nor an escape."""
    return Text(cell if cell.isprintable() else ascii(cell)[1:-1])


def _short(number: str) -> str:
    whole, point, digits = number.partition(".")
    return whole + point + digits[:6]
