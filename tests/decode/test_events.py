from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.decode.events import Decoder
from schemas.event import Container, Event, Exclusion, Problem
from schemas.json_text import MAX_NESTING

DECODER = Decoder((("properties", "plan"), ("context", "device", "type"), ("traits", "tags")), 4000)
GOOD: dict[str, Any] = {"type": "track", "event": "Signed Up", "userId": "ana"}
NINE = 1_772_442_000_000  # 2026-03-02T09:00:00Z


def explain(**fields: Any) -> Event | Exclusion | Problem:
    """Of the good event with other fields; `...` takes one away."""
    value = {name: field for name, field in (GOOD | fields).items() if field is not ...}
    return DECODER.explain(json.dumps(value).encode())


def event(**fields: Any) -> Event:
    outcome = explain(**fields)
    assert isinstance(outcome, Event), outcome
    return outcome


def test_an_event_is_read_whole() -> None:
    assert event(
        messageId="m-1",
        anonymousId="visitor",
        timestamp="2026-03-02T09:00:00Z",
        receivedAt=NINE + 1,
        context={"bot": True, "device": {"type": "ios"}},
        properties={"plan": 1.50},
        traits={"tags": ["a"]},
    ) == Event(
        type="track",
        name="Signed Up",
        user_id="ana",
        anonymous_id="visitor",
        message_id="m-1",
        timestamp_ms=NINE,
        original_timestamp_ms=None,
        sent_at_ms=None,
        received_at_ms=NINE + 1,
        bot=True,
        values=("1.5", "ios", Container.FOUND),
    )


@pytest.mark.parametrize(
    ("fields", "reason", "message"),
    [
        ({"type": ...}, "missing_field", "$.type: missing"),
        (
            {"type": None},
            "bad_type",
            "$.type: expected one of track identify page screen group alias, got null",
        ),
        ({"type": 1}, "bad_type", "$.type: expected one of track identify page screen group alias, got int"),
        (
            {"type": "x"},
            "bad_type",
            "$.type: expected one of track identify page screen group alias, got another str",
        ),
        ({"event": ...}, "missing_field", "$.event: missing in a track"),
        ({"event": None}, "missing_field", "$.event: missing in a track"),
        ({"event": 5}, "bad_type", "$.event: expected str, got int"),
        ({"event": ""}, "bad_type", "$.event: expected 1 to 200 characters, got 0"),
        ({"event": "é" * 201}, "bad_type", "$.event: expected 1 to 200 characters, got 201"),
        ({"event": "a\0"}, "bad_type", "$.event: contains a NUL character"),
        ({"userId": ...}, "missing_field", "$: neither userId nor anonymousId"),
        ({"userId": None, "anonymousId": None}, "missing_field", "$: neither userId nor anonymousId"),
        ({"userId": "", "anonymousId": ""}, "missing_field", "$: neither userId nor anonymousId"),
        ({"userId": 4.5}, "bad_type", "$.userId: expected str or int, got float"),
        ({"userId": True}, "bad_type", "$.userId: expected str or int, got bool"),
        ({"userId": ["a"]}, "bad_type", "$.userId: expected str or int, got array"),
        ({"userId": {}, "anonymousId": "good"}, "bad_type", "$.userId: expected str or int, got object"),
        ({"userId": 0}, "bad_id", "$.userId: a placeholder, not an id"),
        ({"userId": 10**255}, "bad_id", "$.userId: expected 1 to 255 characters, got 256"),
        ({"userId": "NULL"}, "bad_id", "$.userId: a placeholder, not an id"),
        ({"userId": "un\u212anown"}, "bad_id", "$.userId: a placeholder, not an id"),  # a Kelvin sign
        ({"userId": "u" * 256}, "bad_id", "$.userId: expected 1 to 255 characters, got 256"),
        ({"userId": "a\0"}, "bad_id", "$.userId: contains a NUL character"),
        ({"anonymousId": 1.5}, "bad_type", "$.anonymousId: expected str or int, got float"),
        ({"userId": ..., "anonymousId": "none"}, "bad_id", "$.anonymousId: a placeholder, not an id"),
        ({"messageId": 1}, "bad_type", "$.messageId: expected str, got int"),
        ({"messageId": "m" * 101}, "bad_type", "$.messageId: expected 1 to 100 characters, got 101"),
        ({"messageId": "m\0"}, "bad_type", "$.messageId: contains a NUL character"),
        ({"context": "x"}, "bad_type", "$.context: expected object, got str"),
        ({"properties": []}, "bad_type", "$.properties: expected object, got array"),
        ({"traits": 0}, "bad_type", "$.traits: expected object, got int"),
        ({"timestamp": False}, "bad_type", "$.timestamp: expected str or number, got bool"),
        ({"timestamp": {}}, "bad_type", "$.timestamp: expected str or number, got object"),
        ({"timestamp": "x"}, "bad_timestamp", "$.timestamp: expected an RFC 3339 time with an offset"),
        ({"timestamp": 5}, "bad_timestamp", "$.timestamp: expected s, ms, us or ns since 1970, from 1973 on"),
        ({"originalTimestamp": []}, "bad_type", "$.originalTimestamp: expected str or number, got array"),
        (
            {"originalTimestamp": 5},
            "bad_timestamp",
            "$.originalTimestamp: expected s, ms, us or ns since 1970, from 1973 on",
        ),
    ],
)
def test_the_message_names_the_field_and_what_was_found(fields: dict[str, Any], reason: str, message: str) -> None:
    assert explain(**fields) == Problem(reason, message)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        *((b" \r\n\t", "empty"), (b" " * 5000, "empty"), (b"\x0b", "not_json")),
        *((b"x" * 4001, "too_large"), (b"\xff", "not_json")),
        *((b"\xef\xbb\xbf{}", "not_json"), (b"{", "not_json")),
        *((b"[1,", "not_json"), (b"NaN", "not_json"), (b"[" * 4000, "not_json"), (b'{"a":NaN}', "not_json")),
        *((b'{"a":"\xff"}', "not_json"), (b'{"a":"\xed\xa0\x80"}', "not_json")),
        (b'{"a":"\x00"}', "not_json"),
        *((b"[1]", "not_an_object"), (b" 5 ", "not_an_object")),
        *((b"null", "not_an_object"), (b'"x"', "not_an_object")),
        *((b'"\\ud800"', "not_an_object"), (b"{}", "missing_field")),
    ],
)
def test_what_is_no_event_at_all_has_its_reason(record: bytes | None, reason: str) -> None:
    outcome = DECODER.explain(record)
    assert isinstance(outcome, Problem)
    assert outcome.reason == reason


def test_the_first_check_that_fails_gives_the_reason() -> None:
    wrong: dict[str, Any] = {
        "type": "x",
        "event": 1,
        "userId": 1.5,
        "anonymousId": 1.5,
        "messageId": 1,
        "context": 1,
        "properties": 1,
        "traits": 1,
        "timestamp": True,
    }
    good: dict[str, Any] = {
        "type": "track",
        "event": "e",
        "userId": "u",
        "anonymousId": "a",
        "messageId": "m",
        "context": {},
        "properties": {},
        "traits": {},
        "timestamp": NINE,
    }
    for field in wrong:
        outcome = explain(**wrong)
        assert isinstance(outcome, Problem)
        assert outcome.message.startswith(f"$.{field}:")
        wrong[field] = good[field]
    assert isinstance(explain(**wrong), Event)


@pytest.mark.parametrize("name", ["type", "event", "userId", "anonymousId", "messageId", "timestamp"])
def test_a_lone_surrogate_in_a_needed_text_is_not_json(name: str) -> None:
    fields: dict[str, Any] = {
        "type": ...,
        name: "x\ud83d",
    }  # before any other check: the type is missing, too
    assert explain(**fields) == Problem("not_json", "$: a lone surrogate in a needed field")


def test_a_lone_surrogate_does_harm_only_where_a_text_is_needed() -> None:
    assert isinstance(explain(properties={"plan": "\udc00"}), Problem)
    for harmless in ({"query": "cut \ud83d"}, {"\udc00": 1}, {"plan": ["\ud83d"]}, {"plan": {"\ud83d": 1}}):
        assert isinstance(explain(properties=harmless), Event)
    assert isinstance(DECODER.explain(b'{"type":"page","userId":"\\ud83d","userId":"ana"}'), Event)
    # The mark that stands for it must not be found in texts that had it from the start.
    assert event(userId="a\ue000\ue001b", properties={"query": "\ud83d"}).user_id == "a\ue000\ue001b"


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert event(userId="😀").user_id == "😀"


def test_the_name_of_an_event_of_another_type_is_not_looked_at() -> None:
    for name in (5, "", "x" * 300, {"a": 1}, None, "a\0"):
        assert event(type="page", event=name).name is None


def test_an_anonymous_id_beside_a_good_user_id_only_has_to_be_a_text() -> None:
    assert event(anonymousId="null").user_id == "ana"
    assert event(anonymousId="a" * 999).user_id == "ana"


def test_the_last_of_duplicate_keys_wins_whatever_stood_before() -> None:
    outcome = DECODER.explain(
        b'{"type":"page","userId":5.5,"userId":"ana","properties":{"plan":"a"},"properties":{"plan":1,"plan":"b"}}'
    )
    assert isinstance(outcome, Event)
    assert (outcome.user_id, outcome.values[0]) == ("ana", "b")


def test_keys_may_be_escaped() -> None:
    assert event(type="page") == DECODER.explain(b'{"t\\u0079pe":"page","user\\u0049d":"ana"}')


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *(("null", None), ('""', None), ('"Web"', "Web"), ("true", "true"), ("false", "false"), ("1", "1")),
        *(("-0", "-0"), ("1.0", "1.0"), ("1e400", "1e400"), ("9" * 999, "9" * 999)),
        *(("[]", Container.FOUND), ("{}", Container.FOUND)),
    ],
)
def test_values_are_strings_or_the_json_text_of_scalars(text: str, found: str | Container | None) -> None:
    outcome = DECODER.explain(b'{"type":"page","userId":"a","properties":{"plan":%s}}' % text.encode())
    assert isinstance(outcome, Event)
    assert outcome.values[0] == found


def test_a_value_behind_what_is_no_object_is_missing() -> None:
    for device in ("ios", 5, None, [{"type": "ios"}]):
        assert event(context={"device": device}).values[1] is None


def test_numbers_that_nobody_needs_do_no_harm() -> None:
    for number in ("1e400", "18446744073709551616", "9" * 3900, "-1E-999999"):
        assert isinstance(DECODER.explain(b'{"type":"page","userId":"a","x":%s}' % number.encode()), Event)


def test_nesting_has_a_limit_of_its_own() -> None:
    def nested(depth: int) -> bytes:
        return b'{"type":"page","userId":"a","x":%s%s}' % (b"[" * (depth - 1), b"]" * (depth - 1))

    assert isinstance(DECODER.explain(nested(MAX_NESTING)), Event)
    assert DECODER.explain(nested(MAX_NESTING + 1)) == Problem("not_json", f"$: nested deeper than {MAX_NESTING}")
    for deep in (b"[" * 501 + b"]" * 501, b'["\\ud83d",' + b"[" * 500 + b"]" * 501):
        assert DECODER.explain(deep) == Problem("not_json", f"$: nested deeper than {MAX_NESTING}")
    flat = b'{"type":"page","userId":"a","x":[%s]}' % b",".join([b'"[["', b"{}"] * 300)
    assert isinstance(DECODER.explain(flat), Event)


def test_an_unreadable_received_at_is_as_good_as_none() -> None:
    unreadable: tuple[Any, ...] = ("x", True, {}, 1e300, None)
    for received in unreadable:
        assert event(receivedAt=received).received_at_ms is None


@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_raise(record: bytes) -> None:
    assert isinstance(DECODER.explain(record), Exclusion | Problem)
    assert isinstance(DECODER.explain(b'{"type":"page","userId":"a",' + record), Event | Exclusion | Problem)
