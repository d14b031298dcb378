"""The reference's reading of single records: one line a rule of EVENTS.md."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.audit import Event, Record, Rejection
from flows.audit.parse import parse
from flows.audit.records import Exclusion
from flows.config.model import Config
from flows.messages.columns import REASONS
from schemas.event import EXCLUSIONS

CONFIG = Config.model_validate(
    {
        "exclude": {"events": ["Heartbeat", "screen viewed"]},
        "breakdowns": {"platform": {"field": "context.device.type", "values": ["Web", "true", "-1.50", "iOS App"]}},
    }
)
GOOD: dict[str, Any] = {"type": "page", "userId": "ana", "timestamp": "2026-03-02T09:00:00Z"}
NINE = 1_772_442_000_000  # 2026-03-02T09:00:00Z
HOUR = 3_600_000
RAW = b'{"type":"page","userId":"ana","timestamp":"2026-03-02T09:00:00Z"'  # to be continued


def read(value: bytes | None, timestamp_ms: int = -1) -> Event | Exclusion | Rejection:
    return parse(Record(value, 3, 14, timestamp_ms), CONFIG, NINE + 30 * 24 * HOUR)


def event(timestamp_ms: int = -1, **fields: Any) -> Event:
    found = read(json.dumps(GOOD | fields).encode(), timestamp_ms)
    assert isinstance(found, Event), found
    return found


def reason(value: bytes | None, timestamp_ms: int = -1) -> str | None:
    found = read(value, timestamp_ms)
    return found.reason if isinstance(found, Rejection) else None


def exclusion(**fields: Any) -> str | None:
    found = read(json.dumps(GOOD | fields).encode())
    return found.kind if isinstance(found, Exclusion) else None


def reason_with(timestamp_ms: int = -1, **fields: Any) -> str | None:
    return reason(json.dumps(GOOD | fields).encode(), timestamp_ms)


def reason_without(field: str, **fields: Any) -> str | None:
    return reason(json.dumps({name: value for name, value in (GOOD | fields).items() if name != field}).encode())


def test_a_good_event_is_read_whole() -> None:
    found = event(type="track", event="Order Completed!", messageId="m1", context={"device": {"type": "web"}})
    assert found == Event(
        kind="track",
        name="order_completed_",
        user="ana",
        message="m1",
        ts=NINE,
        reading=NINE,
        clamped=False,
        shows_presence=True,
        values={"platform": "web"},
        carried={},
        partition=3,
        offset=14,
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b" \r\n\t", "empty"),
        (b" " * 40_000, "empty"),
        (RAW + b"}" + b" " * (32 * 1024 - len(RAW) - 1), None),
        (RAW + b"}" + b" " * (32 * 1024 - len(RAW)), "too_large"),
        (b"\xff\xfe{}", "not_json"),
        (b"\xef\xbb\xbf" + RAW + b"}", "not_json"),
        (b"\x1f\x8b\x08\x00", "not_json"),
        (RAW, "not_json"),
        (RAW + b"}}", "not_json"),
        (RAW + b',"properties":{"x":NaN}}', "not_json"),
        (RAW + b',"properties":{"x":-Infinity}}', "not_json"),
        (RAW + b',"properties":{"x":1e400,"y":18446744073709551616}}', None),
        (RAW + b',"properties":{"x":' + b"7" * 4000 + b"}}", None),
        (RAW + b',"properties":{"x":' + b"7" * 20_000 + b"}}", None),
        (RAW + b',"properties":{"x":' + b"[" * 15_000 + b"]" * 15_000 + b"}}", "not_json"),
        (RAW + b',"properties":{"x":' + b"[" * 100 + b"]" * 100 + b"}}", None),
        (RAW + b',"properties":{"x":"' + b"[" * 15_000 + b'"}}', None),
        (b"[" * 30_000, "not_json"),
        (RAW + b',"userId":"\\ud800"}', "not_json"),
        (RAW + b',"anonymousId":"\\udc00"}', "not_json"),
        (RAW + b',"messageId":"a\\ud83d"}', "not_json"),
        (RAW + b',"messageId":"\\ud83d\\ude00"}', None),
        (RAW + b',"context":{"device":{"type":"\\ud800"}}}', "not_json"),
        (RAW + b',"properties":{"x":"\\ud800"}}', None),
        (RAW + b',"userId":5,"userId":"ben"}', None),
        (RAW + b',"userId":5.5}', "bad_type"),
        (b"5", "not_an_object"),
        (b"null", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"[{}]", "not_an_object"),
        (b"{}", "missing_field"),
    ],
)
def test_bytes_that_are_or_are_not_an_object(value: bytes | None, expected: str | None) -> None:
    assert reason(value) == expected


def test_type_is_one_of_the_six_names() -> None:
    assert reason_without("type") == "missing_field"
    bad: Any
    for bad in (None, 5, "TRACK", "", ["track"], {}):
        assert reason_with(type=bad) == "bad_type", bad
    for kind in ("identify", "page", "screen", "group", "alias"):
        assert reason_with(type=kind) is None


def test_an_event_is_named_by_its_slug_or_its_type() -> None:
    assert event(type="track", event="Product  Viewed").name == "product_viewed"
    assert event(type="page", event="Anything").name == "page_viewed"
    assert exclusion(type="screen") == "event"  # `screen viewed` is left out
    assert event(type="identify").name == "identify"
    assert reason_with(type="track") == "missing_field"
    assert reason_with(type="track", event=None) == "missing_field"
    for bad in (5, "", "x" * 201, "a\0b", ["x"]):
        assert reason_with(type="track", event=bad) == "bad_type", bad
        assert reason_with(type="page", event=bad) is None, bad  # nobody looks at it
    assert event(type="track", event="É" * 200).name == "é" * 200


def test_the_user_is_the_user_id_else_the_anonymous_id() -> None:
    assert event(anonymousId="a1").user == "ana"
    assert event(userId=None, anonymousId="a1").user == "a1"
    assert reason_without("userId") == "missing_field"
    assert reason_with(userId=None, anonymousId=None) == "missing_field"


def test_an_empty_id_is_as_if_absent_and_an_integer_is_its_digits() -> None:
    assert event(userId="", anonymousId="a1").user == "a1"
    assert reason_with(userId="", anonymousId="") == "missing_field"
    assert event(userId=4711).user == event(userId="4711").user == event(userId="", anonymousId=4711).user == "4711"
    assert event(userId="ana", anonymousId=5).user == "ana"
    assert event(userId=10**254).user == str(10**254)
    assert reason_with(userId=0) == reason_with(userId=-1) == reason_with(userId=10**255) == "bad_id"


@pytest.mark.parametrize("bad", ["NULL", "n/a", "-1", "{}", "00000000-0000-0000-0000-000000000000", "x" * 256, "a\0"])
def test_a_bad_id_is_refused(bad: str) -> None:
    assert reason_with(userId=bad) == "bad_id"
    assert reason_with(userId=bad, anonymousId="a1") == "bad_id"
    assert reason_with(userId=None, anonymousId=bad) == "bad_id"
    assert reason_with(anonymousId=bad) is None  # beside a good userId nobody asks


@pytest.mark.parametrize("bad", [1.5, 1e3, True, {}, ["ana"]])
def test_an_id_of_another_type_is_refused_wherever_it_stands(bad: Any) -> None:
    assert reason_with(userId=bad) == "bad_type"
    assert reason_with(userId=None, anonymousId=bad) == "bad_type"
    assert reason_with(anonymousId=bad) == "bad_type"


def test_optional_fields_have_their_types() -> None:
    assert event(messageId=None).message is None
    assert event(messageId="m" * 100).message == "m" * 100
    assert event(messageId="").message is None
    for bad in ("m" * 101, "\0", 5):
        assert reason_with(messageId=bad) == "bad_type", bad
    for part in ("context", "properties", "traits"):
        for value, expected in ((None, None), ({}, None), ([], "bad_type"), ("{}", "bad_type")):
            assert reason(json.dumps(GOOD | {part: value}).encode()) == expected


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("2026-03-02T09:00:00Z", NINE),
        ("2026-03-02t09:00:00z", NINE),
        ("2026-03-02 10:30:00+01:30", NINE),
        ("2026-03-01T23:00:00.1-10:00", NINE + 100),
        ("2026-03-02T09:00:00.1239999999999999999999Z", NINE + 123),
        (NINE, NINE),
        (NINE / 1000, NINE),
        (1772442000.0015, NINE + 1),
        (NINE + 0.9, NINE),
        ("2000-01-01T00:00:00Z", 946_684_800_000),
        (946_684_800, 946_684_800_000),
        ("2026-03-02T10:00:00+0100", NINE),
        ("2026-03-02T10:00:00+01", NINE),
        ("2026-03-02 09:00:00 UTC", NINE),
        ("1772442000", NINE),
        ("1772442000.5", NINE + 500),
        (NINE * 1000 + 999, NINE),
        (NINE * 10**6 + 999_999, NINE),
        (str(NINE * 10**6), NINE),
    ],
)
def test_times_that_are_read(written: Any, ms: int) -> None:
    assert event(timestamp=written).ts == ms


@pytest.mark.parametrize(
    "written",
    [
        *("", "yesterday", "2026-03-02", "2026-03-02T09:00:00", "2026-03-02T09:00Z", "2026-02-29T09:00:00Z"),
        *(
            "2026-03-02T24:00:00Z",
            "2016-12-31T23:59:60Z",
            "2026-03-02T09:00:00.Z",
            "2026-03-02T09:00:00+010",
        ),
        *(
            "2026-03-02T09:00:00+24:00",
            "2026-03-02T09:00:00+01:60",
            "٢٠٢٦-03-02T09:00:00Z",
            "0000-01-01T00:00:00Z",
        ),
        *(
            "0001-01-01T00:00:00Z",
            "1999-12-31T23:59:59.999Z",
            "9999-12-31T23:59:59-23:59",
            "2100-01-01T00:00:00Z",
        ),
        *("01772442000", -5, 0, 946_684_799.999, 4_102_444_800_000, 2**64, 99_999_999_999, 1e300),
    ],
)
def test_times_that_are_refused(written: Any) -> None:
    assert reason_with(timestamp=written) == "bad_timestamp"


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"1e-400", b"1e999999999999", b"9" * 4000])
def test_numbers_beyond_all_bounds_are_no_times(number: bytes) -> None:
    assert reason(RAW + b',"timestamp":' + number + b"}") == "bad_timestamp"


@pytest.mark.parametrize("bad", [True, {}, []])
def test_a_time_of_another_type_is_refused(bad: Any) -> None:
    assert reason_with(timestamp=bad) == "bad_type"


def test_without_a_timestamp_the_reference_clock_is_taken() -> None:
    assert event(NINE + 5, timestamp=None).ts == NINE + 5
    assert event(timestamp=None, receivedAt="2026-03-02T10:00:00Z").ts == NINE + HOUR
    assert event(NINE, timestamp=None, receivedAt="2026-03-02T10:00:00Z").ts == NINE
    assert reason_with(timestamp=None) == "bad_timestamp"
    assert reason_with(timestamp=None, receivedAt="soon") == "bad_timestamp"


# The device is 3 h slow: it was 06:00 there when it was 09:00.
#
#   on the device   originalTimestamp 05:59:50     sentAt 06:00
#   in truth                          08:59:50            09:00 = receivedAt


def test_a_devices_clock_is_put_right_by_when_it_sent_and_when_that_came_in() -> None:
    slow: dict[str, Any] = {"sentAt": NINE - 3 * HOUR, "receivedAt": NINE}
    early = NINE - 3 * HOUR - 10_000
    assert event(timestamp=None, originalTimestamp=early, **slow).ts == NINE - 10_000
    assert event(timestamp=early, **slow).ts == NINE - 10_000
    assert event(timestamp=early, originalTimestamp=early, **slow).ts == NINE - 10_000
    assert event(timestamp=NINE - 9_000, originalTimestamp=early, **slow).ts == NINE - 9_000  # a server has done it
    assert event(timestamp=early, originalTimestamp="long ago", **slow).ts == NINE - 10_000
    assert event(timestamp=early, sentAt=NINE - 3 * HOUR).ts == early  # nobody knows when it came in
    assert event(NINE, timestamp=early, sentAt=NINE - 3 * HOUR).ts == early
    assert event(NINE, timestamp=None, originalTimestamp=early, sentAt=NINE - 3 * HOUR).ts == NINE - 10_000
    assert event(NINE + 999, timestamp=None, originalTimestamp=early, **slow).ts == NINE - 10_000
    assert event(timestamp=NINE + 20 * 24 * HOUR, sentAt=NINE + 20 * 24 * HOUR + 5, receivedAt=NINE).ts == NINE - 5


@pytest.mark.parametrize(("apart_ms", "shift_ms"), [(60_000, 0), (60_001, 60_001), (-60_000, 0), (-60_001, -60_001)])
def test_a_clock_that_is_off_by_a_minute_or_less_is_left_alone(apart_ms: int, shift_ms: int) -> None:
    found = event(timestamp=None, originalTimestamp=NINE, sentAt=NINE, receivedAt=NINE + apart_ms)
    assert found.ts == NINE + shift_ms


def test_without_a_timestamp_the_original_one_is_the_time_by_the_same_rules() -> None:
    assert event(timestamp=None, originalTimestamp="2026-03-02T09:00:00Z").ts == NINE
    assert reason_with(timestamp=None, originalTimestamp="soon") == "bad_timestamp"
    assert reason_with(timestamp=None, originalTimestamp=True) == "bad_type"
    assert event(timestamp=NINE, originalTimestamp=True).ts == NINE


@pytest.mark.parametrize("no_clock", [-1, 0, 946_684_799_999, 4_102_444_800_000, NINE // 1000, NINE * 1000])
def test_a_record_timestamp_in_other_units_is_none(no_clock: int) -> None:
    assert event(no_clock, timestamp=NINE + 200 * 24 * HOUR).ts == NINE + 200 * 24 * HOUR
    assert event(no_clock, timestamp=None, receivedAt=NINE + 5).ts == NINE + 5
    assert reason_with(no_clock, timestamp=None) == "bad_timestamp"


def test_no_clock_is_more_than_a_day_ahead_of_the_machines() -> None:
    machine = NINE + 30 * 24 * HOUR  # as `read` has it
    assert event(machine + 24 * HOUR, timestamp=None).ts == machine + 24 * HOUR
    assert reason_with(machine + 24 * HOUR + 1, timestamp=None) == "bad_timestamp"
    assert event(machine + 24 * HOUR + 1, timestamp=None, receivedAt=NINE).ts == NINE
    assert reason_with(timestamp=None, receivedAt=machine + 24 * HOUR + 1) == "bad_timestamp"


def test_the_reading_is_the_smaller_of_time_and_reference_clock() -> None:
    assert event(NINE, timestamp=NINE + 60_000).reading == NINE
    assert event(NINE, timestamp=NINE - 60_000).reading == NINE - 60_000
    assert event(timestamp=NINE + 60_000, receivedAt=NINE).reading == NINE
    assert event(timestamp=NINE).reading == NINE
    assert event(NINE, timestamp=NINE + HOUR).reading == NINE


@pytest.mark.parametrize(
    ("ahead_ms", "ts", "clamped"),
    [
        (0, 0, False),
        (5 * 60_000, 5 * 60_000, False),
        (5 * 60_000 + 1, 0, True),
        (24 * HOUR, 0, True),
    ],
)
def test_a_time_ahead_of_the_reference_clock_is_clamped(ahead_ms: int, ts: int, clamped: bool) -> None:
    found = event(NINE, timestamp=NINE + ahead_ms)
    assert (found.ts - NINE, found.clamped) == (ts, clamped)
    found = event(timestamp=NINE + ahead_ms, receivedAt=NINE)
    assert (found.ts - NINE, found.clamped) == (ts, clamped)


def test_a_time_more_than_a_day_ahead_is_refused() -> None:
    assert reason_with(NINE, timestamp=NINE + 24 * HOUR + 1) == "bad_timestamp"
    assert reason_with(timestamp=NINE + 24 * HOUR + 1, receivedAt=NINE) == "bad_timestamp"
    assert event(timestamp=NINE + 24 * HOUR + 1, receivedAt={}).clamped is False  # no clock, no bound
    assert event(NINE, timestamp=NINE - 1000 * HOUR).ts == NINE - 1000 * HOUR


def test_the_first_mistake_in_order_gives_the_reason() -> None:
    wrong = {"type": "x", "event": 5, "userId": "null", "messageId": 5, "context": [], "timestamp": "?"}
    expected = ["bad_type", "bad_type", "bad_id", "bad_type", "bad_type", "bad_timestamp"]
    good = {
        "type": "track",
        "event": "x",
        "userId": "ana",
        "messageId": "m",
        "context": {},
        "timestamp": NINE,
    }
    for number, field in enumerate(wrong):
        found = read(json.dumps(dict(list(good.items())[:number]) | dict(list(wrong.items())[number:])).encode())
        assert isinstance(found, Rejection)
        assert (found.reason, found.message.split(":")[0]) == (expected[number], f"$.{field}")


@pytest.mark.parametrize(
    ("context", "label"),
    [
        ({}, "unknown"),
        ({"device": None}, "unknown"),
        ({"device": "web"}, "unknown"),
        ({"device": {"type": None}}, "unknown"),
        ({"device": {"type": ""}}, "unknown"),
        ({"device": {"type": "WEB"}}, "web"),
        ({"device": {"type": "ios app"}}, "ios_app"),
        ({"device": {"type": "ios"}}, "other"),
        ({"device": {"type": "unknown"}}, "other"),
        ({"device": {"type": True}}, "true"),
        ({"device": {"type": False}}, "other"),
        ({"device": {"type": ["web"]}}, "other"),
        ({"device": {"type": {}}}, "other"),
        ({"device": {"type": 1}}, "other"),
    ],
)
def test_a_breakdown_value_is_listed_or_other_or_unknown(context: Any, label: str) -> None:
    assert event(context=context).values == {"platform": label}


def test_a_number_as_a_breakdown_value_is_its_text() -> None:
    found = read(RAW + b',"context":{"device":{"type":-1.50}}}')
    assert isinstance(found, Event)
    assert found.values == {"platform": "_1_50"}


def test_excluded_are_listed_names_and_bots() -> None:
    assert exclusion(type="track", event="HEARTBEAT") == exclusion(type="screen") == "event"
    assert exclusion(type="page", event="Heartbeat") is None
    bots: list[dict[str, Any]] = [{"bot": True}, {"isBot": True}, {"bot": {}}, {"bot": {"name": "x"}, "isBot": False}]
    for context in bots:
        assert exclusion(context=context) == "bot", context
    others: list[dict[str, Any]] = [{"bot": "true"}, {"bot": 1}, {"bot": []}, {"isBot": "true"}, {"isBot": {}}]
    for context in others:
        assert exclusion(context=context) is None, context
    assert reason_with(type="track", event="Heartbeat", timestamp="?") == "bad_timestamp"


def test_tombstones_and_records_of_other_uses_are_excluded_whatever_else_they_are() -> None:
    for value in (None, b""):
        assert read(value) == Exclusion("tombstone")
    for kind in ("record", "extract", "merge", "audiencelist", "reset"):
        assert exclusion(type=kind, userId="null", timestamp="?") == kind


SELECTIVE = Config.model_validate(
    {
        "exclude": {
            "events": [{"event": ["Opened", "page_viewed"], "where": {"context.path": ["/healthz", 5], "ok": True}}],
            "bots": "user_agent",
        },
        "presence": {
            "except": ["Heartbeat", {"event": "Synced", "where": {'properties."by.what"': "Timer"}}],
            "server": False,
        },
        "subscriptions": {"currency": "EUR"},
    }
)


def selective(**fields: Any) -> Event | Exclusion | Rejection:
    return parse(Record(json.dumps(GOOD | {"type": "track"} | fields).encode()), SELECTIVE)


@pytest.mark.parametrize(
    ("fields", "excluded"),
    [
        ({"event": "Opened", "context": {"path": "/healthz"}, "ok": True}, True),
        ({"event": "opened", "context": {"path": "HEALTHZ/"}, "ok": "TRUE"}, False),
        ({"event": "opened", "context": {"path": "/HealthZ"}, "ok": "TRUE"}, True),
        ({"event": "Opened", "context": {"path": 5}, "ok": True}, True),
        ({"event": "Opened", "context": {"path": "5"}, "ok": True}, True),
        ({"event": "Opened", "context": {"path": "/healthz"}}, False),
        ({"event": "Opened", "context": {"path": ["/healthz"]}, "ok": True}, False),
        ({"event": "Closed", "context": {"path": "/healthz"}, "ok": True}, False),
        ({"type": "page", "context": {"path": "/healthz"}, "ok": True}, True),
        ({"event": "x", "context": {"userAgent": "Googlebot/2.1 (+http://www.google.com/bot.html)"}}, True),
        ({"event": "x", "context": {"userAgent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0"}}, False),
    ],
)
def test_a_selector_asks_for_a_name_and_all_its_values(fields: dict[str, Any], excluded: bool) -> None:
    assert isinstance(selective(**fields), Exclusion) == excluded


@pytest.mark.parametrize(
    ("fields", "shows"),
    [
        ({"event": "x"}, True),
        ({"event": "Heartbeat"}, False),
        ({"event": "Synced", "properties": {"by.what": "timer"}}, False),
        ({"event": "Synced", "properties": {"by": {"what": "timer"}}}, True),
        ({"event": "Synced"}, True),
        ({"event": "x", "channel": "server"}, False),
        ({"event": "x", "context": {"channel": "Server"}}, False),
        ({"event": "x", "channel": "web", "context": {"channel": 1}}, True),
        ({"type": "identify", "channel": "server"}, False),
    ],
)
def test_presence_is_shown_by_all_but_what_the_config_leaves_out(fields: dict[str, Any], shows: bool) -> None:
    found = selective(**fields)
    assert isinstance(found, Event)
    assert found.shows_presence == shows


def test_facts_from_servers_show_nobody_unless_only_says_so() -> None:
    state = {"subscription_id": "s", "status": "expired"}
    record = Record(json.dumps(GOOD | {"type": "track", "event": "Subscription Changed", "properties": state}).encode())
    other = Record(json.dumps(GOOD).encode())
    for presence, expected in (({}, (False, True)), ({"only": ["subscription changed"]}, (True, False))):
        config = Config.model_validate({"subscriptions": {"currency": "EUR"}, "presence": presence})
        found = [parse(one, config) for one in (record, other)]
        assert tuple(isinstance(one, Event) and one.shows_presence for one in found) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = (
    "type",
    "event",
    "userId",
    "anonymousId",
    "messageId",
    "timestamp",
    "originalTimestamp",
    "sentAt",
    "receivedAt",
    "context",
    "properties",
)


@settings(deadline=None)
@given(
    st.binary(max_size=200)
    | st.dictionaries(st.sampled_from(FIELDS), JSON).map(lambda changed: json.dumps(GOOD | changed).encode()),
    st.integers(-1, 5_000_000_000_000),
)
def test_any_bytes_give_an_event_or_a_reason(value: bytes, timestamp_ms: int) -> None:
    found = read(value, timestamp_ms)
    if isinstance(found, Rejection):
        assert found.reason in REASONS
    elif isinstance(found, Exclusion):
        assert found.kind in EXCLUSIONS
    else:
        assert found.reading <= found.ts
        assert 946_684_800_000 <= found.ts < 4_102_444_800_000
        assert found.user
