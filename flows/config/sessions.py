"""The part of the user's file that says what a session is."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, field_validator

from flows.config.checks import each_once
from flows.config.fields import Between, DurationMs, Section


class Engaged(Section):
    """Any of these makes a session engaged; `null` turns a rule off."""

    longer_than: Annotated[DurationMs, AfterValidator(Between("0s", "24h"))] | None = 10_000
    """The session has lasted longer than this."""
    views: Annotated[int, Field(ge=1, le=100)] | None = 2
    """The session has at least this many events of type `page` or `screen`."""
    key_actions: Annotated[int, Field(ge=1, le=100)] | None = 1
    """The session has at least this many key actions."""


Bounce = Literal["engaged", "single_event", "single_view", "no_interaction"]
"""By what a session is no bounce, or which sessions are: the definitions of other tools are in flows/BOUNCE.md."""


class Sessions(Section):
    """When a session ends, and when it counts as bounced."""

    timeout: Annotated[DurationMs, AfterValidator(Between("1s", "24h"))] = 30 * 60_000
    """A session ends if the user's next event comes later than this after the last."""
    max_duration: Annotated[DurationMs, AfterValidator(Between("1s", "30d"))] = 24 * 3_600_000
    """The longest a session can be; at least the timeout."""
    engaged: Engaged = Engaged()
    bounce: Bounce = "engaged"
    """Which closed sessions bounced. `engaged`: those that were not; `single_event`: those of one event; `single_view`:
    those of at most one page or screen; `no_interaction`: those with less than two of these, and no `track` event
    except such with `properties.interactive: false`."""
    definitions: tuple[Bounce, ...] = Field((), max_length=len(get_args(Bounce)))
    """Definitions of a bounce to count besides, for comparisons with other tools."""

    _definitions_once = field_validator("definitions")(each_once)

    def asks_for(self, definition: Bounce) -> bool:
        """Whether sessions are judged by it."""
        return definition in (self.bounce, *self.definitions)
