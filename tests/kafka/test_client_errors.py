from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, KafkaError
from confluent_kafka.admin import AdminClient

from flows.kafka.client_errors import forget, listen
from tests.services import KafkaBroker, wait_until

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    made = Consumer({"bootstrap.servers": NOWHERE, "group.id": "errors", "client.id": "errors", "log_level": 0})
    yield made
    made.close()


def test_errors_are_heard_until_they_are_not_listened_to(consumer: Consumer) -> None:
    heard: list[KafkaError] = []
    client = listen(consumer, "errors", heard.append)

    def down() -> bool:
        consumer.poll(0)
        return any(error.code() == KafkaError._ALL_BROKERS_DOWN for error in heard)

    wait_until(down, "the news that no broker is there")
    assert any(NOWHERE in error.str() for error in heard)
    forget(client)
    heard.clear()
    consumer.poll(0.5)
    assert heard == []


# A wrong callback aborts the process, so this is one of its own. It prints what it has heard, one thing a line.
EVERY_CALLBACK = """
import json, logging, sys, time
from confluent_kafka import Consumer, TopicPartition
from flows.source.librdkafka_queues import LibrdkafkaQueues

servers, topic, security = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
said = set()

def say(what):
    if what not in said:
        said.add(what)
        print(what, flush=True)

class Logs(logging.Handler):
    def emit(self, record):
        say("log")

logger = logging.getLogger("client")
logger.setLevel(logging.DEBUG)
logger.addHandler(Logs())
options = {
    "bootstrap.servers": servers, "group.id": topic, "client.id": "every", "debug": "all",
    "topic.metadata.propagation.max.ms": 1000, "enable.partition.eof": True, "enable.auto.commit": False,
    "statistics.interval.ms": 10, "stats_cb": lambda text: say("statistics"),
    "throttle_cb": lambda event: say("throttling"), "on_commit": lambda error, offsets: say("commit"), **security,
}
if security:
    options["oauth_cb"] = lambda config: say("token") or ("token", time.time() + 2)
consumer = Consumer(options, logger=logger)
queues = LibrdkafkaQueues(consumer, "every", 100, lambda error: say("error"))
queue = queues.queue(topic, 0)
consumer.assign([TopicPartition(topic, 0, 0)])
consumer.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=True)
while True:
    for news in queue.take(100).news:
        say(f"news {news.code}")
    consumer.poll(0.001)
"""


def heard_of(servers: str, topic: str, security: dict[str, str], wanted: set[str], deletes: bool = False) -> set[str]:
    """What a process says until it has said all that is wanted."""
    command = [sys.executable, "-c", EVERY_CALLBACK, servers, topic, json.dumps(security)]
    said: set[str] = set()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.add(line.strip())
            if deletes and f"news {KafkaError._PARTITION_EOF}" in said:
                deletes = False
                admin = AdminClient({"bootstrap.servers": servers})
                admin.delete_topics([topic], operation_timeout=30)[topic].result(60)
            if said >= wanted:
                break
        process.kill()
    return said


def test_no_callback_is_run_where_it_would_abort_the_process(kafka: KafkaBroker) -> None:
    topic = kafka.create_topic(1)
    unknown = f"news {KafkaError.UNKNOWN_TOPIC_OR_PART}"
    wanted = {"statistics", "log", "commit", f"news {KafkaError._PARTITION_EOF}", unknown}
    assert heard_of(kafka.bootstrap_servers, topic, {}, wanted, deletes=True) >= wanted
    # This broker knows no tokens, so that the client asks for one and gets no further.
    security = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "OAUTHBEARER"}
    wanted = {"statistics", "log", "token", "error"}
    assert heard_of(kafka.bootstrap_servers, topic, security, wanted) >= wanted
