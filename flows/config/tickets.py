"""The part of the file about the support's tickets: what can happen to one, and which events say so."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from pydantic import Field

from flows.config.fields import EventName, FactSection

Transition = Literal["created", "escalated", "resolved", "reopened"]
TRANSITIONS: Final = ("created", "escalated", "resolved", "reopened")
CREATED, ESCALATED, RESOLVED, REOPENED = range(4)
"""Their places in it."""
EVENTS: Final[dict[str, Transition]] = {
    "Ticket Created": "created",
    "Ticket Escalated": "escalated",
    "Ticket Resolved": "resolved",
    "Ticket Reopened": "reopened",
}


class Tickets(FactSection):
    """Tickets of the support: how many come, wait and grow serious, and how long they take."""

    shows_presence: ClassVar[bool] = False

    events: dict[EventName, Transition] = Field(dict(EVENTS), min_length=1, max_length=50)
    """Events about a ticket, each with what it says: `created`, `escalated`, `resolved` or `reopened`."""
