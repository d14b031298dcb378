"""METRICS.md 5, "Breakdown scope": whose value counts, found by walking each user's sorted events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from flows.audit.cells import by_user
from flows.audit.clock import Turn
from flows.audit.parse import shared
from flows.audit.records import Event
from flows.config.model import Config

BROKEN_DOWN_AS = {
    **dict.fromkeys(("order", "order_refund", "order_cancellation"), "orders"),
    "survey": "surveys",
    "opinion": "feedback",
}
"""The name in a breakdown's `of`, by what is told of a user."""
NINETY_DAYS_MS = 90 * 86_400_000
SESSION_KINDS = ("track", "page", "screen")


def scoped(ordered: list[Event], config: Config) -> list[Event]:
    """The events as ordered families count them: under the values of their scopes, "that at the moment of use"."""
    if all(breakdown.scope == "event" for breakdown in config.breakdowns.values()):
        return ordered
    told = {
        (event.partition, event.offset): event
        for events in by_user(ordered).values()
        for event in _of_one_user(events, config)
    }
    return [told[event.partition, event.offset] for event in ordered]


def stamped(turns: Mapping[str, list[Turn]], ordered: list[Event], config: Config) -> dict[str, list[Turn]]:
    """What events tell, under the values that `scoped` gave these, of kinds that are broken down so: of a late one that
    is in order as soon as its event is used.
    """
    scoped_of = {family for one in config.breakdowns.values() if one.scope != "event" for family in one.of}
    used = {(event.partition, event.offset): event for event in ordered}
    found = {}
    for kind, some in turns.items():
        if BROKEN_DOWN_AS.get(kind) not in scoped_of:
            found[kind] = some
            continue
        found[kind] = [
            replace(turn, event=used.get((turn.event.partition, turn.event.offset), turn.event))
            for turn in some
            if (turn.event.partition, turn.event.offset) in used or not (turn.late and turn.in_order)
        ]
    return found


def _of_one_user(events: list[Event], config: Config) -> Iterator[Event]:
    """`session`: "the value of the first event of the session that is open for the user then; without one, its own".
    `first`: "the value of the user's first event on time that shows presence; before that its own".

    METRICS.md 3.3: "A session ends when the user's next event comes more than `timeout` after the last, or when that
    event would make it longer than `max_duration`. It closes at `last event + timeout`". Of two that are open, since
    one was cut by `max_duration`, it is the one that goes on.
    """
    rules = config.sessions
    first: Event | None = None
    session: list[Event] = []  # its first and its last event
    begun: list[Event] = []  # the first events of all sessions so far
    for event in events:
        if event.shows_presence:
            first = first or event
            if event.kind in SESSION_KINDS:
                over = session and (
                    event.ts - session[1].ts > rules.timeout or event.ts - session[0].ts > rules.max_duration
                )
                if over or not session:
                    begun.append(event)
                session = [event if over or not session else session[0], event]
        open_session = session and event.ts <= session[1].ts + rules.timeout
        shown = {"event": event, "session": session[0] if open_session else event, "first": first or event}
        values = {name: shown[breakdown.scope].values[name] for name, breakdown in config.breakdowns.items()}
        if open_session:
            values |= {name: _last_other(name, begun) for name in _looking_back(config) if values[name] == "direct"}
        yield replace(event, values=shared(tuple(values.items())))


def _looking_back(config: Config) -> list[str]:
    breakdowns = config.breakdowns.items()
    return [name for name, one in breakdowns if one.computed and one.scope == "session" and one.direct == "last"]


def _last_other(name: str, begun: list[Event]) -> str:
    """METRICS.md 5.7: "a session whose own channel is `direct` takes the user's last other one of at most 90 d ago; the
    last other channel is that of a session's own first event, 90 d from that session's start, and taking it does not
    renew it". The session at hand is the last of those that have begun.
    """
    others = [event for event in begun if event.values[name] != "direct"]
    if others and begun[-1].ts - others[-1].ts <= NINETY_DAYS_MS:
        return others[-1].values[name]
    return "direct"
