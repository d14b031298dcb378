"""The JSON Schema (draft 2020-12) of an event, for producers: `event.v1.schema.json` is its text.

It says what a schema can say about the envelope. What it cannot: the size in bytes, what is no JSON at all, a
day that its month does not have, and that a time may not lie ahead of the clock.
"""

from __future__ import annotations

import json
from typing import Any

from schemas import event as rules
from schemas import subscription
from schemas.json_text import MAX_NESTING

_NO_NUL = "^[^\\u0000]*$"


def _any_case(text: str) -> str:
    """A pattern of an ASCII text in any case."""
    return "".join(
        f"[{letter}{letter.upper()}]" if letter.isalpha() else f"\\{letter}" if letter in "[]{}" else letter
        for letter in text
    )


def event_schema() -> dict[str, Any]:
    """The schema as a JSON value."""
    placeholders = "|".join(_any_case(text) for text in sorted(rules.PLACEHOLDERS))
    identity = {
        "type": ["string", "integer"],
        "maxLength": rules.ID_CHARACTERS,
        "pattern": f"^(?!({placeholders})$)[^\\u0000]+$",
        "not": {"enum": [0, -1]},
    }
    time = {
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
                    "properties": {"type": {"const": "track"}, "event": {"const": "Subscription Changed"}},
                    "required": ["event"],
                },
                "then": {
                    "required": ["properties"],
                    "properties": {"properties": _subscription_schema(identity, time)},
                },
            }
        ],
    }


def _subscription_schema(identity: dict[str, Any], time: dict[str, Any]) -> dict[str, Any]:
    """The properties of the event that carries the state of a subscription."""
    money = {
        "anyOf": [
            {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$", "maxLength": subscription.DIGITS},
            {"type": "number", "minimum": 0, "exclusiveMaximum": subscription.MAJOR_UNITS},
            {"type": "null"},
        ]
    }
    interval_count = {"type": ["integer", "null"], "minimum": 1, "maximum": subscription.INTERVAL_COUNT}
    quantity = {"type": ["integer", "null"], "minimum": 0, "maximum": subscription.QUANTITY}
    percent = {"anyOf": [money["anyOf"][0], {"type": "number", "minimum": 0, "maximum": 100}, {"type": "null"}]}
    item = {
        "type": "object",
        "required": ["amount", "interval"],
        "properties": {
            "plan": {},
            "amount": money,
            "interval": {"enum": list(subscription.MONTHS)},
            "interval_count": interval_count,
            "quantity": quantity,
        },
    }
    own_price = ["amount", "interval"]
    return {
        "type": "object",
        "description": "The whole state of one subscription, where the config measures subscriptions.",
        "required": ["subscription_id", "status"],
        "properties": {
            "subscription_id": identity,
            "customer_id": {"anyOf": [identity, {"type": "null"}], "description": "Default: the user."},
            "status": {"enum": [*subscription.STATUSES, *subscription.OTHER_SPELLINGS]},
            "plan": {"description": "Compared as a slug."},
            "amount": money | {"description": "Major units per interval and seat; read by its decimal digits."},
            "discount": money | {"description": "Major units per interval, off the whole."},
            "interval": {"enum": [*subscription.MONTHS, None]},
            "interval_count": interval_count,
            "quantity": quantity,
            "discount_percent": percent | {"description": "Off amount x quantity, or off the items, before discount."},
            "percent_off": percent | {"description": "Another name for discount_percent; send one of them."},
            "items": {
                "type": ["array", "null"],
                "maxItems": subscription.ITEMS,
                "items": item,
                "description": "Prices that are added up, in place of amount, interval, interval_count and quantity.",
            },
            "sequence": {
                "type": ["integer", "null"],
                "minimum": 0,
                "maximum": subscription.SEQUENCE,
                "description": "Orders the states of one subscription that have the same effective_at.",
            },
            "replaces": {
                "anyOf": [identity, {"type": "null"}],
                "description": "The subscription_id of the same customer that this one succeeds.",
            },
            "currency": {"type": ["string", "null"], "pattern": "^[A-Za-z]{3}$"},
            "effective_at": time
            | {"description": "From when on it is so; at most 400 days ahead. Default: timestamp."},
            "cancel_at": time | {"description": "When it will end, once its cancellation has been requested."},
        },
        "dependentSchemas": {
            "items": {
                "if": {"properties": {"items": {"type": "array", "minItems": 1}}},
                "then": {
                    "properties": {name: {"type": "null"} for name in (*own_price, "interval_count", "quantity")},
                },
            },
            "percent_off": {
                "if": {"properties": {"percent_off": {"not": {"type": "null"}}}},
                "then": {"properties": {"discount_percent": {"type": "null"}}},
            },
        },
        "if": {"properties": {"status": {"enum": list(subscription.PAYING)}}},
        "then": {
            "required": ["currency"],
            "properties": {
                "currency": {"not": {"type": "null"}},
                **{
                    name: {
                        "enum": [None, False, 0, "", [], {}, *subscription.PLAIN.get(name, ())],
                        "description": advice,
                    }
                    for name, advice in subscription.NOT_UNDERSTOOD.items()
                },
            },
            "anyOf": [
                {"required": own_price, "properties": {name: {"not": {"type": "null"}} for name in own_price}},
                {"required": ["items"], "properties": {"items": {"type": "array", "minItems": 1}}},
            ],
        },
    }


def event_schema_text() -> str:
    """The content of `event.v1.schema.json`."""
    return json.dumps(event_schema(), indent=2, ensure_ascii=True) + "\n"
