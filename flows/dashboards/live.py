"""The dashboard of the product itself: what is now, against last week, and where it comes from.

Known numbers have panels made for them. Whatever else the catalogue holds gets a plain panel in the row that its
catalogue entry names, so a new metric family is on the page by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from flows.dashboards.comparisons import by_breakdown, compared
from flows.dashboards.funnels import funnel_row
from flows.dashboards.page import Page, Row, freshness
from flows.dashboards.panels import Query, Sized, course, heat
from flows.dashboards.queries import A_WEEK, OF_PRODUCT, WINDOW, Numbers, rate
from flows.dashboards.subscriptions import churn, money
from flows.publish.prometheus import PREFIX

UID = "tidegauge-live"
WIDTH = 8  # of a panel that nobody designed
ABBREVIATIONS = {"mrr", "arr", "arpa"}


def live(numbers: Numbers) -> Page:
    """The page; every number that Prometheus has is on it."""
    rows: dict[str, list[Sized]] = {
        "Traffic": [*_traffic(numbers)],
        "Activity": [*_activity(numbers)],
        "Sessions": [*_sessions(numbers)],
        "Funnels": [],
        "Lifecycle": [*_lifecycle(numbers)],
        "Subscriptions": [*money(numbers), *churn(numbers)],
    }
    page = [freshness(), Row("Now", [*_now(numbers)])]
    funnels = [funnel_row(numbers, name) for name in numbers.config.funnels]
    for panel, title in _others(numbers):
        rows.setdefault(title, []).append(panel)
    for title, panels in rows.items():
        page += funnels if title == "Funnels" else []
        page += [Row(title, panels)] if panels else []
    return Page(
        UID,
        "Tidegauge: live product",
        "Who is active, which sessions run and bounce, where funnels leak, who churns, what the revenue is.",
        page,
    )


def _now(numbers: Numbers) -> Iterator[Sized]:
    yield compared(numbers, "active_users", "Active users", "Distinct users with an event in the window.")
    yield compared(numbers, "sessions.open", "Open sessions", "Sessions that have not closed.")
    yield compared(
        numbers,
        "bounce_rate_provisional",
        "Bounce, provisional",
        "Share not yet engaged of the sessions begun 5 to 15 minutes ago: half an hour ahead of the final rate.",
    )
    for funnel in numbers.config.funnels:
        yield compared(
            numbers,
            "funnel.<name>.conversion_live",
            f"Conversion: {funnel}",
            "Kaplan-Meier estimate over the attempts under way; hardly moved by surges of traffic.",
            where={"funnel": funnel},
        )
    yield compared(numbers, "users.new", "New users", "Users whose first event ever lies in the window.")
    if "mrr" in numbers:
        yield compared(numbers, "mrr", "MRR", "Monthly recurring revenue.")
        yield compared(numbers, "customers.churned", "Customers lost", "Customers who stopped paying in the window.")


def _traffic(numbers: Numbers) -> Iterator[Sized]:
    yield course(
        "Events per second",
        "Events counted, by name, as they are read. A stretch without any that is no quiet night is an outage.",
        "short",
        Query(rate("events_total", by="event"), "{{event}}"),
        stacked=True,
    )
    yield course(
        "Events in the window",
        "Accepted events of the chosen window, by name.",
        "short",
        Query(numbers.ask("events.<event>", by=("event",)), "{{event}}"),
    )


def _activity(numbers: Numbers) -> Iterator[Sized]:
    yield course(
        "Active users",
        "Distinct users with an event in the chosen window, and at the same time last week.",
        "short",
        Query(numbers.ask("active_users"), "now"),
        Query(numbers.ask("active_users", offset=A_WEEK), "last week"),
        last_week=True,
        width=8,
    )
    yield course(
        "Active users by window",
        "Distinct users of every window, on a logarithmic scale: a fall shows in the short ones first.",
        "short",
        Query(numbers.ask("active_users", by=(WINDOW,)), "{{window}}"),
        log=True,
        width=8,
    )
    yield from by_breakdown(numbers, "active_users", "Active users")
    yield compared(numbers, "active_users.day", "Active today", "Distinct users since midnight of the product.")
    yield compared(numbers, "stickiness", "Stickiness", "Users of the last day over users of the last 30 days.")


def _sessions(numbers: Numbers) -> Iterator[Sized]:
    yield course(
        "Sessions",
        "Sessions that began, closed, and closed without engagement in the window.",
        "short",
        Query(numbers.ask("sessions.started", "sessions.closed", "sessions.bounced", by=("state",)), "{{state}}"),
        width=8,
    )
    final = [Query(numbers.ask("bounce_rate"), "final")] if "bounce_rate" in numbers else []
    yield course(
        "Bounce",
        "Final: of the sessions closed in the window. Provisional: an upper bound half an hour earlier, for alerts.",
        "percentunit",
        Query(numbers.ask("bounce_rate_provisional"), "provisional"),
        *final,
        width=8,
    )
    yield from by_breakdown(numbers, "bounce_rate_provisional", "Bounce, provisional", width=8)
    buckets = f"rate({PREFIX}session_duration_seconds_bucket{{{OF_PRODUCT}}}[$__rate_interval])"
    yield heat(
        "Session durations",
        "Sessions that closed, by how long they lasted. Sessions of one event last 0 s.",
        f"sum by (le) ({buckets})",
    )
    if "session_duration_<quantile>" in numbers:
        yield course(
            "Session duration",
            "Quantiles and mean over the sessions closed in the window.",
            "s",
            Query(numbers.ask("session_duration_<quantile>", by=("q",)), "quantile {{q}}"),
            Query(numbers.ask("session_duration_mean"), "mean"),
        )


def _lifecycle(numbers: Numbers) -> Iterator[Sized]:
    yield course(
        "Users alive",
        "Known users who have not churned, and at the same time last week.",
        "short",
        Query(numbers.ask("users.alive"), "now"),
        Query(numbers.ask("users.alive", offset=A_WEEK), "last week"),
        last_week=True,
        width=8,
    )
    yield course(
        "Users who came and went",
        "In the window: seen for the first time, back after having churned, and churned.",
        "short",
        Query(numbers.ask("users.new", "users.resurrected", "users.churned", by=("transition",)), "{{transition}}"),
        width=8,
    )


def _others(numbers: Numbers) -> Iterator[tuple[Sized, str]]:
    """A plain panel, and its row, for each metric that no panel has asked for."""
    for metric in numbers.metrics():
        if metric.name in numbers.shown:
            continue
        kinds = numbers.kinds(metric.name)
        legend = " ".join(f"{{{{{kind}}}}}" for kind in kinds) or metric.name
        query = Query(numbers.ask(metric.name, by=kinds), legend)
        unit = numbers.unit(metric.name)
        yield course(_title(metric.name), metric.help, unit, query, width=WIDTH, height=6), metric.panel


def _title(name: str) -> str:
    """`mrr.moved_in` as `MRR moved in`."""
    first, *others = name.replace("<name>.", "").replace(".", " ").replace("_", " ").split(" ")
    return " ".join([first.upper() if first in ABBREVIATIONS else first.capitalize(), *others])
