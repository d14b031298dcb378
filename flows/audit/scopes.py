"""METRICS.md 5, "Breakdown scope": whose value counts, found by walking each user's sorted events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from flows.audit.cells import by_user
from flows.audit.parse import shared
from flows.audit.records import Event
from flows.config.model import Config

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
    for event in events:
        if event.shows_presence:
            first = first or event
            if event.kind in SESSION_KINDS:
                over = session and (
                    event.ts - session[1].ts > rules.timeout or event.ts - session[0].ts > rules.max_duration
                )
                session = [event if over or not session else session[0], event]
        open_session = session and event.ts <= session[1].ts + rules.timeout
        shown = {"event": event, "session": session[0] if open_session else event, "first": first or event}
        values = ((name, shown[breakdown.scope].values[name]) for name, breakdown in config.breakdowns.items())
        yield replace(event, values=shared(tuple(values)))
