"""The formats in which other tools write, as a table of signs: what each is called, and what to do about it.

The first row of which a record shows a sign is its format. Add a row to teach the guess another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas.event import TYPES
from schemas.signs import Sign, bytes_like, columns, fields, follows, holds_json, opens, text_like


@dataclass(frozen=True, slots=True)
class Format:
    """A format that records may have."""

    name: str
    title: str  # what a sentence calls it: "They look like ..."
    advice: str  # one sentence on what to do, without its full stop
    signs: tuple[Sign, ...]  # a record with any of them is of this format
    whole: bool = False  # of a file as a whole: how it begins says what all its lines are
    read: bool = False  # Tidegauge reads it, so something else is wrong with the record


_COMPRESSED: Final = "decompress it first"
_EXPORT: Final = "export it as JSON, one event a line"
_MAP: Final = "Tidegauge does not read them yet; on the way here, map"

_OURS: Final = f"type={'|'.join(TYPES)}"
_FAMILY: Final = "the format is read, so the reasons say which field to put right"

FORMATS: Final = (
    # Bytes that are no text.
    Format("gzip", "gzip", _COMPRESSED, (opens(b"\x1f\x8b"),), whole=True),
    Format("zstd", "Zstandard", _COMPRESSED, (opens(b"\x28\xb5\x2f\xfd"),), whole=True),
    Format("lz4", "LZ4", _COMPRESSED, (opens(b"\x04\x22\x4d\x18"),), whole=True),
    Format("xz", "xz", _COMPRESSED, (opens(b"\xfd7zXZ"),), whole=True),
    Format("bzip2", "bzip2", _COMPRESSED, (bytes_like(rb"BZh[1-9]1AY&SY"),), whole=True),
    Format("zip", "a ZIP archive", "unpack it first", (opens(b"PK\x03\x04"),), whole=True),
    Format("parquet", "a Parquet file", _EXPORT, (opens(b"PAR1"),), whole=True),
    Format("avro-file", "an Avro container file", _EXPORT, (opens(b"Obj\x01"),), whole=True),
    Format("utf-16", "text in UTF-16", "write it in UTF-8", (opens(b"\xff\xfe", b"\xfe\xff"),), whole=True),
    Format(
        "byte-order-mark",
        "UTF-8 with a byte order mark",
        "write it without those three bytes",
        (opens(b"\xef\xbb\xbf"),),
    ),
    Format(
        "confluent-json",
        "JSON in Confluent's wire format",
        "5 bytes of a schema id stand before the JSON; send it with a plain JSON serializer",
        (bytes_like(rb"\0.{4}\s*[{\[]"),),
    ),
    Format(
        "confluent",
        "Confluent's wire format",
        "that is Avro or Protobuf with a schema registry, which is not read yet; send JSON without a schema",
        (bytes_like(rb"\0(?!\0{4}).{5}"),),
    ),
    Format(
        "glue",
        "the wire format of AWS Glue's schema registry",
        "it is not read yet; send JSON without a schema",
        (bytes_like(rb"\x03[\0\x05].{17}"),),
    ),
    Format(
        "otlp-protobuf",
        "OpenTelemetry's Protobuf",
        "it is not read; send each event as JSON",
        (bytes_like(rb".{0,40}\x0a\x0cservice\.name"),),
    ),
    Format(
        "snowplow-raw",
        "Snowplow's raw topic",
        "that is Thrift, and not read; take the topic of enriched events, as JSON",
        (bytes_like(rb".*iglu:com\.snowplowanalytics\.snowplow/CollectorPayload/thrift"),),
    ),
    # Text that is no JSON object in one line.
    Format(
        "json-array",
        "a JSON array",
        "write its members as records of their own, one a line: jq -c '.[]'",
        (holds_json("array"), text_like(r"\[\s*(?:[{\[\"]|$)")),
        whole=True,
    ),
    Format(
        "json-over-lines",
        "JSON spread over several lines",
        "write each event in one line: jq -c '.'",
        (text_like(r"\{\s*$|[\]}]+,?\s*$|\"(?:[^\"\\]|\\.)*\"\s*:\s"),),
        whole=True,
    ),
    Format(
        "json-in-text",
        "JSON inside a JSON string",
        "it was made JSON twice; send the object itself",
        (text_like(r'"\s*\{\s*\\"'), lambda sample: isinstance(sample.json, str) and sample.json.startswith("{")),
    ),
    Format(
        "several-objects",
        "several JSON objects in one record",
        "send each as a record of its own, one a line: jq -c '.'",
        (follows(r",?\s*\{"),),
    ),
    Format("python-repr", "a Python dict", "write it with json.dumps", (text_like(r"\{'\w+':"),)),
    Format("base64", "base64", "decode it first", (text_like(r"[\"']?eyJ[\w+/=-]{16}"),)),
    Format("markup", "XML or HTML", "send each event as JSON", (text_like(r"<[?!A-Za-z]"),), whole=True),
    Format(
        "matomo",
        "Matomo's tracking requests",
        f"{_MAP} `uid`, `cid`, `e_a` and `cdt` to `userId`, `anonymousId`, `event` and `timestamp`",
        (fields("idsite", "rec"), fields("requests:array"), text_like(r"(?:.*[?&])?idsite=\d+(?:&|$)")),
    ),
    Format(
        "form",
        "the body of an HTML form",
        "send what its fields hold, as JSON",
        (
            text_like(r"(?:data|payload|json)=(?:%7B|%5B|eyJ)"),
            text_like(r"[\w%.\[\]-]+=[^&\s]*(?:&[\w%.\[\]-]+=[^&\s]*)+$"),
        ),
    ),
    Format(
        "snowplow-tsv",
        "Snowplow's enriched events (TSV)",
        f"{_MAP} columns to fields",
        (columns("\t", 100),),
    ),
    Format("tsv", "tab-separated values", "write each line as a JSON object", (columns("\t", 3),)),
    Format("csv", "CSV", "write each line as a JSON object", (columns(",", 3), columns(";", 3))),
    # Objects around the event.
    Format(
        "dead-letter",
        "Tidegauge's own dead letters",
        "the record is the text in `payload`: jq -r .payload",
        (fields("reason", "message", "topic", "partition", "offset", "payload"),),
    ),
    Format(
        "kafka-dump",
        "records with their topic, offset or headers around them",
        "keep the value alone; kcat prints it with -f '%s\\n'",
        (
            fields("topic", "partition", "offset", "payload"),
            fields("topic", "partition", "offset", "value"),
            fields("_kafka_headers", "value"),
        ),
    ),
    Format(
        "debezium",
        "Debezium's change events",
        f"{_MAP} each row to an event with `type`, `event`, `userId` and `timestamp`",
        (
            fields("op=c|u|d|r|t|m", "source:object"),
            fields("payload.op=c|u|d|r|t|m", "payload.source:object"),
            fields("before", "after:object"),
            fields("__op"),
            fields("__source_ts_ms"),
            fields("__deleted"),
        ),
    ),
    Format(
        "kafka-connect",
        "Kafka Connect's envelope of `schema` and `payload`",
        "set value.converter.schemas.enable=false, so that the payload alone is the record",
        (fields("schema:object", "payload"), fields("schema:null", "payload:object")),
    ),
    Format(
        "jitsu",
        "Jitsu's ingest messages",
        "the event is in `httpPayload`; send that alone",
        (fields("httpPayload:object"),),
    ),
    Format(
        "stripe",
        "Stripe's events",
        f"{_MAP} subscriptions to `Subscription Changed`, with `created` as its `timestamp`",
        (fields("object=event", "data.object"), fields("detail.object=event")),
    ),
    Format(
        "eventbridge",
        "Amazon EventBridge's envelope",
        "the event is in `detail`; send that alone",
        (fields("detail-type", "detail"),),
    ),
    Format(
        "cloudevents",
        "CloudEvents",
        f"{_MAP} `type`, `id`, `time` and `data` to `event`, `messageId`, `timestamp` and `properties`; "
        "or make `data` the whole event and send it in binary mode",
        (fields("specversion", "source"),),
    ),
    Format(
        "otlp",
        "OpenTelemetry's OTLP",
        f"{_MAP} each of `logRecords` to an event of its own",
        (fields("resourceLogs:array"), fields("resourceSpans:array"), fields("resourceMetrics:array")),
    ),
    # Other tools' events, and what their SDKs post.
    Format(
        "posthog-ingestion",
        "PostHog's topic of captured events",
        f"the event is the text in `data`; {_MAP} it as PostHog's",
        (fields("uuid", "distinct_id", "data:text"),),
    ),
    Format(
        "posthog-clickhouse",
        "PostHog's topic of events for ClickHouse",
        f"{_MAP} `distinct_id` (or `person_id`), `uuid` and `timestamp` (UTC, without an offset) to `anonymousId`, "
        "`messageId` and `timestamp`, and `properties` from text",
        (fields("uuid", "event", "distinct_id", "properties:text"),),
    ),
    Format(
        "posthog",
        "PostHog's events",
        f"{_MAP} `distinct_id` and `uuid` to `anonymousId` and `messageId`, and give each a `type`",
        (
            fields("event", "properties.$lib", "!type"),
            fields("event", "distinct_id", "!type"),
            fields("batch.0.distinct_id"),
            fields("batch.0.properties.distinct_id"),
            fields("api_key", "batch:array"),
        ),
    ),
    Format(
        "mixpanel",
        "Mixpanel's events",
        f"{_MAP} `$user_id`, `$device_id`, `$insert_id` and `time` of `properties` to `userId`, `anonymousId`, "
        "`messageId` and `timestamp`",
        (
            fields("event", "properties.token", "!type"),
            fields("event", "properties.distinct_id", "!type"),
            fields("$token", "$distinct_id"),
        ),
    ),
    Format(
        "chargebee",
        "Chargebee's events",
        f"{_MAP} subscriptions to `Subscription Changed`, with `occurred_at` as its `timestamp`",
        (fields("event_type", "occurred_at"), fields("event_type", "content.subscription")),
    ),
    Format(
        "amplitude",
        "Amplitude's events",
        f"{_MAP} `event_type`, `user_id`, `device_id`, `insert_id` and `time` to `event`, `userId`, `anonymousId`, "
        "`messageId` and `timestamp`",
        (
            fields("event_type", "insert_id"),
            fields("event_type", "device_id"),
            fields("event_type", "user_id"),
            fields("events.0.event_type"),
        ),
    ),
    Format(
        "ga4",
        "Google Analytics 4's events",
        f"{_MAP} each of `events` to an event of its own, with `user_id`, `client_id` and `timestamp_micros` as "
        "`userId`, `anonymousId` and `timestamp`",
        (
            fields("client_id", "events.0.name"),
            fields("app_instance_id", "events.0.name"),
            fields("event_name", "event_timestamp", "user_pseudo_id"),
        ),
    ),
    Format(
        "snowplow-json",
        "Snowplow's enriched events",
        f"{_MAP} `event_name`, `user_id`, `domain_userid`, `event_id` and `derived_tstamp` to `event`, `userId`, "
        "`anonymousId`, `messageId` and `timestamp`",
        (fields("event_id", "collector_tstamp"), fields("event_id", "derived_tstamp")),
    ),
    Format(
        "snowplow-tracker",
        "what Snowplow's trackers post",
        "take the topic of enriched events, as JSON, and map that",
        (fields("e", "eid", "tv"), fields("e", "eid", "dtm"), fields("schema", "data.0.e")),
    ),
    Format(
        "segment-batch",
        "Segment's batch bodies",
        "send each member of `batch` as a record of its own, with the body's `context` under the member's",
        (fields("batch:array"),),
    ),
    # Events that are read, as far as their fields allow.
    Format(
        "rudderstack",
        "RudderStack's events",
        _FAMILY,
        (
            fields("rudderId", "messageId"),
            fields(_OURS, "channel", "messageId", "!version"),  # Segment's own servers add a `version`
            fields("type=record|extract|merge|audiencelist|reset", "channel"),
        ),
        read=True,
    ),
    Format(
        "segment",
        "Segment's events",
        _FAMILY,
        (
            fields(_OURS, "userId"),
            fields(_OURS, "anonymousId"),
            fields(_OURS, "messageId"),
            fields(_OURS, "timestamp"),
            fields("messageId", "userId"),
            fields("messageId", "anonymousId"),
            fields("event", "userId"),
            fields("event", "anonymousId"),
        ),
        read=True,
    ),
    Format(
        "no-envelope",
        "an event's data without the event around it, as CloudEvents sends it in binary mode",
        "put `type`, `event` and `timestamp` into the value, too",
        (fields("userId", "!type"), fields("anonymousId", "!type")),
    ),
)
