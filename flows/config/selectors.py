"""How the file chooses events: by name, or by name and what they carry; and which of them show a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator

from flows.config.event_codes import Condition, Selection
from flows.config.fields import EventName, EventNames, FieldPath, Section, Values
from flows.config.notation import slug


def _selector(value: Any) -> Any:
    """A name alone selects all events of that name."""
    return {"event": value} if isinstance(value, str | int | float) else value


def _selectors(value: Any) -> Any:
    """One selector is a list of one."""
    return (value,) if isinstance(value, str | int | float | dict) else value


class Selector(Section):
    """Events with one of these names and, optionally, with certain values."""

    event: EventNames
    """The event's name, or a list of alternatives. `identify`, `group` and `alias` are named by their type."""
    where: dict[FieldPath, Values] = Field({}, max_length=10)
    """The value that each field must have; a list matches any of its values."""

    @field_validator("where")
    @classmethod
    def _alphabetical(cls, fields: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return dict(sorted(fields.items()))

    def selection(self) -> Selection:
        """The slugs of its names, and what an event of such a name must carry besides."""
        conditions = tuple(Condition.of(field, values) for field, values in self.where.items())
        return frozenset(map(slug, self.event)), conditions


def stand_for(selectors: Sequence[Selector], word: str) -> bool:
    """Whether they are nothing but this word, which stands for more than the events of that name."""
    return len(selectors) == 1 and selectors[0].event == (word,) and not selectors[0].where


class StepSelector(Selector):
    """An alternative of a funnel's step; the first one names the step."""

    as_: EventName | None = Field(None, alias="as")
    """The step's name in cells and labels; without this key the first event's name."""


_NAME_SCHEMA: Final[dict[str, Any]] = {"type": "string", "minLength": 1, "maxLength": 200}
_VALUE_SCHEMA: Final[dict[str, Any]] = {"type": ["string", "number", "boolean"]}
_SECTION_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["event"],
    "additionalProperties": False,
    "properties": {
        "event": {"type": ["string", "array"], "items": {"type": "string"}},
        "where": {
            "type": "object",
            "additionalProperties": {"anyOf": [_VALUE_SCHEMA, {"type": "array", "items": _VALUE_SCHEMA}]},
        },
    },
}
_STEP_SECTION_SCHEMA: Final = _SECTION_SCHEMA | {"properties": _SECTION_SCHEMA["properties"] | {"as": _NAME_SCHEMA}}


def _one_or_a_list(section: dict[str, Any], **limits: int) -> WithJsonSchema:
    """The schema of a name, a `section`, or a list of both."""
    one = [_NAME_SCHEMA, section]
    return WithJsonSchema({"anyOf": [*one, {"type": "array", "items": {"anyOf": one}, **limits}]})


Selectors = Annotated[
    tuple[Annotated[Selector, BeforeValidator(_selector)], ...],
    BeforeValidator(_selectors),
    Field(max_length=1000),
    _one_or_a_list(_SECTION_SCHEMA),
]
"""Names of events, or `{event: name, where: {field: value}}`, alone or in a list."""
Events = Annotated[Selectors, Field(min_length=1)]
"""At least one selector."""
Step = Annotated[
    tuple[Annotated[StepSelector, BeforeValidator(_selector)], ...],
    BeforeValidator(_selectors),
    Field(min_length=1, max_length=50),
    _one_or_a_list(_STEP_SECTION_SCHEMA, minItems=1, maxItems=50),
]
"""As selectors; any of them is an event of the step."""


class Presence(Section):
    """Which events show that a user is present. Active users, sessions and lifecycle count only these."""

    except_: Selectors = Field(default=(), alias="except")
    """Events that show no presence: heartbeats, mails sent by a server."""
    only: Annotated[Selectors, Field(min_length=1)] | None = None
    """Only these events show presence. Without this key, all do except facts from servers (`Subscription Changed`)."""
    server: bool = True
    """Whether an event whose `channel` or `context.channel` is `server` shows presence."""
