"""An open loop of events in real time: sends so many a second whatever becomes of them, and notes what was due when.

    python -m deploy.bench.peers.steady BOOTSTRAP TOPIC PARTITIONS USERS RATE SECONDS LOG

As `deploy.bench.pacer`, whose log it writes, but with the timestamps that all peers can read: text.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka import Producer

from deploy.bench.pacer import BEAT_MS, SEND_SECONDS, bodies
from deploy.bench.stream import Stream


def send(bootstrap_servers: str, topic: str, stream: Stream, rate: float, seconds: float, log: Path) -> None:
    """Send for so long, and wait until Kafka has it all."""
    pool = bodies(stream)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "compression.type": "lz4",
            "enable.idempotence": True,
            "linger.ms": 2,
            "log_level": 2,
        }
    )
    each = rate * BEAT_MS / 1000 / stream.partitions
    sent = [0] * stream.partitions
    number = 0
    began_s = time.time() + 0.1
    own = int(began_s * 1000)  # no id of another load of the same topic
    with log.open("w") as lines:
        for beat in range(1, int(seconds * 1000 / BEAT_MS) + 1):
            due_s = began_s + beat * BEAT_MS / 1000
            producer.poll(0)
            if (early := due_s - time.time()) > 0:
                time.sleep(early)
            due_ms = int(due_s * 1000)
            at = datetime.fromtimestamp(due_ms / 1000, UTC).isoformat(timespec="milliseconds")[:23].encode()
            for partition, part in enumerate(pool):
                for place in range(sent[partition], round(each * beat)):
                    number += 1
                    body = part[place % len(part)]
                    value = b'{"messageId":"%x-%08x","timestamp":"%bZ",%b' % (own, number, at, body)
                    user = body.split(b'"userId":"', 1)[1].split(b'"', 1)[0]
                    producer.produce(topic, value, user, partition)
                    sent[partition] += 1
            lines.write(f"{due_ms} {' '.join(map(str, sent))}\n")
            lines.flush()
        if producer.flush(SEND_SECONDS):
            raise RuntimeError("Kafka did not take all records")
        lines.write("end\n")


if __name__ == "__main__":
    servers, topic, partitions, users, rate, seconds, log = sys.argv[1:]
    paced = Stream(users=int(users), partitions=int(partitions))
    send(servers, topic, paced, float(rate), float(seconds), Path(log))
