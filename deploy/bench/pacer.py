"""An open loop: sends events at a fixed rate whatever becomes of them, and notes what was due when.

    python -m deploy.bench.pacer BOOTSTRAP TOPIC PARTITIONS USERS RATE SECONDS LOG

Every `BEAT_MS` a batch is due, in equal parts for all partitions, with the due time as the events' own time;
ages count from there, which is a little before Kafka's CreateTime. A sender that falls behind makes the numbers
worse, not the load lighter. LOG gets a line per batch as soon as it is handed to the producer: due time (ms), how
many records each partition has by then, and how many ms the feed is late: those since the batch was due, and those
that Kafka needs at this rate for what it has not taken yet.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from confluent_kafka import Producer

from deploy.bench.outgoing import Bodies, Outgoing
from deploy.bench.stream import Stream

BEAT_MS = 20
BODIES = 100_000
SEND_SECONDS = 60.0
IN_FLIGHT = 500_000
NAME = "pacer"


def bodies(stream: Stream) -> list[list[bytes]]:
    """By partition, what follows messageId and time in `BODIES` events; nothing broken among them."""
    parts: list[list[bytes]] = [[] for _ in range(stream.partitions)]
    for chunk in stream.chunks(0, max(BODIES, stream.users)):
        for value, partition in zip(chunk.values, chunk.partitions, strict=True):
            middle, found, tail = value.partition(b'"timestamp":"20')
            if found and middle.startswith(b'{"messageId":"') and b'"userId"' in middle and tail.endswith(b"}}"):
                type_and_user = middle[middle.index(b'"type"') :]
                parts[partition].append(type_and_user + tail[tail.index(b'"context"') :])
    return parts


def send(bootstrap_servers: str, topic: str, stream: Stream, rate: float, seconds: float, log: Path) -> None:
    """Send for so long, and wait until Kafka has it all."""
    pool = [Bodies(part) for part in bodies(stream)]
    producer = Producer(
        {
            "client.id": NAME,
            "bootstrap.servers": bootstrap_servers,
            "compression.type": "lz4",
            "enable.idempotence": True,
            "linger.ms": 2,
            "queue.buffering.max.messages": 2_000_000,
            "queue.buffering.max.kbytes": 1024 * 1024,
            "log_level": 2,
        }
    )
    outgoing = Outgoing(producer, NAME, topic)
    each = rate * BEAT_MS / 1000 / stream.partitions
    sent = [0] * stream.partitions
    number = 1
    began_s = time.time() + 0.1
    with log.open("w") as lines:
        for beat in range(1, int(seconds * 1000 / BEAT_MS) + 1):
            due_s = began_s + beat * BEAT_MS / 1000
            producer.poll(0)
            if (early := due_s - time.time()) > 0:
                time.sleep(early)
            due_ms = int(due_s * 1000)
            for partition, part in enumerate(pool):
                until = round(each * beat)
                while len(producer) > IN_FLIGHT:  # Kafka is slower than this rate: then the feed is late
                    producer.poll(0.01)
                while sent[partition] < until:
                    begin = sent[partition] % len(part)
                    end = min(len(part), begin + until - sent[partition])
                    part.stamp(begin, end, number, due_ms)
                    outgoing.send(part, begin, end, partition)
                    number += end - begin
                    sent[partition] += end - begin
            late_ms = time.time() * 1000 - due_ms + len(producer) / rate * 1000
            lines.write(f"{due_ms} {' '.join(map(str, sent))} late {late_ms:.1f}\n")
            lines.flush()
        if producer.flush(SEND_SECONDS):
            raise RuntimeError("Kafka did not take all records")
        lines.write("end\n")


if __name__ == "__main__":
    servers, topic, partitions, users, rate, seconds, log = sys.argv[1:]
    paced = Stream(users=int(users), partitions=int(partitions))
    send(servers, topic, paced, float(rate), float(seconds), Path(log))
