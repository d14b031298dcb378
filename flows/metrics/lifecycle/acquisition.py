"""By which way new users come (METRICS.md 5.7): shares of them, where a computed breakdown has `users`."""

from __future__ import annotations

from flows.config.breakdowns import Breakdown
from flows.config.channels import is_paid
from flows.config.model import Config, format_duration
from flows.metrics.cells import Metric
from flows.metrics.charts import ChartRow, Course, Line
from flows.metrics.formulas import share_of
from flows.metrics.rows import Formula, Within

REFERRAL_SHARE = Metric(
    "referral_share",
    "Of the new users of the window, the share whose first event came by a link on another site.",
    "ratio",
    "Acquisition",
    "new_users_by_referral_ratio",
)
PAID_SHARE = Metric(
    "paid_share",
    "Of the new users of the window, the share whose first event came by an ad.",
    "ratio",
    "Acquisition",
    "new_users_by_ads_ratio",
)


def shares_of(config: Config) -> list[Formula]:
    """Shares of new users, by the first computed breakdown of users."""
    found = _computed(config, "users")
    if found is None:
        return []
    name, breakdown = found
    paid = [Within("users.new", name, value) for value in breakdown.values if is_paid(value)]
    windows = config.long_windows
    return [
        Formula(REFERRAL_SHARE, ("users.new", Within("users.new", name, "referral")), share_of, windows=windows),
        Formula(PAID_SHARE, ("users.new", *paid), share_of, windows=windows),
    ]


def acquisition_charts(config: Config) -> list[ChartRow]:
    """By which way new users and sessions come, where computed breakdowns say so."""
    users, sessions = _computed(config, "users"), _computed(config, "sessions")
    if not config.long_windows or (users is None and sessions is None):
        return []
    charts = []
    if users is not None:
        name, _ = users
        charts += [
            Course(
                f"New users by {name.replace('_', ' ')}",
                "In the window, by the way that their first event came.",
                [Line("users.new", f"{{{{{name}}}}}", split=name)],
                width=8,
            ),
            Course(
                "New users by links and by ads",
                "Of the new users of the window, the shares that came by a link on another site and by an ad.",
                [Line("referral_share", "by links"), Line("paid_share", "by ads")],
                width=8,
            ),
        ]
    if sessions is not None:
        name, _ = sessions
        charts.append(
            Course(
                f"Sessions by {name.replace('_', ' ')}",
                "Begun in the window.",
                [Line("sessions.started", f"{{{{{name}}}}}", split=name)],
                width=8,
            )
        )
    window = format_duration(config.long_windows[-1])
    return [ChartRow("Where users come from", charts, {"window": window}, "Acquisition")]


def _computed(config: Config, family: str) -> tuple[str, Breakdown] | None:
    """The first computed breakdown of a family, and its name."""
    breakdowns = config.breakdowns.items()
    return next(((name, one) for name, one in breakdowns if one.computed and family in one.of), None)
