"""The traffic of the task with Quix Streams, tuned.

    python quix.py BOOTSTRAP TOPIC REDIS_URL STATE_FOLDER end|on

Tuning: one key per partition, so that nothing has to be sent through Kafka once more; a decoder of just the time;
tumbling panes, for a hopping window of 60 of them would be updated 60 times by each event (the reader adds up panes
and partitions); a commit a second, for the sink writes at commits.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import redis
from quixstreams import Application
from quixstreams.models import Deserializer
from quixstreams.models.serializers import IgnoreMessage
from quixstreams.sinks import BatchingSink, SinkBatch

AHEAD_MS: Final = 300_000
GRACE_MS: Final = 10_000
PANES_MS: Final = {"5m": 5_000, "1h": 60_000}
COMMIT_SECONDS: Final = 1.0
END_SECONDS: Final = 5.0  # without a record: the end of the topic


class Event(msgspec.Struct, gc=False):
    """The fields that are needed to say what is an event, and when it was."""

    type: Literal["track", "identify", "page", "screen", "group", "alias"]
    timestamp: datetime
    userId: str  # noqa: N815 - the name on the wire


class Time(Deserializer):
    """The time of an event, in a list that its record's time can take the place of."""

    def __init__(self) -> None:
        super().__init__()
        self._decode = msgspec.json.Decoder(Event).decode

    def __call__(self, value: bytes, ctx: Any) -> list[int]:
        try:
            event = self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise IgnoreMessage from error
        if not event.userId:
            raise IgnoreMessage
        return [round(event.timestamp.timestamp() * 1000)]


class OneKey(Deserializer):
    """The same key for all records: windows are per key and partition."""

    def __call__(self, value: bytes, ctx: Any) -> str:
        return "all"


def event_time(value: list[int], headers: Any, timestamp_ms: int, kind: Any) -> int:
    """When it was; the record's own time, and a mark, for what claims to come from the future."""
    if value[0] > timestamp_ms + AHEAD_MS:
        value[0] = -1
        return timestamp_ms
    return value[0]


class Fields(BatchingSink):
    """A Redis hash of the newest values: `events.<window>@<end of pane>/<partition>`."""

    def __init__(self, url: str, window: str) -> None:
        super().__init__()
        self._client = redis.Redis.from_url(url)
        self._window = window

    def write(self, batch: SinkBatch) -> None:
        newest = {item.value["end"]: item.value["value"] for item in batch}
        if newest:
            at = f"events.{self._window}@%d/{batch.partition}"
            self._client.hset("peers", mapping={at % end: number for end, number in newest.items()})


def run(bootstrap_servers: str, topic: str, redis_url: str, folder: Path, until_end: bool) -> None:
    """Count until no more comes, or for ever."""
    app = Application(
        broker_address=bootstrap_servers,
        consumer_group="quix",
        auto_offset_reset="earliest",
        commit_interval=COMMIT_SECONDS,
        state_dir=folder,
        loglevel="WARNING",
        consumer_poll_timeout=0.1,
        consumer_extra_config={"fetch.queue.backoff.ms": 20, "fetch.wait.max.ms": 20},
    )
    records = app.topic(topic, value_deserializer=Time(), key_deserializer=OneKey(), timestamp_extractor=event_time)
    events = app.dataframe(records).filter(lambda value: value[0] >= 0)
    for window, pane in PANES_MS.items():
        panes = events.tumbling_window(pane, grace_ms=GRACE_MS, name=f"panes_{window}", on_late=lambda *_: False)
        panes.count().current().sink(Fields(redis_url, window))
    app.run(timeout=END_SECONDS if until_end else 0.0)


if __name__ == "__main__":
    servers, name, url, state, mode = sys.argv[1:]
    run(servers, name, url, Path(state) / "quix", until_end=mode == "end")
