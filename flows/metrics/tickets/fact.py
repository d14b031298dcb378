"""The fact that tickets are computed from: what has happened to one."""

from __future__ import annotations

from typing import Final

from flows.config.tickets import TRANSITIONS
from flows.config.tickets import Tickets as Section
from flows.facts.fact import Fact
from flows.facts.fields import Key
from flows.facts.words import Named

TICKET: Final = "ticket"
"""The name of the fact."""


def ticket_fact(section: Section) -> Fact:
    """The fact as the config's section has it."""
    return Fact(
        TICKET,
        events=section.events,
        fields=(
            Named(column="what", words=TRANSITIONS),
            Key("ticket_id", needed=True, help="Which ticket; whoever sends the event."),
        ),
        late_counts=True,  # the family knows the order of each ticket
        help="What has happened to a ticket, where the config measures tickets.",
    )
