"""The task with ClickHouse's Kafka engine, in the process of this program (chDB), tuned.

    python clickhouse.py BOOTSTRAP TOPIC REDIS_URL STATE_FOLDER end|on

ClickHouse answers when it is asked: here once at the end, or every second. Tuning: only the needed columns, sorted
by user, big blocks, one query for each pair of numbers, which reads no more than the time it needs.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final

import chdb
import redis
from confluent_kafka import Consumer, TopicPartition

ASK_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.05

TABLES: Final = """
CREATE DATABASE IF NOT EXISTS peers;
CREATE TABLE IF NOT EXISTS peers.events (
    type LowCardinality(String), event LowCardinality(String), user String, message String, ts Int64,
    part UInt8, place UInt64, valid UInt8
) ENGINE = MergeTree ORDER BY (user, ts);
CREATE TABLE IF NOT EXISTS peers.records (
    type LowCardinality(String), event LowCardinality(String), userId String, messageId String,
    timestamp DateTime64(3, 'UTC')
) ENGINE = Kafka SETTINGS
    kafka_broker_list = '{servers}', kafka_topic_list = '{topic}', kafka_group_name = 'clickhouse',
    kafka_format = 'JSONEachRow', kafka_num_consumers = 1, kafka_max_block_size = 65536,
    kafka_poll_max_batch_size = 65536, kafka_flush_interval_ms = 500, kafka_handle_error_mode = 'stream',
    input_format_skip_unknown_fields = 1, date_time_input_format = 'best_effort',
    input_format_null_as_default = 1;
CREATE MATERIALIZED VIEW IF NOT EXISTS peers.reading TO peers.events AS
SELECT type, event, userId AS user, messageId AS message, toUnixTimestamp64Milli(timestamp) AS ts,
    _partition AS part, _offset AS place,
    _error = '' AND user != '' AND ts > 946684800000 AND ts <= toUnixTimestamp64Milli(_timestamp_ms) + 300000
        AND type IN ('track', 'identify', 'page', 'screen', 'group', 'alias') AS valid
FROM peers.records;
"""

TRAFFIC: Final = """
SELECT countIf(intDiv(ts, 5000) > intDiv({now}, 5000) - 60),
    count(),
    uniqExactIf(user, intDiv(ts, 5000) > intDiv({now}, 5000) - 60),
    uniqExact(user)
FROM (
    SELECT user, ts FROM peers.events
    WHERE valid AND intDiv(ts, 60000) > intDiv({now}, 60000) - 60 LIMIT 1 BY message
)
"""

SESSIONS: Final = """
WITH {now} - 10000 AS watermark
SELECT count(), countIf(length(visit) > 0 AND last - visit[1].1 <= 10000
    AND arrayCount(step -> step.2 = 1, visit) < 2 AND NOT arrayExists(step -> step.3 = 1, visit))
FROM (
    SELECT arrayJoin(arraySplit((step, gap) -> gap > 1800000, steps,
        arrayDifference(arrayMap(step -> step.1, steps)))) AS visit, visit[-1].1 AS last
    FROM (
        SELECT arraySort(groupArray((ts, type != 'track', event = 'Order Completed'))) AS steps
        FROM (
            SELECT user, ts, type, event FROM peers.events
            WHERE valid AND type IN ('track', 'page', 'screen') AND ts < watermark LIMIT 1 BY message
        ) GROUP BY user
    )
)
WHERE last + 1800000 < watermark AND intDiv(last + 1800000, 60000) > intDiv(watermark, 60000) - 60
"""


class Database:
    """ClickHouse in this process."""

    def __init__(self, folder: Path) -> None:
        self._connection = chdb.connect(str(folder))

    def do(self, statements: str) -> None:
        """Run statements that return nothing."""
        for statement in statements.split(";\n"):
            if statement.strip():
                self._connection.query(statement)

    def numbers(self, query: str) -> list[int]:
        """The numbers of a query, row by row."""
        text = str(self._connection.query(query, "TSV"))
        return [int(number) for number in text.split()]


def publish(database: Database, sink: Any) -> None:
    """Ask for everything and write it."""
    (now,) = database.numbers("SELECT max(ts) FROM peers.events WHERE valid")
    if not now:
        return
    events_5m, events_1h, users_5m, users_1h = database.numbers(TRAFFIC.replace("{now}", str(now)))
    closed, bounced = database.numbers(SESSIONS.replace("{now}", str(now)))
    cells = {
        "events.5m": events_5m,
        "events.1h": events_1h,
        "active_users.5m": users_5m,
        "active_users.1h": users_1h,
        "sessions.closed.1h": closed,
        "sessions.bounced.1h": bounced,
    }
    sink.hset("peers", mapping=cells)


def run(bootstrap_servers: str, topic: str, redis_url: str, folder: Path, until_end: bool) -> None:
    """Ask until all is there, or for ever."""
    sink = redis.Redis.from_url(redis_url)
    ends = dict(_ends(bootstrap_servers, topic))
    database = Database(folder)
    database.do(TABLES.replace("{servers}", bootstrap_servers).replace("{topic}", topic))
    while True:
        if until_end:
            read = iter(database.numbers("SELECT part, max(place) + 1 FROM peers.events GROUP BY part"))
            offsets = dict(zip(read, read, strict=True))
            if all(offsets.get(part, 0) >= end for part, end in ends.items()):
                publish(database, sink)
                return
            time.sleep(LOOK_SECONDS)
        else:
            publish(database, sink)
            time.sleep(ASK_SECONDS)


def _ends(bootstrap_servers: str, topic: str) -> Any:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "ends"})
    for number in consumer.list_topics(topic, 10).topics[topic].partitions:
        yield number, consumer.get_watermark_offsets(TopicPartition(topic, number), 10)[1]
    consumer.close()


if __name__ == "__main__":
    servers, name, url, state, mode = sys.argv[1:]
    run(servers, name, url, Path(state) / "clickhouse", until_end=mode == "end")
