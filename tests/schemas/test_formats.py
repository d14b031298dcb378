"""What rejected records look like: captures of real SDKs and collectors are recognised, and no bytes are too odd."""

from __future__ import annotations

import base64
import bz2
import csv
import gzip
import io
import json
import lzma
import zipfile
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import schemas
from flows.config.model import Config
from flows.demo.simulator import Simulator
from schemas.formats import FORMATS
from schemas.guess import format_of, guess
from schemas.signs import LOOKED_AT

CAPTURES = Path(__file__).parent / "other_tools"
EXAMPLES = Path(schemas.__file__).parent / "examples"
READ = {one.name for one in FORMATS if one.read}

OF_CAPTURE = {
    "amplitude-": "amplitude",
    "batch-bodies.segment-": "segment-batch",
    "chargebee-": "chargebee",
    "cloudevents-binary-2": "kafka-dump",
    "cloudevents-binary-values-": "no-envelope",
    "cloudevents-structured-": "cloudevents",
    "confluent-json-schema.": "confluent-json",
    "connect-json-envelope.": "kafka-connect",
    "debezium-": "debezium",
    "ga4-": "ga4",
    "jitsu-browser-": "segment",
    "jitsu-ingest-message.": "jitsu",
    "matomo-": "matomo",
    "mixpanel-": "mixpanel",
    "otlp-json-": "otlp",
    "posthog-browser-": "posthog",
    "posthog-clickhouse_events_json.": "posthog-clickhouse",
    "posthog-events_plugin_ingestion.": "posthog-ingestion",
    "posthog-node-": "posthog",
    "posthog-python-": "posthog",
    "rudder-": "rudderstack",
    "rudderstack-kafka-destination.": "rudderstack",
    "segment-": "segment",
    "snowplow-enriched-json.": "snowplow-json",
    "snowplow-enriched-tsv.": "snowplow-tsv",
    "snowplow-node-": "snowplow-tracker",
    "snowplow-python-": "snowplow-tracker",
    "stripe-": "stripe",
    "vector-http_server.rudder-": "rudderstack",
}
"""By the beginning of a capture's name, the format that every record in it has."""


def records_of(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().split(b"\n") if line.strip()]


def name_of(record: bytes) -> str | None:
    found = format_of(record)
    return None if found is None else found.name


def spreadsheet(**dialect: Any) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, **dialect)
    writer.writerow(["2026-11-29 09:00:00", "u-ana", "Product Viewed", 'a "clock"'])
    return file.getvalue().encode()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("events.ndjson", "{}")
    return file.getvalue()


EVENT = {"type": "track", "event": "Signed Up", "userId": "ana"}
JSON = json.dumps(EVENT)

MADE = [
    ("gzip", gzip.compress(JSON.encode(), mtime=0)),
    ("xz", lzma.compress(JSON.encode())),
    ("bzip2", bz2.compress(JSON.encode())),
    ("zip", zipped()),
    ("zstd", bytes.fromhex("28b52ffd") + b"frame"),
    ("lz4", bytes.fromhex("04224d18") + b"frame"),
    ("parquet", b"PAR1\x15\x04"),
    ("avro-file", b"Obj\x01\x04\x16avro.schema"),
    ("utf-16", JSON.encode("utf-16")),
    ("byte-order-mark", JSON.encode("utf-8-sig")),
    ("confluent-json", b"\0\0\0\0\x07" + JSON.encode()),
    ("confluent", b"\0\0\0\0\x07\x06ana\x12Signed Up"),
    ("glue", b"\x03\0" + bytes(range(16)) + b"\x06ana\x12Signed Up"),
    ("otlp-protobuf", b"\n\x8b\x02\n\x1a\n\x18\n\x0cservice.name\x12\x08\n\x06shop-web"),
    ("snowplow-raw", b"\x0b\0d\0\0\0\t127.0.0.1...iglu:com.snowplowanalytics.snowplow/CollectorPayload/thrift/1-0-0"),
    ("json-array", f"[{JSON}, {JSON}]".encode()),
    ("json-array", b"["),
    ("json-array", f"  [{JSON},".encode()),
    ("json-over-lines", b"{"),
    ("json-over-lines", b'  "event": "Signed Up",'),
    ("json-over-lines", b"  },"),
    ("json-in-text", json.dumps(JSON).encode()),
    ("several-objects", f"{JSON}{JSON}".encode()),
    ("several-objects", f"{JSON}, {JSON}".encode()),
    ("python-repr", str(EVENT).encode()),
    ("base64", base64.b64encode(JSON.encode())),
    ("markup", b'<?xml version="1.0"?><event/>'),
    ("markup", b"<html><body>502 Bad Gateway"),
    ("form", urlencode({"data": JSON}).encode()),
    ("form", urlencode({"event": "Signed Up", "user": "ana"}).encode()),
    ("matomo", b"?idsite=1&rec=1&e_c=shop&e_a=Product+Viewed&uid=u-ana"),
    ("matomo", b'{"requests": ["?idsite=1&rec=1"]}'),
    ("csv", spreadsheet()),
    ("csv", spreadsheet(delimiter=";", quoting=csv.QUOTE_ALL)),
    ("tsv", spreadsheet(delimiter="\t")),
    (
        "dead-letter",
        b'{"reason":"bad_id","message":"","topic":"t","partition":0,"offset":1,"timestamp":1,"payload":""}',
    ),
    ("kafka-dump", b'{"topic":"t","partition":0,"offset":1,"tstype":"create","ts":1,"key":"k","payload":"{}"}'),
    ("kafka-connect", json.dumps({"schema": None, "payload": EVENT}).encode()),
    ("debezium", b'{"schema": {}, "payload": {"before": null, "after": {}, "source": {"table": "t"}, "op": "c"}}'),
    ("stripe", b'{"version": "0", "detail-type": "x", "source": "aws", "detail": {"object": "event"}}'),
    ("eventbridge", b'{"version": "0", "detail-type": "x", "source": "aws", "detail": {}}'),
    ("chargebee", b'{"id": "ev_1", "event_type": "subscription_created", "occurred_at": 1, "content": {}}'),
    ("posthog", b'{"api_key": "k", "batch": [{"event": "e", "distinct_id": "d", "properties": {}}]}'),
    ("amplitude", b'{"api_key": "k", "events": [{"event_type": "e", "user_id": "u"}]}'),
    ("ga4", b'{"event_name": "page_view", "event_timestamp": 1, "user_pseudo_id": "1.2", "event_params": []}'),
    ("rudderstack", b'{"type": "record", "channel": "sources", "action": "insert", "fields": {}}'),
    ("segment", json.dumps(EVENT | {"type": "click", "messageId": "m"}).encode()),
]


@pytest.mark.parametrize("path", sorted(CAPTURES.iterdir()), ids=lambda path: path.stem)
def test_what_another_tool_has_sent_is_known_by_its_name(path: Path) -> None:
    records = records_of(path)
    assert {name_of(record) for record in records} == {path.stem}
    found = guess(records)
    assert found is not None
    assert (found.format.name, found.alike, found.of) == (path.stem, len(records), len(records))


@pytest.mark.parametrize(("name", "record"), MADE)
def test_what_is_no_object_or_holds_the_event_within_is_known(name: str, record: bytes) -> None:
    assert name_of(record) == name


def test_every_capture_is_known(data_dir: Path) -> None:
    folder = data_dir / "captures"
    if not folder.is_dir():
        pytest.skip("there are no captures beside the recorded event files")
    files = sorted(folder.iterdir())
    assert files
    for file in files:
        names = [name for beginning, name in OF_CAPTURE.items() if file.name.startswith(beginning)]
        assert names, f"{file.name}: which format is it?"
        assert {name_of(record) for record in records_of(file)} == {names[0]}, file.name


def test_no_row_of_the_table_is_without_a_sample() -> None:
    shown = {path.stem for path in CAPTURES.iterdir()} | {name for name, _ in MADE}
    assert [one.name for one in FORMATS if one.name not in shown] == []
    assert len({one.name for one in FORMATS}) == len(FORMATS)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("valid/*")), ids=lambda path: path.stem)
def test_an_event_that_is_taken_looks_like_what_is_read(path: Path) -> None:
    assert name_of(path.read_bytes()) in READ


@pytest.mark.parametrize(
    "path", sorted(EXAMPLES.glob("invalid/*/*")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_an_event_with_a_mistake_is_not_taken_for_another_tools(path: Path) -> None:
    """Only what is no event at all, but of a known kind, is called by that name."""
    kinds = {"array": "json-array", "gzip": "gzip", "avro": "confluent", "byte_order_mark": "byte-order-mark"}
    kinds |= {"single_quotes": "python-repr", "two_events": "several-objects"}
    name = name_of(path.read_bytes())
    assert name == kinds[path.stem] if path.stem in kinds else name is None or name in READ


def test_the_events_of_a_whole_shop_look_like_what_is_read() -> None:
    config = Config(product="shop", subscriptions={"plans": ["plus"]})
    simulator = Simulator(config, start_ms=1_790_000_000_000, days=0.01)
    values = [record.value for record in islice(simulator.records(), 3000) if record.event is not None]
    assert len(values) > 2000
    assert {name_of(value) for value in values if value is not None} <= READ


def test_a_body_that_is_cut_is_known_by_its_beginning() -> None:
    body = {"batch": [EVENT | {"messageId": f"m-{number}"} for number in range(1000)], "sentAt": "2026-11-29T09:00:00Z"}
    whole = json.dumps(body).encode()
    assert len(whole) > 2 * LOOKED_AT
    for cut in (len(whole), LOOKED_AT + 1, LOOKED_AT, 1000, 100):
        assert name_of(whole[:cut]) == "segment-batch"


def test_a_text_that_is_cut_within_a_character_is_still_text() -> None:
    record = b"a,b,c," + "ü".encode() * LOOKED_AT
    assert LOOKED_AT % 2 == 0
    assert name_of(record) == name_of(b"x" + record) == "csv"


def test_how_a_file_begins_says_what_it_is_whatever_follows() -> None:
    pretty = json.dumps([EVENT] * 3, indent=2).encode().split(b"\n")
    found = guess(pretty, begins=pretty[0])
    assert found is not None
    assert found.format.name == "json-array"
    broken = guess([b"\xff\xfe\xfd", b"a,b,c"], begins=b"PAR1\x15\x04")
    assert broken is not None
    assert broken.format.name == "parquet"
    assert guess([b"{", b"one thing", b"another"]) is None


def test_a_guess_wants_half_of_the_records() -> None:
    amplitude, other = records_of(CAPTURES / "amplitude.ndjson")[0], b"whatever this may be"
    assert guess([amplitude, other, other]) is None
    found = guess([other, amplitude, amplitude, b"", b" "])
    assert found is not None
    assert str(found).startswith("2 of 3 of them look like Amplitude's events: ")
    assert guess([]) is None
    assert guess([b""]) is None


def test_a_guess_is_a_sentence_for_one_record_and_for_many() -> None:
    found = [guess([b"["] * count) for count in (1, 2)]
    advice = "like a JSON array: write its members as records of their own, one a line: jq -c '.[]'."
    assert [str(one) for one in found] == [f"It looks {advice}", f"They look {advice}"]


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.name)
def test_advice_is_one_sentence_without_its_stop(one: Any) -> None:
    assert one.advice
    assert not one.advice.endswith((".", " "))
    assert "\n" not in one.title + one.advice


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["batch", "data", "object", "event", "properties", "type", "payload", "op", "0", "source"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.binary(max_size=200))
@example(b"\xff" * LOOKED_AT)
@example(b"\0" * 100)
@example(b"\xed\xa0\x80")
@example(b"[" * 100_000)
@example(b'{"a":' * 20_000)
@example(b'{"a":[' * 40)
@example(b'{"n": ' + b"9" * 5000 + b"}")
@example(b'{"x": 1e400, "y": NaN, "z": -Infinity}')
@example(b'"' + b'\\"' * LOOKED_AT)
@example(b'"' * LOOKED_AT)
@example(b"," * LOOKED_AT)
@example(b"a=&" * LOOKED_AT)
@example(b"\t" * 130)
@example(b"}" * 1000)
def test_no_bytes_are_too_odd(record: bytes) -> None:
    format_of(record)
    guess([record, record[1:]])


@given(anything)
def test_no_json_is_too_odd(value: Any) -> None:
    text = json.dumps(value).encode()
    for cut in range(0, len(text) + 1, 7):
        format_of(text[:cut])
        format_of(text[cut:])


def test_no_beginning_of_a_record_is_too_odd() -> None:
    for path in CAPTURES.iterdir():
        for record in records_of(path):
            for cut in range(0, len(record), 5):
                format_of(record[:cut])
