"""What an event is: the fields of its envelope, the ids that are none, and its decoded form.

The rules in words, with examples, are in README.md beside this file.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

TYPES: Final = ("track", "identify", "page", "screen", "group", "alias")
"""The values of `type`."""

OTHER_USES: Final = ("record", "extract", "merge", "audiencelist", "reset")
"""Types of records that share a pipe with events without being any: of warehouses and audiences."""

EXCLUSIONS: Final = ("event", "bot", "tombstone", *OTHER_USES)
"""Why a record that is no error can be left out: by the config, as a bot's, without a value, or of another use."""

ENVELOPE: Final = (
    "type",
    "event",
    "userId",
    "anonymousId",
    "messageId",
    "timestamp",
    "receivedAt",
    "context",
    "properties",
    "traits",
    "context.bot",
    "context.isBot",
    "originalTimestamp",
    "sentAt",
)
"""The fields that are always read."""

TYPE_FIELD: Final = 1
EVENT_FIELD: Final = 2
USER_ID_FIELD: Final = 3
ANONYMOUS_ID_FIELD: Final = 4
MESSAGE_ID_FIELD: Final = 5
TIMESTAMP_FIELD: Final = 6
RECEIVED_AT_FIELD: Final = 7
CONTEXT_FIELD: Final = 8
PROPERTIES_FIELD: Final = 9
TRAITS_FIELD: Final = 10
BOT_FIELD: Final = 11
IS_BOT_FIELD: Final = 12
ORIGINAL_TIMESTAMP_FIELD: Final = 13
SENT_AT_FIELD: Final = 14
"""Their numbers in the scanner's output; 0 is the event itself."""

EVENT_NAME_CHARACTERS: Final = 200
ID_CHARACTERS: Final = 255
MESSAGE_ID_CHARACTERS: Final = 100

PLACEHOLDERS: Final = frozenset(
    [
        *("", "null", "nil", "none", "undefined", "unknown", "anonymous", "anon", "na", "n/a", "0", "-1"),
        *("true", "false", "[]", "{}", "00000000-0000-0000-0000-000000000000"),
    ]
)
"""What producers send when they know no id (in lower case). Taken as an id, each would be one enormous user.
"""


class Container(enum.Enum):
    """Stands for any object or array where a single value was looked for."""

    FOUND = "an object or array"


class Event(msgspec.Struct, frozen=True, gc=False):
    """One valid event: what of it is needed, typed."""

    type: str  # one of TYPES
    name: str | None  # for track: `event`; None for the other types
    user_id: str | None
    anonymous_id: str | None  # when user_id is None: a valid id; else whatever text was there
    message_id: str | None
    timestamp_ms: int | None  # None: the event has none
    original_timestamp_ms: int | None  # these three None: it has none, or none that can be read
    sent_at_ms: int | None
    received_at_ms: int | None
    bot: bool  # its collector says that it is a bot's
    values: tuple[str | Container | None, ...]
    """By the decoder's paths: strings as they are, other scalars as their JSON text; None: missing, null or
    empty.
    """


class Exclusion(msgspec.Struct, frozen=True, gc=False):
    """A record that is no event and no error."""

    kind: str  # one of EXCLUSIONS


class Problem(msgspec.Struct, frozen=True, gc=False):
    """Why a record is no valid event."""

    reason: str  # one of EVENTS.md's closed set
    message: str  # names the field and what was found: `$.userId: expected str, got int`
