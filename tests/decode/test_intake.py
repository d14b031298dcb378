from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flows.config.limits import Limits
from flows.config.model import Config
from flows.decode.events import Decoder
from flows.decode.hashing import id_hash
from flows.decode.intake import Intake, user_of
from flows.messages.columns import EVENT, KINDS, NO_TIME, REASONS, Columns
from flows.messages.raw import Raw, Rejected
from schemas.event import EXCLUSIONS, Exclusion
from tests.services import DEADLINE_SECONDS
from tests.thorough import examples

NINE = 1_772_442_000_000  # 2026-03-02T09:00:00Z
MINUTE = 60_000
DAY = 86_400_000
CONFIG = Config.model_validate(
    {
        "key_actions": ["Order Completed"],
        "events": ["page viewed", "Identify"],
        "exclude": {
            "events": ["Heart Beat", "Screen Viewed", {"event": "Order Completed", "where": {"properties.test": True}}]
        },
        "presence": {"except": [{"event": "page viewed", "where": {"traits.a": ["b", 5]}}], "server": False},
        "breakdowns": {
            "device": {"field": "context.device.type", "values": ["Web", "iOS App"], "of": ["events"]},
            "plan": {"field": "properties.plan", "values": ["free", "true", "1.5", "pro"]},
        },
    }
)
VOCABULARY = CONFIG.vocabulary()
FIRST_CODES = CONFIG.codes.first.tolist()
OTHER_DEVICE, UNKNOWN_DEVICE = 2, 3
GOOD: dict[str, Any] = {
    "type": "track",
    "event": "Signed Up",
    "userId": "ana",
    "timestamp": "2026-03-02T09:00:00Z",
}


def record(**fields: Any) -> bytes:
    """The good event with other fields; `...` takes one away."""
    return json.dumps({name: field for name, field in (GOOD | fields).items() if field is not ...}).encode()


def poll(values: Sequence[bytes | None], record_ms: int | Sequence[int] = NINE, first_offset: int = 100) -> Raw:
    times = [record_ms] * len(values) if isinstance(record_ms, int) else list(record_ms)
    offsets = [first_offset + 2 * index for index in range(len(values))]
    return Raw.of("events", 3, 8, list(values), offsets, times, True, 17)


def intake_of(config: Config = CONFIG, *, live: bool = False) -> Intake:
    """On a machine on which it is a month later."""
    return Intake(config, Limits(), live=live, clock_ms=lambda: NINE + 30 * DAY)


def read(
    values: Sequence[bytes | None], record_ms: int | Sequence[int] = NINE, config: Config = CONFIG
) -> tuple[Columns, list[Rejected]]:
    columns, rejected = intake_of(config).read(poll(values, record_ms))
    assert columns.consumed == len(values) == len(columns.rows) + columns.rejected.sum() + columns.excluded.sum()
    assert columns.rejected.tolist() == [sum(one.reason == reason for one in rejected) for reason in REASONS]
    assert [one.offset for one in rejected] == sorted(one.offset for one in rejected)
    assert (np.diff(columns.rows["offset"]) > 0).all()
    return columns, rejected


def row(record_ms: int = NINE, **fields: Any) -> Any:
    columns, rejected = read([record(**fields)], record_ms)
    assert rejected == []
    return columns.rows[0]


def refusal(record_ms: int = NINE, **fields: Any) -> tuple[str, str]:
    columns, rejected = read([record(**fields)], record_ms)
    assert len(columns.rows) == 0
    return rejected[0].reason, rejected[0].message


def slow_rows(
    values: Sequence[bytes | None], record_ms: int | Sequence[int]
) -> tuple[NDArray[np.void], list[Rejected], list[int]]:
    """What the slow path alone makes of a poll."""
    intake, raw = intake_of(), poll(values, record_ms)
    outcomes = [intake._one(raw, index, NINE + 30 * DAY) for index in range(len(values))]
    rows = np.array([one for one in outcomes if isinstance(one, tuple)], EVENT)
    if len(rows):
        rows["clock"] = np.maximum.accumulate(rows["clock"])
    excluded = [sum(one == Exclusion(kind) for one in outcomes) for kind in EXCLUSIONS]
    return rows, [one for one in outcomes if isinstance(one, Rejected)], excluded


def test_a_row_is_the_event_in_numbers() -> None:
    columns, rejected = read(
        [
            record(
                messageId="m-1",
                event="Order Completed",
                context={"device": {"type": "ios-app"}},
                properties={"plan": "Pro"},
            )
        ]
    )
    expected = np.zeros(1, EVENT)
    expected[0] = (
        id_hash("ana"),
        id_hash("m-1"),
        NINE,
        NINE,
        100,
        1 | 3 << 8,
        3,
        FIRST_CODES[VOCABULARY.index("order_completed")],
        0,
        0,
    )
    assert columns.rows.dtype == EVENT
    assert columns.rows.tolist() == expected.tolist()
    assert rejected == []
    assert (columns.partition, columns.partitions, columns.consumed, columns.excluded.sum()) == (3, 8, 1, 0)
    assert (columns.clock_ms, columns.caught_up, columns.monotonic_ms) == (NINE, True, 17)


def test_an_empty_poll_has_no_rows_and_no_clock() -> None:
    columns, rejected = read([])
    assert (columns.rows.tolist(), columns.rows.dtype, columns.clock_ms, rejected) == ([], EVENT, NO_TIME, [])


def test_a_user_is_the_user_id_when_present_else_the_anonymous_id() -> None:
    assert row(userId="ana", anonymousId="visitor")["user"] == id_hash("ana")
    assert row(userId=None, anonymousId="visitor")["user"] == id_hash("visitor")
    assert row(userId=..., anonymousId="ana")["user"] == row(userId="ana")["user"]
    assert (user_of("a", "b"), user_of(None, "b"), user_of(None, None)) == ("a", "b", None)


def test_ids_in_any_script_are_hashed_by_their_text_however_they_are_written() -> None:
    for ascii_ in (True, False):
        value = json.dumps(GOOD | {"userId": "利用者 é", "messageId": "😀"}, ensure_ascii=ascii_).encode()
        rows = read([value])[0].rows
        assert (rows[0]["user"], rows[0]["message"]) == (id_hash("利用者 é"), id_hash("😀"))


def test_without_a_message_id_the_message_is_0() -> None:
    assert row()["message"] == row(messageId=None)["message"] == 0


@pytest.mark.parametrize("length", [1, 100])
@pytest.mark.parametrize("letter", ["m", "é"])
def test_lengths_are_counted_in_characters(length: int, letter: str) -> None:
    assert row(messageId=letter * length)["message"] == id_hash(letter * length)
    assert refusal(messageId=letter * 101)[0] == "bad_type"
    assert row(userId=letter * 255)["user"] == id_hash(letter * 255)
    assert refusal(userId=letter * 256)[0] == "bad_id"
    assert row(event=letter * 200)["code"] == 0
    assert refusal(event=letter * 201)[0] == "bad_type"


def test_every_type_has_its_kind_and_its_name() -> None:
    names = {"track": "signed_up", "page": "page_viewed", "screen": "screen_viewed"}
    config = Config.model_validate({"events": ["Signed Up", "page viewed", "screen viewed", *KINDS[1:]]})
    rows = read([record(type=kind) for kind in KINDS], config=config)[0].rows
    assert rows["kind"].tolist() == list(range(6))
    assert rows["code"].tolist() == [config.vocabulary().index(names.get(kind, kind)) for kind in KINDS]


def test_event_names_are_compared_as_slugs_and_unknown_ones_are_other() -> None:
    for name in ("Order Completed", "order_completed", "ORDER -- completed", "Order\u2028Completed"):
        assert row(event=name)["code"] == FIRST_CODES[VOCABULARY.index("order_completed")]
    for name in ("OrderCompleted", "Order Completed!", "a:b*{}\nc", "مرحبا", "🎉", "Other"):
        assert row(event=name)["code"] == 0
    page_viewed = FIRST_CODES[VOCABULARY.index("page_viewed")]
    assert row(event="Page Viewed")["code"] == row(type="page")["code"] == page_viewed


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        *(("free", 0), ("FREE", 0), ("true", 1), (True, 1), (1.5, 2), ("1.5", 2), ("1_5", 2), ("pro", 3)),
        *(
            ("gold", 4),
            (False, 4),
            (1, 4),
            (0, 4),
            ([], 4),
            ({"free": 1}, 4),
            ("🎉", 4),
            ("p" * 2000, 4),
            (" ", 4),
        ),
        *((None, 5), ("", 5), (..., 5)),
    ],
)
def test_breakdown_values_are_compared_as_slugs_then_other_then_unknown(plan: Any, code: int) -> None:
    properties = {} if plan is ... else {"plan": plan}
    assert row(properties=properties)["dims"] == UNKNOWN_DEVICE | code << 8


def test_a_breakdown_behind_what_is_no_object_is_unknown() -> None:
    for context in ({"device": "web"}, {"device": None}, {"device": ["web"]}, {}, None):
        assert row(context=context)["dims"] & 255 == UNKNOWN_DEVICE
    assert row(context={"device": {"type": {"a": 1}}})["dims"] & 255 == OTHER_DEVICE


def test_eight_breakdowns_fill_the_word() -> None:
    values = [f"v{index}" for index in range(200)]
    breakdowns = {f"b{index}": {"field": f"traits.t{index}", "values": values} for index in range(8)}
    config = Config.model_validate({"breakdowns": breakdowns})
    traits = {f"t{index}": f"v{199 - index}" for index in range(7)}
    rows = read([record(traits=traits)], config=config)[0].rows
    assert rows["dims"][0] == int.from_bytes(bytes([199, 198, 197, 196, 195, 194, 193, 201]), "little")


def test_two_breakdowns_may_read_one_field_even_that_of_bots() -> None:
    config = Config.model_validate(
        {
            "exclude": {"bots": False},
            "breakdowns": {
                "bot": {"field": "context.bot", "values": ["true"]},
                "human": {"field": "context.bot", "values": ["no", "false"]},
            },
        }
    )
    rows = read([record(context={"bot": bot}) for bot in (True, False, None)], config=config)[0].rows
    assert rows["dims"].tolist() == [0 | 2 << 8, 1 | 1 << 8, 2 | 3 << 8]


# Reference clock R, event time:
#
#   2000 ........ R ... R+5m ........ R+24h ........ 2100
#   | as it is           | clamped to R  | refused


@pytest.mark.parametrize(
    ("ahead_ms", "ts", "clamped"),
    [
        (-20 * 365 * DAY, NINE - 20 * 365 * DAY, 0),
        (0, NINE, 0),
        (5 * MINUTE, NINE + 5 * MINUTE, 0),
        (5 * MINUTE + 1, NINE, 1),
        (DAY, NINE, 1),
    ],
)
@pytest.mark.parametrize("clock", ["record", "receivedAt"])
def test_a_time_ahead_of_the_reference_clock_is_clamped_to_it(ahead_ms: int, ts: int, clamped: int, clock: str) -> None:
    if clock == "record":
        found = row(timestamp=NINE + ahead_ms, receivedAt="9999-01-01T00:00:00Z")
    else:
        found = row(-1, timestamp=NINE + ahead_ms, receivedAt="2026-03-02T09:00:00Z")
    assert (found["ts"], found["clamped"]) == (ts, clamped)


def test_a_time_more_than_a_day_ahead_is_refused() -> None:
    expected = ("bad_timestamp", "$.timestamp: more than a day ahead of the time of the record")
    assert refusal(timestamp=NINE + DAY + 1) == expected
    assert refusal(-1, timestamp=NINE + DAY + 1, receivedAt=NINE / 1000) == expected


def test_without_a_reference_clock_every_time_from_2000_to_2099_is_taken() -> None:
    assert row(-1, timestamp="2099-12-31T23:59:59.999Z")["ts"] == 4_102_444_799_999
    assert row(-1, timestamp="2000-01-01T00:00:00Z")["ts"] == 946_684_800_000
    assert refusal(-1, timestamp="2100-01-01T00:00:00Z") == (
        "bad_timestamp",
        "$.timestamp: beyond the year 2099",
    )
    assert refusal(-1, timestamp="1999-12-31T23:59:59.999Z") == (
        "bad_timestamp",
        "$.timestamp: before the year 2000",
    )


def test_without_a_timestamp_the_reference_clock_is_the_time() -> None:
    for absent in (None, ...):
        assert row(timestamp=absent, receivedAt=NINE + 1)["ts"] == NINE
        assert row(-1, timestamp=absent, receivedAt=NINE + 1)["ts"] == NINE + 1
        assert refusal(-1, timestamp=absent) == (
            "bad_timestamp",
            "$.timestamp: missing, and neither the record nor receivedAt has a time",
        )


def test_a_received_at_that_is_no_time_is_as_good_as_none() -> None:
    for received in ("soon", True, 5, "9999-01-01T00:00:00Z", 1e300):
        assert row(-1, receivedAt=received, timestamp="2050-01-01T00:00:00Z")["ts"] == 2_524_608_000_000
        assert row(-1, receivedAt=received, timestamp=NINE, sentAt=NINE)["ts"] == NINE
        assert refusal(-1, receivedAt=received, timestamp=None)[0] == "bad_timestamp"


@pytest.mark.parametrize(
    "no_clock", [2**63 - 1, NINE * 1000, NINE // 1000, 0, -5, 946_684_799_999, 4_102_444_800_000, NINE + 31 * DAY + 1]
)
def test_no_record_timestamp_moves_the_clock_out_of_its_bounds(no_clock: int) -> None:
    assert refusal(no_clock, timestamp=None)[0] == "bad_timestamp"
    assert refusal(no_clock, timestamp="2100-01-01T00:00:00Z")[0] == "bad_timestamp"
    assert (row(no_clock)["ts"], row(no_clock)["clock"]) == (NINE, NINE)
    found = row(no_clock, timestamp=NINE + MINUTE, receivedAt=NINE)
    assert (found["ts"], found["clock"]) == (NINE + MINUTE, NINE)
    assert row(no_clock, timestamp=NINE + DAY, receivedAt=NINE)["clamped"]


def test_a_fast_device_moves_the_clock_no_further_than_the_reference_clock() -> None:
    columns, _ = read([record(timestamp=NINE + 4 * MINUTE), record(timestamp=NINE + 1000)], [NINE, NINE + 2000])
    assert (columns.rows["ts"] - NINE).tolist() == [4 * MINUTE, 1000]
    assert (columns.rows["clock"] - NINE).tolist() == [0, 1000]
    assert columns.clock_ms == NINE + 1000


def test_a_live_job_bounds_what_has_no_reference_clock_by_the_machines() -> None:
    machine = NINE + 30 * DAY
    ahead = (0, 1000, 5 * MINUTE, 5 * MINUTE + 1, DAY, DAY + 1)
    values = [record(timestamp=machine + more) for more in ahead]
    columns, rejected = intake_of(live=True).read(poll(values, 0))
    assert (columns.rows["ts"] - machine).tolist() == [0, 1000, 5 * MINUTE, 0, 0]
    assert (columns.rows["clock"] - machine).tolist() == [0, 0, 0, 0, 0]
    assert columns.rows["clamped"].tolist() == [0, 0, 0, 1, 1]
    assert [one.reason for one in rejected] == ["bad_timestamp"]


def test_a_devices_clock_is_put_right_on_both_paths() -> None:
    slow: dict[str, Any] = {"sentAt": NINE - 3 * 60 * MINUTE, "receivedAt": NINE}
    early = NINE - 3 * 60 * MINUTE - 10_000
    fields: list[dict[str, Any]] = [
        {"timestamp": ..., "originalTimestamp": early},
        {"timestamp": early},
        {"timestamp": early, "originalTimestamp": early},
        {"timestamp": NINE - 10_000, "originalTimestamp": early},
    ]
    values = [record(**one, **slow) for one in fields]
    for record_ms in (-1, NINE + 999):
        columns, _ = read(values, record_ms)
        assert columns.rows["ts"].tolist() == [NINE - 10_000] * 4
        assert slow_rows(values, record_ms)[0].tolist() == columns.rows.tolist()


def test_excluded_events_are_counted_and_give_no_row() -> None:
    columns, rejected = read(
        [
            record(event="heart-beat"),
            record(type="screen"),
            record(context={"bot": True}),
            record(context={"bot": "true"}),
            record(context={"bot": 1}),
            record(context={"bot": True}, userId="null"),
            record(context={"bot": {"name": "x"}}),
            record(context={"isBot": True}),
            record(event="Order Completed", properties={"test": "TRUE"}),
            record(event="Order Completed", properties={"test": False}),
            None,
            record(type="record"),
            record(type="audiencelist", userId=...),
        ]
    )
    assert dict(zip(EXCLUSIONS, columns.excluded.tolist(), strict=True)) == {
        "event": 3, "bot": 3, "tombstone": 1, "record": 1, "extract": 0, "merge": 0, "audiencelist": 1, "reset": 0,
    }  # fmt: skip
    assert columns.rows["offset"].tolist() == [106, 108, 118]
    assert [one.reason for one in rejected] == ["bad_id"]


def test_known_crawlers_are_bots_where_the_config_says_so() -> None:
    config = Config.model_validate({"exclude": {"bots": "user_agent"}})
    crawler = "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"
    browser = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    values = [record(context={"userAgent": agent}) for agent in (crawler, browser, "", None, 5, crawler + "x" * 600)]
    columns, _ = read(values, config=config)
    assert columns.rows["offset"].tolist() == [102, 104, 106, 108]
    assert columns.excluded[EXCLUSIONS.index("bot")] == 2
    assert len(read(values)[0].rows) == 6


def test_what_a_record_meets_of_the_conditions_is_in_its_code() -> None:
    shows = CONFIG.shows_presence(CONFIG.codes)
    for fields, shown in (
        ({"type": "page"}, True),
        ({"type": "page", "traits": {"a": "B"}}, False),
        ({"type": "page", "traits": {"a": 5}}, False),
        ({"type": "page", "traits": {"a": 6}}, True),
        ({"event": "Page viewed", "traits": {"a": "5"}}, False),
        ({"event": "Another", "traits": {"a": "b"}}, True),
        ({"event": "Another", "channel": "server"}, False),
        ({"type": "identify", "context": {"channel": "SERVER"}}, False),
        ({"type": "page", "channel": "web", "context": {"channel": ["server"]}}, True),
    ):
        assert shows[row(**fields)["code"]] == shown, fields


def test_bots_are_kept_when_the_config_says_so() -> None:
    config = Config.model_validate({"exclude": {"bots": False}})
    assert len(read([record(context={"bot": True})], config=config)[0].rows) == 1


def test_the_clock_of_a_row_is_the_latest_time_up_to_it() -> None:
    #  ts     0   5   3  (x)  (bot 9)  7
    #  clock  0   5   5                7
    minutes: list[Any] = [0, 5, 3, None, 9, 7]
    values = [record(timestamp=NINE + minute * MINUTE) if minute is not None else b"x" for minute in minutes]
    values[4] = record(timestamp=NINE + 9 * MINUTE, context={"bot": True})
    columns, _ = read(values, NINE + 10 * MINUTE)
    assert ((columns.rows["ts"] - NINE) // MINUTE).tolist() == [0, 5, 3, 7]
    assert ((columns.rows["clock"] - NINE) // MINUTE).tolist() == [0, 5, 5, 7]
    assert columns.clock_ms == NINE + 7 * MINUTE


def test_a_rejected_record_says_what_where_and_keeps_its_bytes() -> None:
    _, rejected = read([record(), b"\xff\x00", b" \n", b"x" * 40_000], [NINE, NINE + 1, -1, 5])
    assert rejected == [
        Rejected("not_json", "$: not UTF-8 at byte 0", "events", 3, 102, NINE + 1, b"\xff\x00"),
        Rejected("empty", "nothing but white space", "events", 3, 104, -1, b" \n"),
        Rejected("too_large", "40000 bytes, the limit is 32768", "events", 3, 106, 5, b"x" * 32_768),
    ]


def test_a_record_of_exactly_the_limit_is_read() -> None:
    short = record(properties={"x": ""})
    values = [record(properties={"x": "x" * (32_768 + more - len(short))}) for more in (0, 1)]
    assert [len(value) for value in values] == [32_768, 32_769]
    columns, rejected = read(values)
    assert columns.rows["offset"].tolist() == [100]
    assert [one.reason for one in rejected] == ["too_large"]


def broken(text: bytes) -> bytes:
    return record()[:-1] + b', "x": ' + text + b"}"


BAD: dict[str, tuple[bytes | None, str]] = {
    "white space": (b" \n", "empty"),
    "not UTF-8": (broken(b'"\xff\xfe"'), "not_json"),
    "a raw surrogate": (broken(b'"\xed\xa0\x80"'), "not_json"),
    "a lone surrogate in a user id": (record(userId="a\ud800"), "not_json"),
    "a lone surrogate in an event name": (record(event="\udc00"), "not_json"),
    "a raw NUL": (broken(b'"\x00"'), "not_json"),
    "a NUL in an id": (record(userId="a\0"), "bad_id"),
    "a NUL in an event name": (record(event="a\0"), "bad_type"),
    "a byte order mark": (b"\xef\xbb\xbf" + record(), "not_json"),
    "NaN": (broken(b"NaN"), "not_json"),
    "Infinity": (broken(b"Infinity"), "not_json"),
    "-Infinity": (record(timestamp=float("-inf")), "not_json"),
    "1e400 as a time": (record()[:-1] + b', "timestamp": 1e400}', "bad_timestamp"),
    "4,000 digits as a time": (record(timestamp=10**3999), "bad_timestamp"),
    "2^64 as a time": (record(timestamp=2**64), "bad_timestamp"),
    "1e400 as an id": (record()[:-1] + b', "userId": 1e400}', "bad_type"),
    "4,000 digits as an id": (record(userId=10**3999), "bad_id"),
    "arrays 100,000 deep": (b"[" * 100_000 + b"]" * 100_000, "too_large"),
    "arrays 16,000 deep": (broken(b"[" * 16_000 + b"]" * 16_000), "not_json"),
    "objects 5,000 deep": (broken(b'{"a":' * 5_000 + b"1" + b"}" * 5_000), "not_json"),
    "a bare 5": (b"5", "not_an_object"),
    "a bare null": (b"null", "not_an_object"),
    "a 10 MB string": (broken(b'"' + b"x" * 10_000_000 + b'"'), "too_large"),
    "gzip": (gzip.compress(record(), mtime=0), "not_json"),
    "Avro": (b"\x00\x00\x00\x00\x07\x0cuser-1\x02\x10page", "not_json"),
    "an id that is a fraction": (record(userId=5.5), "bad_type"),
    "an id that is an object": (record(userId={"id": "ana"}), "bad_type"),
    "year 9999": (record(timestamp="9999-12-31T23:59:59Z"), "bad_timestamp"),
    "year 2262": (record(timestamp="2262-04-11T23:47:16.854Z"), "bad_timestamp"),
    "year 1": (record(timestamp="0001-01-01T00:00:00Z"), "bad_timestamp"),
    "a negative time": (record(timestamp=-1), "bad_timestamp"),
    "nanoseconds given a thousandfold": (record(timestamp=NINE * 10**9), "bad_timestamp"),
    "seconds given as a thousandth": (record(timestamp=NINE // 1_000_000), "bad_timestamp"),
    "half an event": (record()[:-5], "not_json"),
    "half an event that the next one completes": (record()[:-1] + b', "x": [', "not_json"),
    "two events": (record() + record(), "not_json"),
}
HARMLESS: dict[str, bytes] = {
    "1e400": broken(b"1e400"),
    "4,000 digits": broken(b"9" * 4000),
    "2^64": broken(b"18446744073709551616"),
    "duplicate keys": record()[:-1] + b', "userId": "ana", "userId": "ana"}',
    "a lone surrogate in a text that nobody needs": broken(b'"\\ud83d"'),
    "hostile event name": record(event="a:b*{}\n\u202e🎉"),
    "arrays 40 deep": broken(b"[" * 40 + b"]" * 40),
    "arrays 400 deep": broken(b"[" * 400 + b"]" * 400),
}
NEIGHBOURS = [record(userId=f"user-{index}", timestamp=NINE + index, messageId=f"m{index}") for index in range(6)]


@pytest.mark.parametrize("name", BAD)
def test_bad_input_alone_is_one_refusal_with_its_reason(name: str) -> None:
    value, reason = BAD[name]
    columns, rejected = read([value])
    assert [one.reason for one in rejected] == [reason]
    assert len(columns.rows) == 0
    assert columns.clock_ms == NO_TIME


@pytest.mark.parametrize("name", BAD)
def test_bad_input_leaves_its_neighbours_as_they_are(name: str) -> None:
    value, reason = BAD[name]
    columns, rejected = read([*NEIGHBOURS[:3], value, *NEIGHBOURS[3:]])
    assert [(one.reason, one.offset) for one in rejected] == [(reason, 106)]
    expected, _ = read(NEIGHBOURS)
    without_offsets = [field for field in EVENT.names or () if field != "offset"]
    assert columns.rows[without_offsets].tolist() == expected.rows[without_offsets].tolist()
    assert columns.rows["offset"].tolist() == [100, 102, 104, 108, 110, 112]
    assert columns.clock_ms == expected.clock_ms


@pytest.mark.parametrize("name", HARMLESS)
def test_what_only_looks_dangerous_is_read(name: str) -> None:
    columns, rejected = read([*NEIGHBOURS[:3], HARMLESS[name], *NEIGHBOURS[3:]])
    assert rejected == []
    assert columns.rows["user"][3] == id_hash("ana")
    assert columns.rows["ts"].tolist() == [NINE, NINE + 1, NINE + 2, NINE, NINE + 3, NINE + 4, NINE + 5]


def test_all_bad_input_at_once_is_accounted_for() -> None:
    values = [*(value for value, _ in BAD.values()), *HARMLESS.values()] * 3
    columns, rejected = read(values)
    assert len(columns.rows) == 3 * len(HARMLESS)
    assert [one.reason for one in rejected] == [reason for _, reason in BAD.values()] * 3


def test_200_000_distinct_event_names_do_not_grow_memory() -> None:
    intake = intake_of()
    named = record(event="@@", properties={"plan": "plan @@"}, context={"device": {"type": "web"}})
    last = record(event="Order Completed", properties={"plan": "pro"})
    polls = [
        poll([*(named.replace(b"@@", b"name %d" % index) for index in range(first, first + 10_000)), last])
        for first in range(0, 200_000, 10_000)
    ]

    def flood(raw: Raw) -> None:
        rows = intake.read(raw)[0].rows
        assert not rows["code"][:-1].any()
        assert set(rows["dims"][:-1].tolist()) == {0 | 4 << 8}
        assert rows["code"][-1] == FIRST_CODES[VOCABULARY.index("order_completed")]
        assert rows["dims"][-1] == UNKNOWN_DEVICE | 3 << 8

    for raw in polls[:-3]:
        flood(raw)
    tracemalloc.start()  # it is slow; 30,000 names kept would be megabytes
    try:
        for raw in polls[-3:]:
            flood(raw)
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


def test_ordinary_events_never_need_the_slow_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Decoder, value: bytes | None) -> None:
        raise AssertionError(f"the slow path was asked about {value!r}")

    monkeypatch.setattr(Decoder, "explain", refuse)
    read(
        [
            *NEIGHBOURS,
            record(userId=None, anonymousId="4711", timestamp=NINE / 1000 + 0.25, messageId=None),
            record(
                type="page",
                event=5,
                properties={"plan": "\u00e9 🎉", "title": "\u00e9 🎉"},
            ),
            json.dumps(GOOD | {"properties": {"plan": "é", "x": [1, {"a": None}]}}, ensure_ascii=False).encode(),
            json.dumps(GOOD | {"userId": "利用者の番号"}, ensure_ascii=False).encode(),
            json.dumps(GOOD | {"context": {"bot": True}}, indent=2).encode(),
            record(timestamp=..., event="Caf\u00e9"),
            record(userId="", anonymousId="visitor", messageId=""),
            record(userId=4711, anonymousId=12),
            record(timestamp=str(NINE), sentAt=NINE * 1000, receivedAt="2026-03-02T10:00:00+0100"),
            record(timestamp=..., originalTimestamp="2026-03-02 09:00:00 UTC"),
            record(type="record", userId=...),
            record(context={"bot": {"name": "x"}}),
        ]
    )
    read([record(receivedAt="2026-03-02T09:00:00.123+01:00")], -1)


TEXTS = st.sampled_from(
    [
        *("", "a", "null", "UNKNOWN", "un\u212anown", "-1", "0"),
        *("[]", "@@", "[}", "anonymouz", "undefined", "é" * 51),
        *("m" * 100, "m" * 101, "e" * 200, "e" * 201, "u" * 255),
        *("u" * 256, "é" * 128, "é" * 200, "a\0", 'a"b\\'),
        *("Order Completed", "heart beat", "track", "page", "Web", "pro", "true", "2026-03-02T09:00:00Z"),
        *("record", "merge", "audiencelist", "server", "b", "2026-03-02T06:00:00+0000", "1772442000000", "5"),
        *("2026-03-02T09:04:59.9999+00:00", "2026-03-03T08:59:59Z"),
        *("2026-03-04T09:00:00Z", "2026-03-02T09:00:60Z"),
        *("00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000001", "x\ud800"),
    ]
)
NUMBERS = st.sampled_from(
    [
        0,
        -1,
        5,
        1.5,
        NINE,
        NINE - 3 * 60 * MINUTE,
        NINE * 10**6,
        NINE / 1000,
        NINE + 0.75,
        NINE // 1000,
        10**11,
        10**11 - 1,
        2**64,
        10**400,
        1e15,
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["plan", "bot", "isBot", "type", "device", "test", "a", "channel"]), inner)
    ),
    max_leaves=3,
)
ALMOST_EVENTS = st.builds(
    lambda changes, order, ascii_, indent, tail: (
        json.dumps(
            dict(sorted((GOOD | changes).items(), key=lambda item: hash((item[0], order)))),
            ensure_ascii=ascii_,
            indent=indent,
        ).encode("utf-8", "surrogatepass")
        + tail
    ),
    st.dictionaries(
        st.sampled_from(
            [
                *(*GOOD, "anonymousId", "messageId", "receivedAt", "sentAt", "originalTimestamp"),
                *("context", "properties", "traits", "channel"),
            ]
        ),
        VALUES,
        max_size=4,
    ),
    st.integers(0, 5),
    st.booleans(),
    st.sampled_from([None, 1]),
    st.sampled_from([b"", b"", b"", b" ", b"\n", b"}", b"x", b"\x00"]),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An event with a few bytes put in, taken out or replaced."""
    data = bytearray(draw(ALMOST_EVENTS))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        new = st.sampled_from(b'"\\{}[],:019.eE+-tfnu \n\t\x00\x1f\x80\xc3\xa9\xff\xed'.decode("latin-1")).map(
            lambda text: text.encode("latin-1")
        )
        data[at : at + draw(st.integers(0, 2))] = draw(new | st.just(b""))
    return bytes(data)


RECORDS = st.lists(ALMOST_EVENTS | damaged() | st.none() | st.binary(max_size=20), max_size=12)
TIMES = st.sampled_from([-1, 0, NINE, NINE - DAY, NINE + DAY, NINE // 1000, NINE * 1000])


@examples(300)
@given(RECORDS, TIMES)
def test_the_fast_path_gives_the_rows_of_the_slow_one(values: list[bytes | None], record_ms: int) -> None:
    columns, rejected = read(values, record_ms)
    rows, refused, excluded = slow_rows(values, record_ms)
    assert columns.rows.tolist() == rows.tolist()
    assert rejected == refused
    assert columns.excluded.tolist() == excluded


@given(RECORDS, st.integers(0, 12))
def test_it_does_not_matter_how_a_stream_is_cut_into_polls(values: list[bytes | None], cut: int) -> None:
    intake = intake_of()
    whole, _ = read(values)
    first, _ = intake.read(poll(values[:cut]))
    second, _ = intake.read(poll(values[cut:], first_offset=100 + 2 * len(values[:cut])))
    fields = [field for field in EVENT.names or () if field != "clock"]  # that is the poll's own
    assert whole.rows[fields].tolist() == first.rows[fields].tolist() + second.rows[fields].tolist()


def test_a_poll_of_several_batches_is_read_in_order() -> None:
    order = random.Random(7)
    values: list[bytes | None] = [
        order.choice([record(userId=f"user-{index}", timestamp=NINE - index), b"broken", None]) for index in range(7000)
    ]
    columns, rejected = read(values)
    rows, refused, excluded = slow_rows(values, NINE)
    assert columns.rows.tolist() == rows.tolist()
    assert rejected == refused
    assert columns.excluded.tolist() == excluded


def test_without_the_compiler_the_rows_are_the_same() -> None:
    program = (
        "from tests.decode.test_intake import BAD, HARMLESS, NEIGHBOURS, read\n"
        "columns, rejected = read([*NEIGHBOURS, *HARMLESS.values(), *(value for value, _ in BAD.values())])\n"
        "print(columns.rows.tolist(), [one.message for one in rejected])\n"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "ignore"}
    plain = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_SECONDS,
    )
    columns, rejected = read([*NEIGHBOURS, *HARMLESS.values(), *(value for value, _ in BAD.values())])
    assert plain.stdout.strip() == f"{columns.rows.tolist()} {[one.message for one in rejected]}"


def test_a_config_that_does_not_fit_a_row_is_refused_at_the_start() -> None:
    values = {"values": ["a"]}
    breakdowns = {f"b{index}": values | {"field": f"traits.t{index}"} for index in range(9)}
    with pytest.raises(ValueError, match="at most 8"):
        Intake(Config.model_validate({"breakdowns": breakdowns}), Limits())
