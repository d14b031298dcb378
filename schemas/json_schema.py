"""The JSON Schema (draft 2020-12) of an event, for producers: `event.v1.schema.json` is its text.

It says what a schema can say about the envelope. What it cannot: the size in bytes, what is no JSON at all, a
day that its month does not have, and that a time may not lie ahead of the clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from schemas import event as rules
from schemas.json_text import MAX_NESTING

_NO_NUL = "^[^\\u0000]*$"


def _any_case(text: str) -> str:
    """A pattern of an ASCII text in any case."""
    return "".join(
        f"[{letter}{letter.upper()}]" if letter.isalpha() else f"\\{letter}" if letter in "[]{}" else letter
        for letter in text
    )


DECIMAL_TEXT: Final = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$", "maxLength": 50}
"""A decimal as text."""


def identity_schema() -> dict[str, Any]:
    """An id."""
    placeholders = "|".join(_any_case(text) for text in sorted(rules.PLACEHOLDERS))
    return {
        "type": ["string", "integer"],
        "maxLength": rules.ID_CHARACTERS,
        "pattern": f"^(?!({placeholders})$)[^\\u0000]+$",
        "not": {"enum": [0, -1]},
    }


def time_schema() -> dict[str, Any]:
    """A time."""
    return {
        "anyOf": [
            {
                "type": "string",
                "pattern": r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt ]"
                r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?"
                r"([Zz]| UTC|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)$",
            },
            {"type": "string", "pattern": r"^[1-9][0-9]{8,18}(\.[0-9]+)?$"},
            *(
                {"type": "number", "minimum": 946_684_800 * unit, "exclusiveMaximum": 4_102_444_800 * unit}
                for unit in (1, 10**3, 10**6, 10**9)
            ),
            {"type": "null"},
        ]
    }


def event_schema(carried: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The schema as a JSON value; `carried`: the schemas of the properties of track events, by their names."""
    identity, time = identity_schema(), time_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tidegauge event, version 1",
        "description": "One record of the event topic: Segment-compatible, UTF-8, at most 32 KiB, "
        f"nested at most {MAX_NESTING} deep.",
        "type": "object",
        "required": ["type"],
        "properties": {
            "type": {"enum": list(rules.TYPES), "description": "What kind of event it is."},
            "event": {"description": "The name of a track event; not looked at in events of another type."},
            "userId": {"type": ["string", "integer", "null"], "description": "The user, when known; may be empty."},
            "anonymousId": {
                "type": ["string", "integer", "null"],
                "description": "The visitor; counts without a userId.",
            },
            "messageId": {
                "type": ["string", "null"],
                "maxLength": rules.MESSAGE_ID_CHARACTERS,
                "pattern": _NO_NUL,
                "description": "Tells copies of the same event; without it an event is never a duplicate.",
            },
            "timestamp": time
            | {"description": "RFC 3339, or epoch s, ms, us or ns; without it originalTimestamp, else the record's."},
            "originalTimestamp": {"description": "As timestamp: when it was by the device's clock."},
            "sentAt": {"description": "As timestamp: when it was sent, by the device's clock."},
            "receivedAt": {
                "description": "As timestamp: when it was collected. Puts the device's clock right; the reference "
                "clock where records have no timestamp."
            },
            "context": {"type": ["object", "null"]},
            "properties": {"type": ["object", "null"]},
            "traits": {"type": ["object", "null"]},
        },
        "anyOf": [
            {"required": ["userId"], "properties": {"userId": identity}},
            {
                "required": ["anonymousId"],
                "properties": {"userId": {"enum": [None, ""]}, "anonymousId": identity},
            },
        ],
        "if": {"properties": {"type": {"const": "track"}}},
        "then": {
            "required": ["event"],
            "properties": {
                "event": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": rules.EVENT_NAME_CHARACTERS,
                    "pattern": _NO_NUL,
                }
            },
        },
        "allOf": [
            {
                "if": {
                    "properties": {"type": {"const": "track"}, "event": {"const": name}},
                    "required": ["event"],
                },
                "then": {
                    **({"required": ["properties"]} if properties["required"] else {}),
                    "properties": {"properties": properties},
                },
            }
            for name, properties in carried.items()
        ],
    }


def event_schema_text(carried: Mapping[str, dict[str, Any]]) -> str:
    """The content of `event.v1.schema.json`."""
    return json.dumps(event_schema(carried), indent=2, ensure_ascii=True) + "\n"
