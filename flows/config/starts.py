"""The parts of the user's file that follow a user from a start: milestones and retention."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, field_validator

from flows.config.fields import Between, DurationMs, Section
from flows.config.mistakes import Finding
from flows.config.selectors import Events, stand_for

FIRST_SEEN: Final = "first_seen"
"""In place of an event: a user's first one that shows presence."""


class Milestone(Section):
    """What users should reach once, soon after they have started: activation, a first order."""

    from_: Events = Field(alias="from")
    """The event with which a user starts; `first_seen`: the user's first event that shows presence."""
    to: Events
    """The event with which the user reaches it."""
    within: Annotated[DurationMs, AfterValidator(Between("1s", "90d"))]
    """The most time from one to the other, inclusive. Whoever takes longer has missed it."""

    @property
    def from_first_seen(self) -> bool:
        """Whether users start with their first event, whatever it is."""
        return stand_for(self.from_, FIRST_SEEN)


ANY: Final = "any"
"""In place of events: all that show presence."""


class Retention(Section):
    """How many users come back a given number of days after their start."""

    days: tuple[Annotated[int, Field(ge=1, le=90)], ...] = Field((1, 7, 30), min_length=1, max_length=12)
    """The days to look at: 1 is the day after that of the start."""
    mode: Literal["rolling", "calendar"] = "rolling"
    """`rolling`: days of 24 hours since the start. `calendar`: local dates in the product's `time_zone`."""
    start: Events = Field((FIRST_SEEN,), validate_default=True)
    """The event with which a user starts; `first_seen`: the user's first event that shows presence."""
    events: Events = Field((ANY,), validate_default=True)
    """The events that are a return; `any`: all that show presence."""

    @property
    def from_first_seen(self) -> bool:
        """Whether users start with their first event, whatever it is."""
        return stand_for(self.start, FIRST_SEEN)

    @property
    def any_returns(self) -> bool:
        """Whether every event that shows presence is a return."""
        return stand_for(self.events, ANY)

    @field_validator("days")
    @classmethod
    def _ascending(cls, days: tuple[int, ...]) -> tuple[int, ...]:
        twice = [Finding((place,), f"{day} is listed twice") for place, day in enumerate(days) if day in days[:place]]
        if twice:
            raise Finding.error(twice)
        return tuple(sorted(days))
