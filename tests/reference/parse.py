"""From the bytes of one record to an event, or to the reason why there is none (EVENTS.md, read strictly).

Checks are made in this order, and the first that fails gives the reason: empty, too_large, not_json,
not_an_object, then `type`, `event`, `userId`, `anonymousId`, `messageId`, `context`, `properties`, `traits`,
`timestamp`; then, if it carries one, the state of a subscription (states.py). Decisions where EVENTS.md leaves
room:

Bytes and JSON
* `empty`: no value, zero bytes, or nothing but JSON white space (space, tab, CR, LF), however long.
* `too_large`: more than 32 * 1024 bytes.
* `not_json`: not strictly UTF-8; a BOM; NaN, Infinity or -Infinity anywhere; anything that Python's strict
  `json` refuses anywhere in the record (raw control characters in strings, bad escapes, trailing text);
  arrays and objects nested more than 500 deep; a lone surrogate (`\\ud800`) in a decoded string: `type`,
  `event`, `userId`, `anonymousId`, `messageId`, `timestamp`, and the fields that breakdowns name. Elsewhere
  it does no harm.
* Numbers are kept as their text: 1e400, 2^64 and integers of thousands of digits are valid JSON.
* Of duplicate keys the last wins, and only it is looked at.

Fields
* null counts as missing for every field but `type`, where it is a bad_type. `type` is one of the six names
  exactly.
* `event` is checked whenever it is there, whatever the type: a string of 1..200 characters (code points)
  without NUL, else bad_type. For `track` it must be there. Other types take their name from the type.
* `messageId`: string of 1..100 characters without NUL, else bad_type.
* `userId` that is there decides: not a string bad_type; empty, longer than 255, NUL or placeholder bad_id,
  however good `anonymousId` is. Placeholders are compared in lower case, not stripped.
* `anonymousId` beside a good `userId` must be a string (or null), but its content is not looked at. Without
  `userId` it obeys the same rules. Neither: missing_field.
* A `userId` and an `anonymousId` of the same text are the same user.
* `context`, `properties`, `traits`: object, else bad_type.

Time
* `timestamp` is a string or a number, else bad_type. Strings: RFC 3339, `T`, `t` or one space between date
  and time, fraction of any length cut to the ms, offset `Z`, `z`, `+hh:mm` or `-hh:mm` (00:00..23:59)
  required; second 60 is refused; a number in a string is refused. Numbers: exact decimal value of the text;
  >= 1e11 is ms, else seconds; cut to whole ms towards minus infinity. What cannot be read is bad_timestamp.
* The reference clock is the record timestamp (>= 0), else `receivedAt` when it can be read and lies in
  2000..2099, else there is none. An unreadable `receivedAt` is as if absent, and so is any beside a record
  timestamp.
* Absent `timestamp`: the reference clock; without one missing_field.
* Bounds, always: 2000-01-01 <= time < 2100-01-01, both at 00:00 UTC, for the time that is used in the end
  too. With a reference clock: up to 5 minutes ahead (inclusive) as it is; up to 24 hours ahead of the
  reference clock (inclusive) used at the reference time and clamped; beyond: bad_timestamp.

Excluded: valid in every respect (the state of a subscription is not looked at), and its name is listed in
`exclude.events`, or `context.bot` is true (the boolean).
"""

from __future__ import annotations

import json
import re
from typing import Any

from flows.config import Config
from tests.reference.fields import (
    PLACEHOLDERS,
    YEAR_2000_MS,
    YEAR_2100_MS,
    Number,
    RefusedError,
    cached_slug,
    instant,
    label,
    slugs,
)
from tests.reference.records import Event, Record, Rejection
from tests.reference.states import state_of

RECORD_BYTES = 32 * 1024
NESTING = 500
KINDS = ("track", "identify", "page", "screen", "group", "alias")
NAMES_OF_KINDS = {"page": "page_viewed", "screen": "screen_viewed"}
AHEAD_MS = 5 * 60_000
CLAMPED_AHEAD_MS = 24 * 3_600_000


def parse(record: Record, config: Config) -> Event | Rejection:
    """The event in `record`, or why there is none. Total: no bytes raise."""
    try:
        return _event(record, config)
    except RefusedError as refused:
        return refused.rejection


def _event(record: Record, config: Config) -> Event:
    value = record.value
    if value is None or not value.strip(b" \t\r\n"):
        raise RefusedError("empty", "$: nothing in it")
    if len(value) > RECORD_BYTES:
        raise RefusedError("too_large", f"$: {len(value)} bytes")
    document = _document(value)
    if not isinstance(document, dict):
        raise RefusedError("not_an_object", "$: expected object")
    values = {name: _lookup(document, breakdown.field) for name, breakdown in config.breakdowns.items()}
    decoded = ("type", "event", "userId", "anonymousId", "messageId", "timestamp")
    for text in (*(document.get(name) for name in decoded), *values.values()):
        if isinstance(text, str) and any("\ud800" <= character <= "\udfff" for character in text):
            raise RefusedError("not_json", "$: lone surrogate")

    kind = _kind(document)
    name = _text(document, "event", 200)
    if kind != "track":
        name = NAMES_OF_KINDS.get(kind, kind)
    elif name is None:
        raise RefusedError("missing_field", "$.event")
    user = _user(document)
    message = _text(document, "messageId", 100)
    for part in ("context", "properties", "traits"):
        if not isinstance(document.get(part), dict | None):
            raise RefusedError("bad_type", f"$.{part}: expected object")
    ts, clamped = _time(document, record.timestamp_ms)

    name = cached_slug(name)
    is_bot = config.exclude.bots and _lookup(document, "context.bot") is True
    excluded = is_bot or name in slugs(config.exclude.events)
    state = None
    if config.subscriptions is not None and kind == "track" and not excluded:
        state = state_of(document.get("properties") or {}, name, user, ts, config.subscriptions)
    return Event(
        kind=kind,
        name=name,
        user=user,
        message=message,
        ts=ts,
        clamped=clamped,
        excluded=excluded,
        values={name: label(found, config.breakdowns[name].values) for name, found in values.items()},
        partition=record.partition,
        offset=record.offset,
        state=state,
    )


def _document(value: bytes) -> Any:
    try:
        text = value.decode("utf-8", "strict")
        if text.count("[") + text.count("{") > NESTING and _nesting(text) > NESTING:
            raise RefusedError("not_json", "$: nested too deep")
        return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError("not_json", f"$: {type(error).__name__}") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _nesting(text: str) -> int:
    """How deep arrays and objects are nested at most; brackets inside strings are text."""
    deepest = depth = 0
    for bracket in re.findall(r"[\[\]{}]", re.sub(r'"(?:[^"\\]|\\.)*"', "", text, flags=re.DOTALL)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _kind(document: dict[str, Any]) -> str:
    if "type" not in document:
        raise RefusedError("missing_field", "$.type")
    kind = document["type"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise RefusedError("bad_type", "$.type: expected one of " + " ".join(KINDS))
    return kind


def _text(document: dict[str, Any], field: str, longest: int) -> str | None:
    value = document.get(field)
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= longest or "\0" in value:
        raise RefusedError("bad_type", f"$.{field}: expected a string of 1 to {longest} characters")
    return value


def _user(document: dict[str, Any]) -> str:
    """METRICS.md 2: "`user` = `userId` when present, else `anonymousId`"."""
    user, anonymous = document.get("userId"), document.get("anonymousId")
    if user is not None:
        _good_id("userId", user)
    if anonymous is not None and not isinstance(anonymous, str):
        raise RefusedError("bad_type", "$.anonymousId: expected string")
    if user is None and anonymous is not None:
        _good_id("anonymousId", anonymous)
        user = anonymous
    if user is None:
        raise RefusedError("missing_field", "$.userId, $.anonymousId")
    return str(user)


def _good_id(field: str, value: Any) -> None:
    if not isinstance(value, str):
        raise RefusedError("bad_type", f"$.{field}: expected string")
    if len(value) > 255 or "\0" in value or value.lower() in PLACEHOLDERS:
        raise RefusedError("bad_id", f"$.{field}")


def _time(document: dict[str, Any], record_timestamp_ms: int) -> tuple[int, bool]:
    """Event time, and whether it was replaced by the reference time."""
    reference = _reference(document, record_timestamp_ms)
    written = document.get("timestamp")
    if written is None:
        if reference is None:
            raise RefusedError("missing_field", "$.timestamp")
        ts, clamped = reference, False
    else:
        if not isinstance(written, str | Number):
            raise RefusedError("bad_type", "$.timestamp: expected string or number")
        read = instant(written)
        if read is None or not YEAR_2000_MS <= read < YEAR_2100_MS:
            raise RefusedError("bad_timestamp", "$.timestamp")
        ts, clamped = read, False
        if reference is not None and ts > reference + AHEAD_MS:
            if ts > reference + CLAMPED_AHEAD_MS:
                raise RefusedError("bad_timestamp", "$.timestamp: lies ahead")
            ts, clamped = reference, True
    if not YEAR_2000_MS <= ts < YEAR_2100_MS:
        raise RefusedError("bad_timestamp", "$.timestamp: the reference time is out of range")
    return ts, clamped


def _reference(document: dict[str, Any], record_timestamp_ms: int) -> int | None:
    """EVENTS.md: "the reference clock (the Kafka record timestamp; without one, `receivedAt`"."""
    if record_timestamp_ms >= 0:
        return record_timestamp_ms
    received = document.get("receivedAt")
    read = instant(received) if isinstance(received, str | Number) else None
    return read if read is not None and YEAR_2000_MS <= read < YEAR_2100_MS else None


def _lookup(document: dict[str, Any], path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    found: Any = document
    for part in path.split("."):
        if not isinstance(found, dict):
            return None
        found = found.get(part)
    return found
