"""Whatever a producer puts into its events, it finds its way into no key, field, label, log line or file of ours.

Two kinds of attack: texts that look like our own syntax, and texts without end (200,000 names of events). And one
kind of mistake that would be ours: an id of a person in a place where it does not belong.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import redis
from confluent_kafka import Consumer, Message, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from flows.audit import Record
from flows.config.file import load
from flows.config.model import Config
from flows.messages.snapshot import ACCOUNTS
from flows.metrics.catalogue import catalogue
from flows.metrics.cells import Cell, Derived
from flows.metrics.parts import definitions
from flows.publish.redis.layout import OFFSETS, RESERVED
from tests.security.running import Ended, begun, end
from tests.services import KafkaBroker, RedisServer, free_port, wait_until

CONFIG = """\
version: 1
product: shop
key_actions: [Order Completed]
funnels:
  checkout: {window: 1h, steps: [Product Viewed, Order Completed]}
breakdowns:
  platform: {field: context.device.type, values: [web, ios], of: [active_users, sessions, funnels]}
subscriptions: {currency: EUR, plans: [basic, pro]}
"""
LIVE = "tidegauge:v1:{shop}:live"

HOSTILE = (
    "a:b",
    "tidegauge:v1:{shop}:live",
    "*",
    "{}",
    "active_users.5m{platform=ios}",
    '",platform="ios"} 99999\ntidegauge_forged{x="y',
    "line\n2026-01-01 00:00:00,000 ERROR   forged",
    "\r\n+OK\r\n$3\r\nfoo\r\n",
    "quote ' \" `",
    "back\\slash \\n \\u0041",
    "\u202egnisrever",
    "عربي",
    "😀👩‍👩‍👧‍👧",
    "\x1b[31mred\x1b[0m",
    "\x7f\x01\x02",
    "a" * 200,
    "forged_total 1",
    "$(touch forged)",
    "{{constructor}}",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "%s%n%x",
)
"""Names and values that mean something to Redis, Prometheus, a terminal, a shell or a browser."""

NOW_MS = time.time_ns() // 1_000_000


def event(number: int, **changes: Any) -> dict[str, Any]:
    plain = {"type": "track", "event": "Product Viewed", "userId": f"u{number}", "messageId": f"m{number}"}
    return plain | {"timestamp": NOW_MS - 1000, "context": {"device": {"type": "ios"}}} | changes


def subscription(number: int, **properties: Any) -> dict[str, Any]:
    state = {"subscription_id": f"s{number}", "status": "active", "plan": "pro", "currency": "EUR", "amount": "10"}
    return event(number, event="Subscription Changed", properties=state | {"interval": "month"} | properties)


@dataclass
class Life:
    """A run over a topic of its own; `pages` is what its endpoint told."""

    topic: str
    folder: Path
    process: subprocess.Popen[str]
    port: int
    client: redis.Redis
    brokers: str
    pages: dict[str, str] = field(default_factory=dict)

    def read(self, records: int) -> None:
        """Wait until so many records are in the published numbers."""

        def there() -> bool:
            assert self.process.poll() is None, (self.folder / "err").read_text()
            return int(self.client.hget(LIVE, "_consumed") or 0) >= records

        wait_until(there, f"{records} records", 300)

    def look(self) -> None:
        """Fetch every page."""
        for path in ("/metrics", "/readyz", "/livez"):
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
                self.pages[path] = answer.read().decode()

    def stop(self) -> Ended:
        """SIGTERM, and what was said."""
        self.process.send_signal(signal.SIGTERM)
        return end(self.process, self.folder)

    def memory_kib(self) -> int:
        """The resident memory of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (found,) = re.findall(r"VmRSS:\s+(\d+) kB", status)
        return int(found)

    def letters(self, count: int) -> list[Message]:
        """The first `count` dead letters."""
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "test"})
        try:
            consumer.assign([TopicPartition(f"{self.topic}.dead", 0, 0)])
            found: list[Message] = []
            while len(found) < count:
                more = consumer.consume(count - len(found), timeout=60)
                assert more, f"{len(found)} of {count} letters came"
                found += more
            return found
        finally:
            consumer.close()

    def stored(self) -> dict[str, dict[str, str] | str]:
        """All keys of Redis with what they hold."""
        client: Any = self.client  # decodes, which its types do not know
        return {
            key: client.hgetall(key) if client.type(key) == "hash" else client.get(key)
            for key in client.scan_iter(count=1000)
        }


@contextmanager
def living(kafka: KafkaBroker, server: RedisServer, folder: Path, values: Sequence[bytes]) -> Iterator[Life]:
    """A run that reads `values`."""
    topic = kafka.create_topic()
    produce(kafka, topic, values)
    (folder / "tidegauge.yaml").write_text(CONFIG)
    port = free_port()
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "TIDEGAUGE_TOPIC": topic,
        "TIDEGAUGE_CHECKPOINT": "200ms",
        "TIDEGAUGE_STATE": str(folder / "state"),
        "TIDEGAUGE_METRICS_ADDRESS": f"127.0.0.1:{port}",
        "REDIS_URL": server.url,
    }
    with (
        begun(environment, "run", "--config", str(folder / "tidegauge.yaml"), folder=folder) as process,
        redis.Redis.from_url(server.url, decode_responses=True) as client,
    ):
        yield Life(topic, folder, process, port, client, kafka.bootstrap_servers)


def produce(kafka: KafkaBroker, topic: str, values: Sequence[bytes]) -> None:
    from tests.job.running import Deployment

    records = [Record(value, 0, offset, NOW_MS) for offset, value in enumerate(values)]
    Deployment(Config(), Path(), kafka.bootstrap_servers, topic, "").produce(records)


def config(folder: Path) -> Config:
    return load(folder / "tidegauge.yaml", environment={}).config


def cells_of(config: Config) -> list[Cell | Derived]:
    listed = catalogue(config)
    return [*listed.cells, *listed.derived]


def allowed_fields(of: Config) -> set[str]:
    """Every field that the live hash may have, from the config alone."""
    accounts = {f"accounting.{account}" for account in ACCOUNTS}
    cells = {cell.name for cell in cells_of(of) if cell.metric is not None}
    of_partition = {f"{name}{{partition=0}}" for name in (*accounts, *OFFSETS)}
    since = {f"_since.{part}" for part in definitions(of).parts}
    return cells | accounts | of_partition | since | {*RESERVED}


def labels_of(page: str) -> dict[str, set[str]]:
    """The values of every label on a page of metrics; the parser refuses a page that is broken."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            for label, value in sample.labels.items():
                found.setdefault(label, set()).add(value)
    return found


def series_of(page: str) -> int:
    return sum(len(family.samples) for family in text_string_to_metric_families(page))


# ------------------------------------------------------------------------------------------------------ injection


def hostile_values() -> list[bytes]:
    """Each hostile text as name of an event, value of a breakdown, plan, id and so on; and half an emoji."""
    found: list[dict[str, Any]] = []
    for number, text in enumerate(HOSTILE):
        found += [
            event(10 * number, event=text),
            event(10 * number + 1, context={"device": {"type": text}}),
            subscription(10 * number + 2, plan=text),
            event(10 * number + 3, userId=text, messageId=text[:100]),
            event(10 * number + 4, type="page", name=text),
            event(10 * number + 5, type=text),
            subscription(10 * number + 6, status=text),
            subscription(10 * number + 7, currency=text),
            event(10 * number + 8, timestamp=text),
            {**event(10 * number + 9), text: text},
        ]
    values = [json.dumps(one, ensure_ascii=number % 2 == 0).encode() for number, one in enumerate(found)]
    surrogate = rb'{"type":"track","event":"%s","userId":"%s","timestamp":%d,"context":{"device":{"type":"%s"}}}'
    for place in range(3):
        texts = [rb"\ud83d" if place == part else b"x" for part in range(3)]
        values.append(surrogate % (texts[0], texts[1], NOW_MS, texts[2]))
    return [*values, b"\xff\xfe", b"", b"[]", b"\n2026-01-01 00:00:00,000 ERROR   forged"]


@pytest.mark.usefixtures("kafka_jars")
def test_hostile_texts_forge_no_field_no_label_and_no_log_line(
    kafka: KafkaBroker, redis_server: RedisServer, tmp_path: Path
) -> None:
    values = hostile_values()
    with living(kafka, redis_server, tmp_path, values) as life:
        life.read(len(values))
        life.look()
        ended = life.stop()
        stored = life.stored()
    of = config(tmp_path)
    assert ended.code == 0, ended.text
    live = stored.pop(LIVE)
    assert isinstance(live, dict)
    assert set(live) - allowed_fields(of) == set()
    assert live["accounting.consumed"] == str(len(values))
    assert live.pop("_partial") == "[]"
    assert [text for text in live.values() if not re.fullmatch(r"-?\d+(\.\d+)?", text)] == []
    known = r"tidegauge:v1:\{shop\}:(fence|minute:\d{4}-\d\d-\d\dT\d\d:\d\dZ|day:\d{4}-\d\d-\d\d)"
    assert [key for key in stored if not re.fullmatch(known, key)] == []

    allowed = {"family": {*definitions(of).parts}}
    for cell in cells_of(of):
        for label, value in cell.labels.items():
            allowed.setdefault(label, set()).add(value)
    shown = labels_of(life.pages["/metrics"])
    for label, found in shown.items():
        if label in allowed:
            assert found <= allowed[label] | ({"other"} if label == "event" else set()), label
    assert set(shown) - set(allowed) == {"product", "le", "reason", "topic", "partition", "version", "python"}
    assert "forged" not in life.pages["/metrics"]

    at_the_margin = [line for line in ended.err.splitlines() if not line.startswith("    ")]
    assert [
        line
        for line in at_the_margin
        if not re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) ", line)
    ] == []
    assert "forged" not in ended.text
    assert ended.text.replace("\n", "").isprintable()


# --------------------------------------------------------------------------------------------------------- canaries

PEOPLE = (
    "canary-user-7f3a",
    "canary-anonymous-91bc",
    "canary-message-55de",
    "canary-trait-c0ff",
    "canary@example.test",
)


def records_of_people() -> tuple[list[bytes], int]:
    """Good events that hold every canary, and one for each way of being refused; how many are refused."""
    user, anonymous, message, trait, mail = PEOPLE
    body = {"userId": user, "anonymousId": anonymous, "traits": {"email": mail, "name": trait}}
    everything = body | {"messageId": message, "context": {"device": {"type": trait}, "ip": mail}}
    good = [
        event(1, **everything),
        event(2, **body, messageId=message + "-2", type="identify"),
        event(3, anonymousId=anonymous, userId=None, messageId=message + "-3"),
        subscription(4, customer_id=user, subscription_id=message),
        event(5, **everything | {"messageId": message + "-5"}, event="Order Completed"),
    ]
    bad: list[dict[str, Any]] = [
        event(10, **everything | {"userId": user + "x" * 300}),
        event(11, **everything | {"userId": [user]}),
        event(12, **everything | {"messageId": {"id": message}}),
        event(13, **everything | {"messageId": message * 20}),
        event(14, **everything, type=user),
        event(15, **everything, timestamp=user),
        event(16, **everything, timestamp="1999-01-01T00:00:00Z"),
        event(17, **everything, event=None),
        event(18, **everything | {"context": user}),
        event(19, **everything | {"userId": None, "anonymousId": "null", "messageId": user}),
        event(20, **everything | {"userId": user + "\x00"}),
        {**subscription(21, subscription_id=[user], customer_id=user), **body},
        {**subscription(22, amount=user, customer_id=user), **body},
        {**subscription(23, currency=user), **body},
        {**subscription(24, interval=user), **body},
        {**subscription(25, status=user), **body},
        {**subscription(26, effective_at=mail), **body},
    ]
    raw = [
        json.dumps(everything).encode()[:-20],
        b'"' + user.encode() + b'"',
        user.encode(),
        b'{"type":"track","userId":"' + user.encode() + b'\xff"}',
        b'{"userId":"' + user.encode() + b'","type":"track","event":"x","x":' + b"[" * 600 + b"]" * 600 + b"}",
        json.dumps(event(30, **everything | {"properties": {"x": user * 4000}})).encode(),
    ]
    dumped = [json.dumps(one).encode() for one in good + bad]
    return [*dumped, *raw], len(bad) + len(raw)


@pytest.mark.usefixtures("kafka_jars")
def test_ids_of_people_are_found_nowhere_but_in_the_payload_of_dead_letters(
    kafka: KafkaBroker, redis_server: RedisServer, tmp_path: Path
) -> None:
    values, refused = records_of_people()
    with living(kafka, redis_server, tmp_path, values) as life:
        life.read(len(values))
        life.look()
        ended = life.stop()
        stored = life.stored()
        letters = life.letters(refused)
        assert life.client.hget(LIVE, "accounting.accepted") == str(len(values) - refused)
    assert ended.code == 0, ended.text
    headers = [(letter.key(), letter.headers()) for letter in letters]
    told = [json.loads(letter.value() or b"") for letter in letters]
    payloads = [letter.pop("payload") for letter in told]
    state = b"".join(path.read_bytes() for path in sorted((tmp_path / "state").iterdir()))
    places = {
        "log": ended.text,
        **life.pages,
        "Redis": repr(stored),
        "checkpoint": state.decode("latin-1"),
        "headers of dead letters": repr(headers),
        "dead letters but for their payload": repr(told),
    }
    assert {place: person for place, text in places.items() for person in PEOPLE if person in text} == {}
    assert len(state) > 10_000
    assert len({letter["reason"] for letter in told}) >= 6
    assert PEOPLE[0] in "".join(payloads), "a dead letter holds the record, and so whatever the record holds"


# ---------------------------------------------------------------------------------------------------- without end

NAMES = 200_000
GROWTH_KIB = 64 * 1024
"""More than the memory of a process wavers, and less than 200,000 names with anything beside them would need."""


def of_one_user(first: int, count: int, name: str) -> list[bytes]:
    """Events of the same thousand users; each `name` with %d is one of its own."""
    text = json.dumps(event(0)).replace('"u0"', '"u%d"').replace('"m0"', '"m%d"').replace("Product Viewed", "NAME")
    text = text.replace('"ios"', '"DEVICE"')
    return [
        (text % (number % 1000, number)).replace("NAME", name.replace("%d", str(number))).replace(
            "DEVICE", name.replace("%d", str(number))
        ).encode()
        for number in range(first, first + count)
    ]  # fmt: skip


@pytest.mark.usefixtures("kafka_jars")
def test_200_000_names_of_events_and_devices_leave_memory_and_series_flat(
    kafka: KafkaBroker, redis_server: RedisServer, tmp_path: Path
) -> None:
    ordinary = of_one_user(0, NAMES, "Product Viewed")
    with living(kafka, redis_server, tmp_path, ordinary) as life:
        life.read(NAMES)
        life.look()
        before, fields = series_of(life.pages["/metrics"]), set(life.client.hgetall(LIVE))
        memory = life.memory_kib()
        produce(kafka, life.topic, of_one_user(NAMES, NAMES, "Name %d"))
        life.read(2 * NAMES)
        life.look()
        grown = life.memory_kib() - memory
        assert series_of(life.pages["/metrics"]) == before
        assert set(life.client.hgetall(LIVE)) == fields
        assert life.client.hget(LIVE, "accounting.accepted") == str(2 * NAMES)
        assert life.stop().code == 0
    assert grown < GROWTH_KIB, f"{NAMES} names have cost {grown} KiB"
