"""A run through TLS, passwords and minimal rights: it does all its work, and lets no secret out."""

from __future__ import annotations

import http.client
import json
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest
import redis
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.security.conftest import PASSWORDS, SecureKafka, SecureRedis
from tests.security.running import SECONDS, begun, command_line, end, run
from tests.services import free_port, wait_until

NOW_MS = time.time_ns() // 1_000_000


def event(number: int) -> bytes:
    body = {"type": "track", "event": "Order Completed", "userId": f"u{number}", "messageId": f"m{number}"}
    return json.dumps(body | {"timestamp": NOW_MS + number}).encode()


def produce(options: dict[str, str], topic: str, values: list[bytes]) -> list[str]:
    """Send `values`; the errors that came back."""
    failures: list[str] = []
    producer = Producer(options)
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: failures.append(error.str()) if error else None)
    assert producer.flush(60) == 0
    return failures


def secrets_in(text: str) -> list[str]:
    return [name for name, password in PASSWORDS.items() if password in text]


def everything_in(client: redis.Redis) -> str:
    """All keys of a Redis with all they hold."""
    found: list[object] = []
    for key in client.scan_iter():
        found += [key, client.hgetall(key) if client.type(key) == "hash" else client.get(key)]
    return repr(found)


def committed(admin: AdminClient, group: str) -> int:
    """The offset of partition 0 of topic `events` that a group knows; negative: none."""
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition("events", 0)])
    (known,) = admin.list_consumer_group_offsets([asked])[group].result(60).topic_partitions
    return int(known.offset)


@pytest.fixture
def environment(secure_kafka: SecureKafka, secure_redis: SecureRedis, tmp_path: Path) -> dict[str, str]:
    """A run with the rights of the page and nothing more, its secrets in private files."""
    url = tmp_path / "redis.url"
    url.touch(mode=0o600)
    url.write_text(secure_redis.url())
    return secure_kafka.environment() | {"REDIS_URL_FILE": str(url), "TIDEGAUGE_STATE": str(tmp_path / "state")}


def product(folder: Path) -> list[str]:
    file = folder / "tidegauge.yaml"
    file.write_text("version: 1\nproduct: shop\nkey_actions: [Order Completed]\n")
    return ["--config", str(file)]


def test_a_run_with_the_documented_rights_does_all_its_work_and_shows_no_secret(
    secure_kafka: SecureKafka, secure_redis: SecureRedis, environment: dict[str, str], tmp_path: Path
) -> None:
    assert produce(secure_kafka.client("shop"), "events", [event(n) for n in range(40)] + [b"broken"]) == []
    port = free_port()
    environment |= {"TIDEGAUGE_METRICS_ADDRESS": f"127.0.0.1:{port}", "TIDEGAUGE_CHECKPOINT": "200ms"}
    with (
        begun(environment, "run", *product(tmp_path), folder=tmp_path) as process,
        secure_redis.admin() as admin,
    ):
        live = "tidegauge:v1:{shop}:live"
        wait_until(lambda: process.poll() is not None or admin.hget(live, "_consumed") == "41", "41 records", SECONDS)
        shown = command_line(process.pid) if process.poll() is None else ""
        pages = []
        for path in ("/metrics", "/readyz", "/livez", "/"):
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                connection.request("GET", path)
                pages.append(connection.getresponse().read().decode())
        owner = {"bootstrap.servers": secure_kafka.broker.bootstrap_servers}
        broker = AdminClient({**owner})
        wait_until(
            lambda: process.poll() is not None or committed(broker, "tidegauge-shop") == 41, "the commit", SECONDS
        )
        process.send_signal(signal.SIGTERM)
        ended = end(process, tmp_path)
        assert (ended.code, ended.errors) == (0, []), ended.text
        assert ended.warnings == []
        assert admin.hget(live, "events.order_completed.1h") == "40"
        assert admin.hget(live, "accounting.rejected.not_json") == "1"
        stored = everything_in(admin)
    files = "".join(file.read_bytes().decode("latin-1") for file in (tmp_path / "state").iterdir())
    assert {place: secrets_in(text) for place, text in {
        "log": ended.text, "process list": shown, "pages": "".join(pages), "Redis": stored, "checkpoint": files,
    }.items() if secrets_in(text)} == {}  # fmt: skip
    assert (len(pages), "shop" in stored, "flows.app" in shown, len(files) > 1000) == (4, True, True, True)

    consumer = Consumer({**owner, "group.id": "test"})
    consumer.assign([TopicPartition("events.dead", 0, 0)])
    (letter,) = consumer.consume(1, timeout=60)
    consumer.close()
    assert json.loads(letter.value() or b"")["payload"] == "broken"


def test_the_rights_of_the_page_are_no_more_than_that(secure_kafka: SecureKafka) -> None:
    assert produce(secure_kafka.client("tidegauge"), "events", [b"x"]) == ["Broker: Topic authorization failed"]
    assert produce(secure_kafka.client("shop"), "events.dead", [b"x"]) == ["Broker: Topic authorization failed"]
    admin = AdminClient({**secure_kafka.client("tidegauge")})
    with pytest.raises(KafkaException, match="authorization failed"):
        admin.delete_topics(["events"])["events"].result(60)
    assert set(admin.list_topics(timeout=30).topics) == {"events", "events.dead"}
    consumer = Consumer({**secure_kafka.client("shop"), "group.id": "test"})
    consumer.assign([TopicPartition("events", 0, 0)])
    (refused,) = consumer.consume(1, timeout=60)
    consumer.close()
    assert refused.error() is not None


def test_a_reader_with_the_documented_rights_sees_the_numbers_and_changes_none(
    secure_redis: SecureRedis, tmp_path: Path
) -> None:
    with secure_redis.admin() as admin:
        published = {"active_users.5m": "7", "accounting.consumed": "9", "_published_at": str(NOW_MS + 3_600_000)}
        admin.hset("tidegauge:v1:{shop}:live", mapping=published)
        admin.set("tidegauge:v1:{shop}:fence", "1")
        admin.set("session:1", "somebody else's")
        seen = run(
            {"REDIS_URL": secure_redis.url("tidegauge-reader")}, "top", "--json", "--product", "shop", folder=tmp_path
        )
        assert (seen.code, json.loads(seen.out)["cells"]["active_users.5m"]) == (0, 7)
        assert (seen.err, secrets_in(seen.text)) == ("", [])
        unnamed = run({"REDIS_URL": secure_redis.url("tidegauge-reader")}, "top", "--once", folder=tmp_path)
        assert (unnamed.code, unnamed.err) == (
            2,
            "tidegauge top: this user may not look for products in Redis; name one with --product or --config\n",
        )
        with redis.Redis.from_url(secure_redis.url("tidegauge-reader"), decode_responses=True) as reader:
            assert reader.hget("tidegauge:v1:{shop}:live", "active_users.5m") == "7"
            assert reader.hgetall("tidegauge:v1:{shop}:minute:2026-01-01T00:00Z") == {}
            assert reader.hgetall("tidegauge:v1:{shop}:day:2026-01-01") == {}
            with reader.pubsub() as changes:
                changes.subscribe("tidegauge:v1:{shop}:changes")
                assert (changes.get_message(timeout=30) or {})["type"] == "subscribe"
            for refused in (
                ("HSET", "tidegauge:v1:{shop}:live", "active_users.5m", "0"),
                ("DEL", "tidegauge:v1:{shop}:live"),
                ("GET", "tidegauge:v1:{shop}:fence"),
                ("GET", "session:1"),
                ("HGETALL", "tidegauge:v1:{other}:live"),
                ("KEYS", "*"),
                ("EVAL", "return 1", "0"),
                ("CONFIG", "GET", "*"),
                ("FLUSHALL",),
            ):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    reader.execute_command(*refused)
        assert admin.hgetall("tidegauge:v1:{shop}:live") == published


def test_the_publishers_user_can_touch_no_other_product_and_nothing_of_others(secure_redis: SecureRedis) -> None:
    with redis.Redis.from_url(secure_redis.url(), decode_responses=True) as client:
        for refused in (
            ("HSET", "tidegauge:v1:{other}:live", "a", "1"),
            ("GET", "session:1"),
            ("HGETALL", "tidegauge:v1:{shop}:live"),
            ("PUBLISH", "tidegauge:v1:{other}:changes", "1"),
            ("EVAL", "return redis.call('GET', 'session:1')", "0"),
            ("EVAL", "return redis.call('FLUSHALL')", "0"),
            ("CONFIG", "GET", "*"),
            ("ACL", "LIST"),
        ):
            with pytest.raises((redis.exceptions.NoPermissionError, redis.exceptions.ResponseError)):
                client.execute_command(*refused)
