"""METRICS.md 5.11: tickets, by walking the transitions of each in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from flows.audit.cells import QUANTILES, Cells, cumulative, groups, long_windows, put_quantile, put_ratio, windows
from flows.audit.clock import Turn, ordered_window_holds
from flows.audit.fields import cached_slug
from flows.audit.properties import id_of, needed, refuse_lone_surrogates
from flows.config.model import UNKNOWN, Config

BOUNDS = (60, 300, 900, 3600, 21600, 86400, 259200, 604800, 1209600, 2592000)
FORGOTTEN_AFTER = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class Transition:
    """What one event says of one ticket."""

    ticket: str
    what: str  # created, escalated, resolved or reopened

    @property
    def key(self) -> str:
        return self.ticket


def transition_of(properties: dict[str, Any], name: str, user: str, ts: int, config: Config) -> Transition | None:
    """The transition that a `track` event of this name carries; None: it carries none. Raises RefusedError."""
    if config.tickets is None:
        return None
    events = {cached_slug(event): what for event, what in config.tickets.events.items()}
    if name not in events:
        return None
    ticket = needed("ticket_id", id_of(properties, "ticket_id"))
    refuse_lone_surrogates(ticket)
    return Transition(ticket, events[name])


@dataclass
class Happened:
    """One thing that counts, at its time, under the values of its ticket."""

    what: str
    at: int
    values: Mapping[str, str]
    needed: int = 0  # of a resolution of a known ticket: ms since the creation


@dataclass
class Ticket:
    """What is known of one ticket."""

    values: Mapping[str, str]
    known: bool = False
    open: bool = True  # "a ticket never seen before counts as open"
    escalated: bool = False
    created: int = 0
    last: int = 0


def ticket_cells(turns: Sequence[Turn], config: Config, watermark_ms: int) -> Cells:
    """METRICS.md 5.11. Derived numbers over active users are put by `put_per_thousand`."""
    if config.tickets is None:
        return {}
    happened, standing = all_that_happened(turns, config, watermark_ms)
    cells: Cells = {"tickets.evicted": 0}
    still_open = {suffix: len(tickets) for suffix, tickets in groups(standing, lambda t: t.values, config, "tickets")}
    for suffix, of_group in groups(happened, lambda one: one.values, config, "tickets"):
        cells[f"tickets.open{suffix}"] = still_open[suffix]
        for window_name, window in windows(config):
            at = f"{window_name}{suffix}"
            held = [one for one in of_group if ordered_window_holds(one.at, window, watermark_ms)]
            counts = Counter(one.what for one in held)
            for what in ("created", "escalated", "resolved", "reopened", "unknown", "created_escalated", "timed"):
                cells[f"tickets.{what}.{at}"] = counts[what]
            times = [one.needed for one in held if one.what == "timed"]
            buckets = cumulative(times, BOUNDS)
            cells[f"tickets.resolution_ms.{at}"] = sum(times)
            for bound, count in zip(BOUNDS, buckets, strict=True):
                cells[f"tickets.resolution_le_{bound}.{at}"] = count
            put_ratio(cells, f"resolution_mean.{at}", sum(times), len(times))
            for name, quantile in QUANTILES.items():
                put_quantile(cells, f"resolution_{name}.{at}", quantile, buckets, len(times), BOUNDS)
            put_ratio(cells, f"reopen_rate.{at}", counts["reopened"], counts["resolved"])
            if (window_name, window) in long_windows(config):
                put_ratio(cells, f"escalation_rate.{at}", counts["created_escalated"], counts["created"])
    return cells


def put_per_thousand(cells: Cells, config: Config) -> None:
    """METRICS.md 5.11: "`tickets_per_1000_active.<w>`"."""
    if config.tickets is not None:
        for window_name, _ in windows(config):
            users = int(cells[f"active_users.{window_name}"])
            if users:
                created = int(cells[f"tickets.created.{window_name}"])
                cells[f"tickets_per_1000_active.{window_name}"] = float(Fraction(1000 * created, users))


def all_that_happened(turns: Sequence[Turn], config: Config, watermark_ms: int) -> tuple[list[Happened], list[Ticket]]:
    """What counts, and the known tickets that are open.

    METRICS.md 5.11: "Repeated transitions count once: escalated the first time; resolved when it was open (a ticket
    never seen before counts as open); reopened when it was resolved. Created always opens. A ticket never seen created
    is under `unknown` in breakdowns; reopening one counts nowhere." "Resolved ones are forgotten more than 30 d later".
    METRICS.md 1, of what is late: "when its user (customer, ticket) has no event between".
    """
    unknown = dict.fromkeys(config.breakdowns, UNKNOWN)
    used = sorted(
        (turn for turn in turns if turn.used < watermark_ms),
        key=lambda turn: (turn.used, turn.event.partition, turn.event.offset),
    )
    tickets: dict[str, Ticket] = {}
    happened: list[Happened] = []
    for turn in used:
        at, said = turn.event.ts, turn.told
        assert isinstance(said, Transition)
        ticket = tickets.get(said.ticket)
        if ticket is not None and at < ticket.last:
            continue
        if ticket is None or (not ticket.open and at - ticket.last > FORGOTTEN_AFTER):
            ticket = tickets[said.ticket] = Ticket(unknown)
        ticket.last = at
        happened += of_one(ticket, said.what, at, turn.event.values)
    return happened, [ticket for ticket in tickets.values() if ticket.known and ticket.open]


def of_one(ticket: Ticket, what: str, at: int, values: Mapping[str, str]) -> Iterator[Happened]:
    """What counts of one transition, which changes the ticket."""
    if what == "created" and not (ticket.known and ticket.open):
        ticket.escalated = ticket.escalated and not ticket.known  # a known one begins anew
        ticket.known, ticket.open, ticket.created, ticket.values = True, True, at, values
        yield Happened("created", at, values)
        if ticket.escalated:
            yield Happened("created_escalated", at, values)
    elif what == "escalated" and not ticket.escalated:
        ticket.escalated = True
        yield Happened("escalated", at, ticket.values)
        if ticket.known:
            yield Happened("created_escalated", ticket.created, ticket.values)
        else:
            yield Happened("unknown", at, ticket.values)
    elif what == "resolved" and ticket.open:
        ticket.open = False
        yield Happened("resolved", at, ticket.values)
        if ticket.known:
            yield Happened("timed", at, ticket.values, needed=at - ticket.created)
        else:
            yield Happened("unknown", at, ticket.values)
    elif what == "reopened" and not ticket.open:
        ticket.open = True
        if ticket.known:
            yield Happened("reopened", at, ticket.values)
