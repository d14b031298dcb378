"""From the bytes of one record to an event, or to the reason why there is none (EVENTS.md, read strictly).

Checks are made in this order, and the first that fails gives the reason: empty, too_large, not_json,
not_an_object, then `type`, `event`, `userId`, `anonymousId`, `messageId`, `context`, `properties`, `traits`,
the times; then what it tells besides, such as the state of a subscription (told.py). Decisions where EVENTS.md leaves
room:

Bytes and JSON
* A tombstone is a record without a value or of zero bytes: excluded. `empty`: nothing but JSON white space
  (space, tab, CR, LF), however long.
* `too_large`: more than `limits.record_bytes`, 32 * 1024 unless the config says otherwise.
* `not_json`: not strictly UTF-8; a BOM; NaN, Infinity or -Infinity anywhere; anything that Python's strict
  `json` refuses anywhere in the record (raw control characters in strings, bad escapes, trailing text);
  arrays and objects nested more than 500 deep; a lone surrogate (`\\ud800`) in a decoded string: `type`,
  `event`, `userId`, `anonymousId`, `messageId`, `timestamp`, and the fields that the config names. Elsewhere
  it does no harm.
* Numbers are kept as their text: 1e400, 2^64 and integers of thousands of digits are valid JSON.
* Of duplicate keys the last wins, and only it is looked at.

Fields
* null counts as missing for every field but `type`, where it is a bad_type. `type` is one of the six names
  exactly; one of a few other uses of the same pipe is excluded before anything else of it is looked at.
* `event` must be there for `track`: a string of 1..200 characters (code points) without NUL, else bad_type.
  Other types take their name from the type, and nobody looks at their `event`.
* `messageId`: string of 1..100 characters without NUL, else bad_type; the empty string is as if absent.
* `userId` that is there decides: an integer is its digits, another number or anything but a string bad_type;
  longer than 255, NUL or placeholder bad_id, however good `anonymousId` is. Placeholders are compared in lower
  case, not stripped. The empty string is as if absent.
* `anonymousId` beside a good `userId` must be a string or an integer (or null), but its content is not looked
  at. Without `userId` it obeys the same rules. Neither: missing_field.
* A `userId` and an `anonymousId` of the same text are the same user.
* `context`, `properties`, `traits`: object, else bad_type.

Time
* `timestamp` is a string or a number, else bad_type. Strings: RFC 3339, `T`, `t` or one space between date
  and time, fraction of any length cut to the ms, offset `Z`, `z`, ` UTC`, `+hh:mm`, `+hhmm` or `+hh` (00:00 to
  23:59, or with `-`) required; second 60 is refused; or the digits of a number. Numbers: exact decimal value of
  the text; below 1e11 seconds, below 1e14 ms, below 1e17 us, else ns; cut to whole ms towards minus infinity;
  from 1e8 to below 9e18. What cannot be read is bad_timestamp. `originalTimestamp` obeys the same rules where it
  is used, which is where there is no `timestamp`.
* A record timestamp, or a `receivedAt` that can be read, is a clock when it lies in 2000..2099 and at most a
  day ahead of the machine's. The reference clock is the record timestamp, else `receivedAt`, else there is none.
* The device's clock. A time is the device's own when it is `originalTimestamp`, or a `timestamp` beside which
  no other `originalTimestamp` can be read (where a server has put it right, they differ). It is moved by
  `receivedAt - sentAt` when that is more than 60 s either way; where `receivedAt` is no clock, an
  `originalTimestamp` is moved by the reference clock - `sentAt`, and a `timestamp` is left alone.
* Neither: the reference clock; without one bad_timestamp.
* Bounds, always: 2000-01-01 <= time < 2100-01-01, both at 00:00 UTC. With a reference clock: up to 5 minutes
  ahead (inclusive) as it is; up to 24 hours ahead of the reference clock (inclusive) used at the reference time
  and clamped; beyond: bad_timestamp.
* The reading is the smaller of the time used and the reference clock; without one, the time used.

Excluded: valid in every respect (the state of a subscription is not looked at), and either a selector of
`exclude.events` matches, or it is a bot's: `context.bot` or `context.isBot` is true (the boolean), or
`context.bot` is an object; with `bots: user_agent` also if the list names its `context.userAgent`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from flows.audit.channels import computed, link_of
from flows.audit.fields import (
    PLACEHOLDERS,
    YEAR_2000_MS,
    YEAR_2100_MS,
    Number,
    RefusedError,
    cached_slug,
    instant,
    label,
    lookup,
)
from flows.audit.records import Event, Exclusion, Record, Rejection
from flows.audit.selectors import carried, is_bot, matches, selected_texts, shows_presence
from flows.audit.told import NOTHING, all_told
from flows.audit.top import shown_of, texts_of
from flows.config.model import Config

RECORD_BYTES = 32 * 1024
NESTING = 500
KINDS = ("track", "identify", "page", "screen", "group", "alias")
OTHER_USES = ("record", "extract", "merge", "audiencelist", "reset")
NAMES_OF_KINDS = {"page": "page_viewed", "screen": "screen_viewed"}
AHEAD_MS = 5 * 60_000
CLAMPED_AHEAD_MS = 24 * 3_600_000
DAY_MS = 86_400_000
SHIFTS_FROM_MS = 60_000


def parse(
    record: Record, config: Config, machine_ms: int | None = None, record_bytes: int = RECORD_BYTES
) -> Event | Exclusion | Rejection:
    """The event in `record`, or why there is none. Total: no bytes raise.

    `machine_ms`: the machine's clock; None: that of now. `record_bytes`: `limits.record_bytes`.
    """
    try:
        now_ms = time.time_ns() // 1_000_000 if machine_ms is None else machine_ms
        return _event(record, config, now_ms, record_bytes)
    except RefusedError as refused:
        return refused.rejection


def _event(record: Record, config: Config, machine_ms: int, record_bytes: int) -> Event | Exclusion:
    value = record.value
    if not value:
        return Exclusion("tombstone")
    if not value.strip(b" \t\r\n"):
        raise RefusedError("empty", "$: nothing in it")
    if len(value) > record_bytes:
        raise RefusedError("too_large", f"$: {len(value)} bytes")
    document = _document(value)
    if not isinstance(document, dict):
        raise RefusedError("not_an_object", "$: expected object")
    values = {name: lookup(document, one.field) for name, one in config.breakdowns.items() if one.field is not None}
    link = link_of(document) if len(values) < len(config.breakdowns) else {}
    decoded = ("type", "event", "userId", "anonymousId", "messageId", "timestamp")
    needed = (*values.values(), *link.values(), *selected_texts(document, config), *texts_of(document, config))
    for text in (*(document.get(name) for name in decoded), *needed):
        if isinstance(text, str) and any("\ud800" <= character <= "\udfff" for character in text):
            raise RefusedError("not_json", "$: lone surrogate")

    kind = _kind(document)
    if kind in OTHER_USES:
        return Exclusion(kind)
    name = _text(document, "event", 200) if kind == "track" else NAMES_OF_KINDS.get(kind, kind)
    if name is None:
        raise RefusedError("missing_field", "$.event")
    user = _user(document)
    message = None if document.get("messageId") == "" else _text(document, "messageId", 100)
    for part in ("context", "properties", "traits"):
        if not isinstance(document.get(part), dict | None):
            raise RefusedError("bad_type", f"$.{part}: expected object")
    reference = _reference(document, record.timestamp_ms, machine_ms)
    ts, clamped = _time(document, reference, machine_ms)

    name = cached_slug(name)
    if any(matches(selector, name, document) for selector in config.exclude.events):
        return Exclusion("event")
    if is_bot(document, config):
        return Exclusion("bot")
    told = all_told(document.get("properties") or {}, name, user, ts, config) if kind == "track" else NOTHING
    if config.top:
        told = told | shown_of(document, config) or NOTHING
    return Event(
        kind=kind,
        name=name,
        user=user,
        message=message,
        ts=ts,
        reading=ts if reference is None else min(ts, reference),
        clamped=clamped,
        shows_presence=shows_presence(document, name, config),
        values=shared(
            tuple(
                (name, label(values[name], one.values) if name in values else computed(link, one))
                for name, one in config.breakdowns.items()
            )
        ),
        carried=shared(tuple(carried(document, config).items())),
        partition=record.partition,
        offset=record.offset,
        told=told,
    )


@lru_cache(100_000)
def shared(labels: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """One mapping for all events with these labels: of millions they would be most of the memory."""
    return dict(labels)


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
    if not isinstance(kind, str) or kind not in (*KINDS, *OTHER_USES):
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
    """METRICS.md 2: "`user` = `userId` when present, else `anonymousId`"; EVENTS.md: "a string, or an integer (its
    digits)", "the empty string is the same as absent".
    """
    user, anonymous = (_id(document, field) for field in ("userId", "anonymousId"))
    if user is None and anonymous is None:
        raise RefusedError("missing_field", "$.userId, $.anonymousId")
    field, found = ("userId", user) if user is not None else ("anonymousId", str(anonymous))
    if len(found) > 255 or "\0" in found or found.lower() in PLACEHOLDERS:
        raise RefusedError("bad_id", f"$.{field}")
    return found


def _id(document: dict[str, Any], field: str) -> str | None:
    value = document.get(field)
    if isinstance(value, Number) and re.fullmatch("-?[0-9]+", value.text):
        return value.text
    if not isinstance(value, str | None):
        raise RefusedError("bad_type", f"$.{field}: expected a string or an integer")
    return value or None


def _time(document: dict[str, Any], reference: int | None, machine_ms: int) -> tuple[int, bool]:
    """Event time, and whether it was replaced by the reference time."""
    field = "timestamp" if document.get("timestamp") is not None else "originalTimestamp"
    written = document.get(field)
    if written is None:
        if reference is None:
            raise RefusedError("bad_timestamp", "$.timestamp")
        return reference, False
    if not isinstance(written, str | Number):
        raise RefusedError("bad_type", f"$.{field}: expected string or number")
    ts = instant(written)
    if ts is None:
        raise RefusedError("bad_timestamp", f"$.{field}")
    ts += _device_shift(document, field, ts, reference, machine_ms)
    if not YEAR_2000_MS <= ts < YEAR_2100_MS:
        raise RefusedError("bad_timestamp", f"$.{field}")
    if reference is None or ts <= reference + AHEAD_MS:
        return ts, False
    if ts > reference + CLAMPED_AHEAD_MS:
        raise RefusedError("bad_timestamp", f"$.{field}: lies ahead")
    return reference, True


def _device_shift(document: dict[str, Any], field: str, ts: int, reference: int | None, machine_ms: int) -> int:
    """How much later (ms) it was than the device's clock said; 0 for a time that is not the device's own."""
    sent, received = _instant(document, "sentAt"), _instant(document, "receivedAt")
    if field == "timestamp" and _instant(document, "originalTimestamp") not in (None, ts):
        return 0
    arrived = received if _is_clock(received, machine_ms) else None
    if arrived is None and field == "originalTimestamp":
        arrived = reference
    if sent is None or arrived is None or abs(arrived - sent) <= SHIFTS_FROM_MS:
        return 0
    return arrived - sent


def _reference(document: dict[str, Any], record_timestamp_ms: int, machine_ms: int) -> int | None:
    """EVENTS.md: "The reference clock is the Kafka record timestamp, else `receivedAt`; one before 2000, after 2099
    or more than a day ahead of the machine's clock is none".
    """
    clocks = (record_timestamp_ms, _instant(document, "receivedAt"))
    return next((clock for clock in clocks if _is_clock(clock, machine_ms)), None)


def _is_clock(time_ms: int | None, machine_ms: int) -> bool:
    return time_ms is not None and YEAR_2000_MS <= time_ms < YEAR_2100_MS and time_ms <= machine_ms + DAY_MS


def _instant(document: dict[str, Any], field: str) -> int | None:
    """A time that is of use when it can be read, and does no harm when it cannot."""
    written = document.get(field)
    return instant(written) if isinstance(written, str | Number) else None
