"""METRICS.md 5, "Breakdown scope": whose value counts, found anew for every event from all of its user before it."""

from __future__ import annotations

from dataclasses import replace

from flows.audit.cells import by_user
from flows.audit.records import Event
from flows.config.model import Config

SESSION_KINDS = ("track", "page", "screen")


def scoped(ordered: list[Event], config: Config) -> list[Event]:
    """The events as ordered families count them: under the values of their scopes, "that at the moment of use"."""
    scopes = {name: breakdown.scope for name, breakdown in config.breakdowns.items() if breakdown.scope != "event"}
    if not scopes:
        return ordered
    values: dict[tuple[int, int], dict[str, str]] = {}
    for events in by_user(ordered).values():
        for count, event in enumerate(events, 1):
            shown = {"session": first_of_open_session(events[:count], config), "first": first_ever(events[:count])}
            values[event.partition, event.offset] = {
                name: (shown[scope] or event).values[name] for name, scope in scopes.items()
            }
    return [replace(event, values={**event.values, **values[event.partition, event.offset]}) for event in ordered]


def first_of_open_session(events: list[Event], config: Config) -> Event | None:
    """ "The value of the first event of the session that is open for the user then": when the last of `events` happens.

    METRICS.md 3.3: "A session ends when the user's next event comes more than `timeout` after the last, or when that
    event would make it longer than `max_duration`. It closes at `last event + timeout`". Of two that are open, since
    one was cut by `max_duration`, it is the one that goes on.
    """
    rules = config.sessions
    session: list[Event] = []
    for event in events:
        if event.kind in SESSION_KINDS and event.shows_presence:
            if session and (event.ts - session[-1].ts > rules.timeout or event.ts - session[0].ts > rules.max_duration):
                session = []
            session.append(event)
    return session[0] if session and events[-1].ts <= session[-1].ts + rules.timeout else None


def first_ever(events: list[Event]) -> Event | None:
    """ "The value of the user's first event on time that shows presence"."""
    return next((event for event in events if event.shows_presence), None)
