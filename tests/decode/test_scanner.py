from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.decode import scanner as scan
from flows.decode.events import Decoder
from flows.decode.scanner import Scanned
from flows.messages.raw import Raw
from schemas.event import ENVELOPE, Problem

PATHS = (
    "properties.plan",
    "context.device.type",
    "traits.a_key_of_more_than_eight_bytes",
    "properties.planet.name",
)
DECODER = Decoder([tuple(path.split(".")) for path in PATHS], 2000)
_, _numbers = scan.tree_of([tuple(path.split(".")) for path in (*ENVELOPE, *PATHS)])
NUMBERS = {".".join(keys): number for keys, number in _numbers.items()}
KEY_WITH_ESCAPE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)+"\s*:')
KINDS = {type(None): scan.NULL, int: scan.NUMBER, float: scan.NUMBER, list: scan.ARRAY, dict: scan.OBJECT}


def scan_all(records: Sequence[bytes | None]) -> Scanned:
    raw = Raw.of("events", 0, 1, records, range(len(records)), [0] * len(records), True, None)
    return DECODER.scan(raw.buffer, raw.bounds[:-1], raw.bounds[1:])


def scanned(record: bytes, before: bytes = b"{}", after: bytes = b',"x":1}') -> dict[str, tuple[int, bytes]] | None:
    """Kind and JSON text by path, of a record between two others; None when the scanner is not sure."""
    found = scan_all([before, record, after])
    if not found.plain[1]:
        return None
    return {
        path: (
            int(found.kinds[1, number]),
            found.buffer[found.begins[1, number] : found.ends[1, number]].tobytes(),
        )
        for path, number in NUMBERS.items()
        if path and found.kinds[1, number] != scan.ABSENT
    }


def test_needed_fields_are_found_wherever_they_stand() -> None:
    record = (
        b' { "x" : [ { "type" : 1 } , [ ] , {} ] , "type":"track","properties":{"planet":{"name":"\xc3\xa9"},'
        b'"plan":-1.5e3},"context":{"bot":false,"device":{"type":"a\\"b"},"traits":{}},"traits":null,'
        b'"timestamp":17,"event":true}\r\n'
    )
    assert scanned(record) == {
        "type": (scan.STRING, b'"track"'),
        "event": (scan.TRUE, b"true"),
        "timestamp": (scan.NUMBER, b"17"),
        "context": (scan.OBJECT, b""),
        "context.bot": (scan.FALSE, b"false"),
        "context.device": (scan.OBJECT, b""),
        "context.device.type": (scan.STRING_ESCAPED, b'"a\\"b"'),
        "properties": (scan.OBJECT, b""),
        "properties.plan": (scan.NUMBER, b"-1.5e3"),
        "properties.planet": (scan.OBJECT, b""),
        "properties.planet.name": (scan.STRING_UTF_8, b'"\xc3\xa9"'),
        "traits": (scan.NULL, b"null"),
    }


def test_a_long_key_is_compared_whole() -> None:
    key = "a_key_of_more_than_eight_bytes"
    assert "traits." + key in (scanned(b'{"traits":{"%s":1}}' % key.encode()) or {})
    for other in (key[:-1], key + "s", key[:-1] + "z", key[:8]):
        assert scanned(b'{"traits":{"%s":1}}' % other.encode()) == {"traits": (scan.OBJECT, b"")}


@pytest.mark.parametrize(
    "record",
    [
        *(b"", b" ", b"{", b"}", b"[]", b"5", b"null", b'"x"'),
        *(b"{}{}", b"{},", b"{}x", b"\xef\xbb\xbf{}", b"\x0b{}"),
        *(b'{"a"}', b'{"a":}', b'{"a":1,}', b'{,"a":1}', b'{"a" 1}'),
        *(b'{"a":1 "b":2}', b"{'a':1}", b"{a:1}", b"{1:2}"),
        *(b'{"a":[1,]}', b'{"a":[,1]}', b'{"a":[1 2]}'),
        *(b'{"a":[}', b'{"a":{]}', b'{"a":[1}', b'{"a":{"b":1]}'),
        *(b'{"a":01}', b'{"a":1.}', b'{"a":.5}', b'{"a":-}'),
        *(b'{"a":+1}', b'{"a":1e}', b'{"a":1e+}', b'{"a":--1}'),
        *(b'{"a":nul}', b'{"a":True}', b'{"a":falsy}', b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}'),
        *(b'{"a":"x}', b'{"a":"\\q"}', b'{"a":"\\u12"}', b'{"a":"\\u12g4"}', b'{"a":"\t"}', b'{"a":"\x00"}'),
        *(b'{"a":"\x80"}', b'{"a":"\xc0\x80"}', b'{"a":"\xe0\x80\x80"}'),
        *(b'{"a":"\xed\xa0\x80"}', b'{"a":"\xff"}'),
        *(b'{"a":"\xf0\x80\x80\x80"}', b'{"a":"\xf4\x90\x80\x80"}'),
        *(b'{"a":"\xc3"}', b'{"\xff":1}', b'{"a":\xa0 1}'),
        *(b'{"a":"\\ud800"}', b'{"a":"\\udc00"}'),
        *(b'{"a":"\\ud800\\u0041"}', b'{"a":1', b'{"a":1,"b":', b'{"a":['),
        *(b'{"a":"xxxxxxxxxxxxxxxx', b'{"a":tru', b'{"a":1}\x00'),
    ],
)
def test_what_is_no_plain_object_is_not_taken(record: bytes) -> None:
    assert scanned(record) is None
    assert scanned(record, after=b'"}') is None  # whatever follows in the buffer
    assert scanned(record, after=b"}") is None


@pytest.mark.parametrize(
    "record",
    [
        b'{"type":1,"type":2}',
        b'{"t\\u0079pe":1}',
        b'{"context":{"b\\u006ft":1}}',
        b'{"a":' + b"[" * 60 + b"]" * 60 + b"}",
    ],
)
def test_the_unusual_is_left_to_the_authority(record: bytes) -> None:
    assert json.loads(record) is not None
    assert scanned(record) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "type": JSON,
        "userId": JSON,
        "anonymousId": JSON,
        "context": st.fixed_dictionaries({}, optional={"device": st.fixed_dictionaries({"type": JSON}) | JSON}) | JSON,
        "properties": st.fixed_dictionaries({}, optional={"plan": JSON, "planet": JSON}) | JSON,
    },
)


def found_in(value: Any, path: str) -> tuple[bool, Any]:
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            return False, None
        value = value[part]
    return True, value


@given(OBJECTS, st.booleans(), st.sampled_from([None, 1]))
def test_the_scanner_finds_what_a_json_parser_finds(value: dict[str, Any], ascii_: bool, indent: int | None) -> None:
    try:
        record = json.dumps(value, ensure_ascii=ascii_, indent=indent).encode()
    except UnicodeEncodeError:
        return
    found = scanned(record)
    if found is None:  # a lone surrogate, more bytes than the limit, or an escape in a key
        assert b"\\ud" in record.lower() or len(record) > 2000 or KEY_WITH_ESCAPE.search(record)
        return
    for path in NUMBERS:
        if not path:
            continue
        there, expected = found_in(value, path)
        assert (path in found) == there
        if not there:
            continue
        kind, text = found[path]
        if isinstance(expected, bool):
            assert kind == (scan.TRUE if expected else scan.FALSE)
        elif isinstance(expected, str):
            assert kind in (scan.STRING, scan.STRING_UTF_8, scan.STRING_ESCAPED)
            assert json.loads(text) == expected
            if kind != scan.STRING_ESCAPED:
                assert text[1:-1].decode() == expected
            assert (kind == scan.STRING) <= expected.isascii()
        else:
            assert kind == KINDS[type(expected)]
            assert kind != scan.NUMBER or json.loads(text) == expected


@given(st.binary(max_size=40) | st.text('{}[]",:\\u0dtrnflse1.-eE +\n\xe9', max_size=40).map(str.encode))
def test_what_the_scanner_takes_the_authority_takes_as_json(tail: bytes) -> None:
    record = b'{"type":"page","userId":"ana"' + tail
    if scanned(record) is not None:
        outcome = DECODER.explain(record)
        assert not (isinstance(outcome, Problem) and outcome.reason in ("not_json", "not_an_object", "empty"))
        json.loads(record)


def test_a_batch_is_scanned_as_its_records_are() -> None:
    records = [b'{"type":"t%d"%s}' % (index, b',"x":[' if index % 3 == 0 else b"") for index in range(200)]
    found = scan_all(records)
    assert found.plain.tolist() == [index % 3 != 0 for index in range(200)]
    ends, begins = found.ends[:200, 1], found.begins[:200, 1]
    texts = [found.buffer[begin:end].tobytes() for begin, end in zip(begins, ends, strict=True)]
    assert [text for text, plain in zip(texts, found.plain, strict=True) if plain] == [
        b'"t%d"' % index for index in range(200) if index % 3
    ]


def test_empty_and_too_large_records_are_never_plain() -> None:
    fits = b'{"x":"%s"}' % (b"x" * (2000 - 8))
    assert scan_all([None, b"", fits, fits + b" ", b"{}"]).plain.tolist() == [
        False,
        False,
        True,
        False,
        True,
    ]


def test_no_records_are_scanned_too() -> None:
    assert scan_all([]).plain.shape == (0,)
    assert scan_all([]).plain.dtype == np.bool_
