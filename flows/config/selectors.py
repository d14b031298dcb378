"""How the file chooses events: by name, or by name and what they carry; and which of them show a person."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator

from flows.config.event_codes import Condition, Selection
from flows.config.fields import FieldPath, Section, Step, Values
from flows.config.notation import slug


def _selector(value: Any) -> Any:
    """A name alone selects all events of that name."""
    return {"event": value} if isinstance(value, str | int | float) else value


def _selectors(value: Any) -> Any:
    """One selector is a list of one."""
    return (value,) if isinstance(value, str | int | float | dict) else value


class Selector(Section):
    """Some events: those of a name, or of one of several, or only those of them that carry certain values."""

    event: Step
    """The event's name, or a list of alternatives. `identify`, `group` and `alias` are named by their type."""
    where: dict[FieldPath, Values] = Field({}, max_length=10)
    """The values that fields must have, all of them; a list in place of a value: any of these."""

    @field_validator("where")
    @classmethod
    def _alphabetical(cls, fields: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return dict(sorted(fields.items()))

    def selection(self) -> Selection:
        """The slugs of its names, and what an event of such a name must carry besides."""
        conditions = tuple(Condition.of(field, values) for field, values in self.where.items())
        return frozenset(map(slug, self.event)), conditions


_SELECTOR_SCHEMA: Final = {
    "anyOf": [
        {"type": "string", "minLength": 1, "maxLength": 200},
        {
            "type": "object",
            "required": ["event"],
            "additionalProperties": False,
            "properties": {
                "event": {"type": ["string", "array"], "items": {"type": "string"}},
                "where": {
                    "type": "object",
                    "additionalProperties": {
                        "type": ["string", "number", "boolean", "array"],
                        "items": {"type": ["string", "number", "boolean"]},
                    },
                },
            },
        },
    ]
}
Selectors = Annotated[
    tuple[Annotated[Selector, BeforeValidator(_selector)], ...],
    BeforeValidator(_selectors),
    Field(max_length=1000),
    WithJsonSchema({"anyOf": [*_SELECTOR_SCHEMA["anyOf"], {"type": "array", "items": _SELECTOR_SCHEMA}]}),
]
"""Names of events, or `{event: name, where: {field: value}}`, alone or in a list."""


class Presence(Section):
    """Which events show that a person is there: for active users, sessions, and who is new, alive or churned."""

    except_: Selectors = Field(default=(), alias="except")
    """Events that show nobody: heartbeats, mails that a server has sent."""
    only: Annotated[Selectors, Field(min_length=1)] | None = None
    """Only these show somebody; without this key all do but facts from servers, such as `Subscription Changed`."""
    server: bool = True
    """Whether an event whose `channel` or `context.channel` is `server` shows somebody."""
