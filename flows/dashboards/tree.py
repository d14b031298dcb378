"""The metric tree: the number that matters most, what drives it (level 1), and what moves each driver (level 2).

A config that has a `tree` says which numbers these are, and their targets. Without one the tree is made from what is
measured. Where a product is paid for by subscription, the focus is MRR, which is customers times MRR per customer; else
it is the conversions of the first funnel, which are attempts times conversion; else active users.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from flows.dashboards.comparisons import compared
from flows.dashboards.drawn import panels_of
from flows.dashboards.page import COLUMNS, Gap, Page, Row, freshness
from flows.dashboards.panels import Query, Sized, course
from flows.dashboards.queries import A_WEEK, Numbers
from flows.dashboards.tiles import Good
from flows.metrics.charts import Target

UID = "tidegauge-tree"
ABOUT = (
    "**Where did a change come from?** The focus metric is at the top, its drivers are below it, and below each driver "
    "stands what moves it. Follow the coloured change to last week downwards."
)


@dataclass(frozen=True, slots=True)
class Node:
    """One number of the tree; `labels` chooses its series, `why` says how it bears on the number above."""

    metric: str
    title: str
    why: str
    labels: dict[str, str] = field(default_factory=dict)
    below: Sequence[Node] = ()
    good: Good | None = "up"  # the direction in which a change is good


def tree(numbers: Numbers) -> Page:
    """The page."""
    rows = [*_of_config(numbers)] or [*_of_what_is_measured(numbers)]
    return Page(
        UID,
        "Tidegauge: metric tree",
        "The focus metric, its drivers below it, and below each driver what moves it: where did a change come from?",
        [freshness(numbers, ABOUT), *rows],
    )


def _of_config(numbers: Numbers) -> Iterator[Row]:
    """A row for each level, a line for each node."""
    for row in numbers.rows:
        nodes = [chart for chart in row.charts if isinstance(chart, Target)]
        for level, of_level in groupby(nodes, key=lambda node: node.level):
            title = f"Level {level}: what drives it" if level else "Focus"
            yield Row(title, [*panels_of(numbers, replace(row, charts=[*of_level]))])


def _of_what_is_measured(numbers: Numbers) -> Iterator[Row]:
    root = focus(numbers)
    drivers = [node for node in root.below if node.metric in numbers]
    width = COLUMNS // len(drivers)
    levels = [[node for node in driver.below if node.metric in numbers] for driver in drivers]
    second = [
        _stat(numbers, level[line], width) if line < len(level) else Gap(width)
        for line in range(max(map(len, levels)))
        for level in levels
    ]
    yield Row(f"Focus: {root.title}", [*_focus(numbers, root)])
    yield Row("Level 1: what drives it", [_stat(numbers, node, width) for node in drivers])
    yield Row("Level 2: what moves the driver above", second)


def focus(numbers: Numbers) -> Node:
    """The tree of this config, from its root."""
    funnel = next(iter(numbers.config.funnels), None)
    converting = [_conversion(numbers, funnel)] if funnel else []
    if "mrr" in numbers:
        return Node(
            "mrr", "MRR", "Monthly recurring revenue = customers x MRR per customer.",
            below=[_customers(), _per_customer(), _users(), *converting],
        )  # fmt: skip
    if funnel:
        return Node(
            "funnel.<name>.converted", f"Conversions: {funnel}", "Attempts entered x conversion.",
            {"funnel": funnel}, [_attempts(numbers, funnel), *converting, _users(), _sessions()],
        )  # fmt: skip
    return Node("active_users", "Active users", "Distinct users in the window.", below=[_users(), _sessions()])


def _customers() -> Node:
    return Node(
        "customers.active", "Customers", "Customers who pay now.",
        below=[
            Node("customers.new", "New customers", "First payment in the window: adds customers."),
            Node("customers.churned", "Customers lost", "No payment any more: takes customers away.", good="down"),
            Node(
                "subscriptions.cancel_requested",
                "Cancellations requested",
                "Customers who will be lost, earlier.",
                good="down",
            ),
        ],
    )  # fmt: skip


def _per_customer() -> Node:
    return Node(
        "arpa", "MRR per customer", "MRR over customers who pay.",
        below=[
            Node("mrr.expansion", "Expansion", "Customers who pay more than before."),
            Node("mrr.contraction", "Contraction", "Customers who go on, and pay less.", good="down"),
            Node("mrr_churn_rate", "MRR churn", "Revenue lost over revenue at the window's start.", good="down"),
        ],
    )  # fmt: skip


def _users() -> Node:
    return Node(
        "users.alive", "Users alive", "Known users who have not churned: who can buy at all.",
        below=[
            Node("users.new", "New users", "Seen for the first time in the window."),
            Node("users.resurrected", "Users back", "Back after having churned."),
            Node("users.churned", "Users churned", "No event for longer than churn_after.", good="down"),
        ],
    )  # fmt: skip


def _sessions() -> Node:
    return Node(
        "sessions.started", "Sessions", "Visits that began in the window: each is a chance.",
        below=[
            Node("sessions_per_user", "Sessions per user", "How often who is active comes."),
            Node("bounce_rate_provisional", "Bounce", "Visits that lead nowhere.", good="down"),
            Node("session_duration_mean", "Session duration", "How long a visit holds."),
        ],
    )  # fmt: skip


def _attempts(numbers: Numbers, funnel: str) -> Node:
    first = numbers.values(["funnel.<name>.<nn_step>"], "step", {"funnel": funnel})[0]
    return Node(
        "funnel.<name>.<nn_step>", "Attempts", "Attempts entered in the window.", {"funnel": funnel, "step": first},
        [
            Node("active_users", "Active users", "Who could enter."),
            Node("funnel.<name>.in_progress", "Under way", "Entered, not yet decided.", {"funnel": funnel}, good=None),
            Node("funnel.<name>.dropped", "Dropped", "Ran out of time.", {"funnel": funnel}, good="down"),
        ],
    )  # fmt: skip


def _conversion(numbers: Numbers, funnel: str) -> Node:
    drop_off = "funnel.<name>.drop_off_<nn>"
    steps = numbers.values([drop_off], "step", {"funnel": funnel}) if drop_off in numbers else []
    return Node(
        "funnel.<name>.conversion_live", f"Conversion: {funnel}", "Kaplan-Meier estimate over attempts under way.",
        {"funnel": funnel},
        [
            Node(drop_off, f"Lost before {step[3:].replace('_', ' ')}", "Share lost between the steps.",
                 {"funnel": funnel, "step": step}, good="down")
            for step in steps[:3]
        ],
    )  # fmt: skip


def _stat(numbers: Numbers, node: Node, width: int) -> Sized:
    return compared(numbers, node.metric, node.title, node.why, good=node.good, width=width, where=node.labels)


def _focus(numbers: Numbers, root: Node) -> Iterator[Sized]:
    yield compared(numbers, root.metric, root.title, root.why, good=root.good, width=8, height=8, where=root.labels)
    yield course(
        f"{root.title}, and last week",
        root.why,
        numbers.unit(root.metric),
        Query(numbers.ask(root.metric, where=root.labels), "now"),
        Query(numbers.ask(root.metric, offset=A_WEEK, where=root.labels), "last week"),
        last_week=True,
        width=16,
    )
