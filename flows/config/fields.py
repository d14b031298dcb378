"""What single fields of the file may hold, and what a section is: durations, names, values, paths to fields of events.

Durations are written `10s`, `5m`, `1h`, `30d` and held in integer milliseconds.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from flows.config.mistakes import closest
from flows.config.notation import DURATION_PATTERN, FIELD_PATTERN, format_duration, keys_of, parse_duration, slug

SLUG_PATTERN: Final = r"^[a-z0-9_]*[a-z0-9][a-z0-9_]*$"
LABEL_PATTERN: Final = r"^[a-z][a-z0-9_]*$"  # a Prometheus label

A_FIELD: Final = 'a field such as context.device.type, properties."Plan Type" or channel'
OBJECTS: Final = ("context", "properties", "traits")
"""Where most fields are."""
IDS: Final = ("userId", "anonymousId", "messageId")
"""Fields that are different in every event or user, so that nothing can be broken down by them."""

HOST_PATTERN: Final = r"^[\w-]+(\.[\w-]+)*$"
SOURCE_PATTERN: Final = r"^[^\s/:?#@]([^/:?#@]*[^\s/:?#@])?$"
CURRENCY_PATTERN: Final = r"^[A-Z]{3}$"


@dataclass(frozen=True, slots=True)
class Between:
    """Accepts a duration (ms) from `low` to `high`, inclusive."""

    low: str
    high: str

    def __call__(self, ms: int) -> int:
        if not parse_duration(self.low) <= ms <= parse_duration(self.high):
            raise ValueError(f"expected a duration from {self.low} to {self.high}")
        return ms


def written(value: Any) -> Any:
    """Text as it would be written in JSON: an unquoted `7` or `true` in a list of names is a name."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _alternatives(value: Any) -> Any:
    """One name or value is a list of one."""
    return (value,) if isinstance(value, str | int | float) else value


def _is_a_field(text: str) -> str:
    keys = keys_of(text)
    if keys is None or keys[0] == "$" or (len(keys) > 1 and keys[0] not in OBJECTS and closest(keys[0], OBJECTS)):
        raise ValueError(f"expected {A_FIELD}")
    if keys[0] in IDS:
        raise ValueError(f"expected another field: {keys[0]} says who it was, and is not published")
    if len(keys) == 1 and keys[0] in OBJECTS:
        raise ValueError(f"expected a field within {text}, such as {text}.plan")
    return text


DurationMs = Annotated[
    int,
    BeforeValidator(parse_duration),
    Field(ge=0),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["10s", "30m", "1h", "30d"]}),
]
"""Written `10s`, held in ms."""

WindowMs = Annotated[DurationMs, AfterValidator(Between("1m", "400d"))]
Slug = Annotated[str, BeforeValidator(written), Field(pattern=SLUG_PATTERN, max_length=64)]
Label = Annotated[str, BeforeValidator(written), Field(pattern=LABEL_PATTERN, max_length=64)]
EventName = Annotated[str, BeforeValidator(written), Field(min_length=1, max_length=200)]
Names = Annotated[tuple[EventName, ...], Field(max_length=1000)]
Value = Annotated[str, BeforeValidator(written), Field(min_length=1, max_length=100)]
Hosts = Annotated[
    tuple[Annotated[str, Field(pattern=HOST_PATTERN, max_length=253)], ...],
    BeforeValidator(_alternatives),
    Field(max_length=200),
]
"""Hosts such as `shop.example`: one, or a list."""
Sources = Annotated[
    tuple[Annotated[str, Field(pattern=SOURCE_PATTERN, max_length=253)], ...],
    BeforeValidator(_alternatives),
    Field(max_length=200),
]
"""Names of sources, and hosts: one, or a list."""
EventNames = Annotated[
    tuple[EventName, ...],
    BeforeValidator(_alternatives),
    Field(min_length=1, max_length=50),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": 200},
                {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1, "maxLength": 200},
                    "minItems": 1,
                    "maxItems": 50,
                },
            ]
        }
    ),
]
"""One event name, or a list of alternatives."""
FieldPath = Annotated[
    str,
    Field(max_length=200),
    AfterValidator(_is_a_field),
    WithJsonSchema({"type": "string", "pattern": FIELD_PATTERN, "maxLength": 200}),
]
"""The path to a value in an event: keys between dots, in double quotes where they hold more than letters."""
Values = Annotated[
    tuple[Value, ...],
    BeforeValidator(_alternatives),
    Field(min_length=1, max_length=100),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": ["string", "number", "boolean"]},
                {"type": "array", "items": {"type": ["string", "number", "boolean"]}, "minItems": 1, "maxItems": 100},
            ]
        }
    ),
]
"""One value, or a list of alternatives; compared as slugs of their JSON texts."""


class Section(BaseModel):
    """Strict and frozen: an unknown key is a mistake, not a wish; one without a value is as if absent."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, serialize_by_alias=True)

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_the_default(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        fields = {field.alias or name: field for name, field in cls.model_fields.items()}
        return {
            key: value
            for key, value in values.items()
            if value is not None or key not in fields or _admits_none(fields[key].annotation)
        }


class FactSection(Section):
    """A part of the file that measures what some events tell beyond their name, user and time: their facts."""

    shows_presence: ClassVar[bool] = True
    """Whether somebody was there when such an event came: bills show nobody."""

    events: dict[EventName, Any] = Field(min_length=1, max_length=50)
    """The events that carry the fact, each with what its name stands for."""

    def events_of_nobody(self) -> list[str]:
        """Those of its events that show nobody."""
        return [] if self.shows_presence else list(self.events)

    @field_validator("events")
    @classmethod
    def _events_in_order(cls, events: dict[str, Any]) -> dict[str, Any]:
        return dict(sorted(events.items()))

    def reading(self) -> dict[str, Any]:
        """How the fact is read: where that changes, it holds from then on, and what was read stays."""
        return {"events": {slug(name): stands_for for name, stands_for in self.events.items()}}


def _admits_none(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType) and types.NoneType in get_args(annotation)


def section_of(annotation: Any) -> type[Section] | None:
    """The Section that an annotation holds itself, as the values of a mapping, or beside None; else None."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := section_of(part))), None)
