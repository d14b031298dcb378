"""A phone whose clock is fast, on a real Kafka: it moves nobody's time but its own."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from flows.audit import Record, recompute
from flows.config.model import Config
from tests.job.running import SECONDS, Deployment, cells_of, disagreements, end
from tests.services import KafkaBroker, RedisServer, wait_until

MINUTE = 60_000
VISITORS = 60
PARTITIONS = 4


def stream(now_ms: int, ahead_ms: int) -> list[Record]:
    """The last ten minutes before `now_ms`: visitors of two pages each, and a phone that sends all the while.

    A record is written when its event happens, as the machine's clock has it.
    """
    happened: list[tuple[int, str, int]] = []  # when, whose, how far ahead
    for visitor in range(VISITORS):
        start = now_ms - 10 * MINUTE + visitor * 10_000
        happened += [(start, f"visitor-{visitor}", 0), (start + 5_000, f"visitor-{visitor}", 0)]
    happened += [(now_ms - 10 * MINUTE + beat * 15_000, "fast-phone", ahead_ms) for beat in range(40)]
    offsets = dict.fromkeys(range(PARTITIONS), 0)
    records = []
    for at_ms, who, ahead in sorted(happened):
        partition = sum(who.encode()) % PARTITIONS
        event = {"type": "page", "anonymousId": who, "timestamp": at_ms + ahead, "messageId": f"{who}-{at_ms}"}
        records.append(Record(json.dumps(event).encode(), partition, offsets[partition], at_ms))
        offsets[partition] += 1
    return records


@pytest.mark.parametrize("ahead_ms", [120_000, 299_000])
def test_a_fast_phone_makes_nobody_late_and_the_numbers_are_not_of_the_future(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer, ahead_ms: int
) -> None:
    config = Config(product=f"fast-{ahead_ms}".replace("-", "_"), shards=2)
    records = stream(time.time_ns() // 1_000_000, ahead_ms)
    job = Deployment(config, tmp_path, kafka.bootstrap_servers, kafka.create_topic(PARTITIONS), redis_server.url)
    job.produce(records)

    run = job.start()
    job.wait_until_consumed(len(records), run)
    wait_until(lambda: int(job.live().get("sessions.started.1h", 0)) > VISITORS, "all sessions have begun", SECONDS)
    live = job.live()
    assert int(live["_as_of"]) <= time.time_ns() // 1_000_000  # the machine's clock is that of the records
    assert (live["accounting.late"], live["accounting.on_time"]) == ("0", str(len(records)))
    assert end(run, signal.SIGTERM) == 0

    as_of = records[-1].timestamp_ms + 10 * MINUTE
    again = job.start("--until-end", "--as-of", str(as_of), state="another")
    assert again.wait(SECONDS) == 0, job.log()
    expected = recompute(records, config, as_of)
    assert disagreements(expected, cells_of(job.live())) == {}
    assert expected.cells["sessions.started.1h"] == VISITORS + 1
