"""The things that the reference hands around: a record as read, an event and what it says, and why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was read; `timestamp_ms` is Kafka's, -1 when unknown (a line of a file)."""

    value: bytes | None
    partition: int = 0
    offset: int = 0
    timestamp_ms: int = -1


class Told(Protocol):
    """What one event tells besides its name, user and time: a fact of one kind."""

    @property
    def key(self) -> str:
        """What it is about: two events that say the same of two keys are no copies of each other."""


@dataclass(frozen=True, slots=True)
class State:
    """What one event says of one subscription."""

    customer: str
    subscription: str
    status: str
    plan: str  # label: a listed plan, other or unknown
    mrr: int  # minor units; 0 unless active or past due
    effective_at: int  # ms UTC
    cancels: bool  # `cancel_at` is set
    sequence: int | None = None
    replaces: str | None = None  # the subscription of the same customer that it succeeds

    @property
    def key(self) -> str:
        return self.customer


@dataclass(slots=True)
class Event:
    """One valid event."""

    kind: str  # track, identify, page, screen, group or alias
    name: str  # slug of its name; page_viewed, screen_viewed, or the kind, where it has none of its own
    user: str
    message: str | None  # messageId
    ts: int  # event time, ms UTC
    reading: int  # the smaller of event time and reference clock: what moves the stream clock, ms UTC
    clamped: bool  # its timestamp lay ahead and was replaced by the reference time
    shows_presence: bool  # somebody was there
    values: Mapping[str, str]  # breakdown -> label
    carried: Mapping[str, str]  # field that the config looks at -> slug of its value, where it has one
    partition: int
    offset: int
    told: Mapping[str, Told] = field(default_factory=dict)  # by kind, when it carries facts


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A record that is left out and no error: `event` or `bot` by the config, `tombstone`, or a type of another use."""

    kind: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a record is no event: one of the closed set of reasons, and the field it is about."""

    reason: str
    message: str
