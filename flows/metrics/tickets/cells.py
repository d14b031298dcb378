"""What is published of tickets, by name; what each number means is said at the head of the family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from flows.config.model import Config
from flows.config.tickets import TRANSITIONS
from flows.metrics.cells import Metric
from flows.metrics.formulas import per_thousand, ratio
from flows.metrics.frameworks import Headings
from flows.metrics.histograms import LONG_BOUNDS_S, Durations
from flows.metrics.rows import Block, Count, Formula

UNKNOWN, CREATED_ESCALATED, TIMED, RESOLUTION_MS, BUCKETS = range(len(TRANSITIONS), len(TRANSITIONS) + 5)
COUNTERS: Final = BUCKETS + len(LONG_BOUNDS_S)
"""Counters of a group: first one for each transition, then these."""

PANEL: Final = "Support"
FRAMEWORKS: Final[Mapping[str, Headings]] = {
    "ticket": Headings(None, "happiness", why="Support follows from use, at whatever stage of it."),
    "escalation_rate": Headings(None, "happiness", why="Support follows from use, at whatever stage of it."),
    "resolution": Headings(None, "task success", why="Support follows from use, at whatever stage of it."),
    "reopen_rate": Headings(None, "task success", why="Support follows from use, at whatever stage of it."),
}

MOVES: Final = {
    "created": Metric("tickets.created", "Tickets created in the window.", "tickets", PANEL, "window_tickets"),
    "escalated": Metric(
        "tickets.escalated", "Tickets escalated for the first time in the window.", "tickets", PANEL, "window_tickets"
    ),
    "resolved": Metric(
        "tickets.resolved", "Resolutions of open tickets in the window.", "tickets", PANEL, "window_tickets"
    ),
    "reopened": Metric(
        "tickets.reopened", "Resolved tickets that were reopened in the window.", "tickets", PANEL, "window_tickets"
    ),
}
OF_UNKNOWN = Metric(
    "tickets.unknown",
    "Escalations and resolutions in the window of tickets never seen created.",
    "transitions",
    PANEL,
    "window_tickets_unknown",
)
OPEN_TICKETS = Metric("tickets.open", "Tickets created and not resolved.", "tickets", PANEL, "tickets_open")
EVICTED = Metric(
    "tickets.evicted",
    "Tickets forgotten because of the limit tickets_per_shard, since the beginning.",
    "tickets",
    PANEL,
    "tickets_evicted",
)
ESCALATED_SINCE = Metric(
    "tickets.created_escalated",
    "Tickets created in the window that have been escalated by now.",
    "tickets",
    PANEL,
    "window_tickets_created_escalated",
)
TIMED_RESOLUTIONS = Metric(
    "tickets.timed", "Resolutions in the window of tickets seen created.", "resolutions", PANEL, "window_tickets_timed"
)
SUM = Metric("tickets.resolution_ms", "Sum of the times from creation to these resolutions.", "ms", PANEL)
BELOW = Metric(
    "tickets.resolution_le_<bound>", "Such resolutions within at most <bound> seconds.", "resolutions", PANEL
)
MEAN = Metric(
    "resolution_mean", "Mean time from creation to resolution.", "ms", PANEL, "resolution_mean_seconds", 0.001
)
QUANTILE = Metric(
    "resolution_<quantile>",
    "Quantile of the time from creation to resolution.",
    "ms",
    PANEL,
    "resolution_quantile_seconds",
    0.001,
)
ESCALATION_RATE = Metric(
    "escalation_rate",
    "Of the tickets created in the window, those escalated by now.",
    "ratio",
    PANEL,
    "ticket_escalation_ratio",
)
REOPEN_RATE = Metric("reopen_rate", "Reopened tickets per resolution.", "ratio", PANEL, "ticket_reopen_ratio")
PER_THOUSAND = Metric(
    "tickets_per_1000_active",
    "Tickets created per thousand active users.",
    "tickets",
    PANEL,
    "tickets_per_1000_active_users",
)
DURATIONS: Final = Durations(
    count="tickets.timed",
    sum_ms="tickets.resolution_ms",
    below="tickets.resolution_le_{}",
    below_metric=BELOW,
    mean=MEAN,
    quantile=QUANTILE,
    quantile_stem="resolution_{}",
    bounds_s=LONG_BOUNDS_S,
)


def blocks_of(config: Config, groups: Sequence[Mapping[str, str]]) -> list[Block]:
    """The vector of a shard, as `Tickets.read()` gives it."""
    windowed = [
        *(Count(metric, labels={"transition": transition}) for transition, metric in MOVES.items()),
        Count(OF_UNKNOWN),
        Count(ESCALATED_SINCE),
        Count(TIMED_RESOLUTIONS),
        Count(SUM),
        *DURATIONS.counts(),
    ]
    return [
        Block([Count(EVICTED)]),
        Block([Count(OPEN_TICKETS)], groups=groups),
        Block(windowed, config.windows, groups),
    ]


def formulas_of(config: Config) -> Iterator[Formula]:
    """Numbers derived from sums over shards."""
    yield Formula(ESCALATION_RATE, ("tickets.created_escalated", "tickets.created"), ratio, windows=config.long_windows)
    yield from DURATIONS.formulas(config.windows)
    yield Formula(REOPEN_RATE, ("tickets.reopened", "tickets.resolved"), ratio)
    yield Formula(PER_THOUSAND, ("tickets.created", "active_users"), per_thousand, total_only=True)
