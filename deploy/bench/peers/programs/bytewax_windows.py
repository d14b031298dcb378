"""The task with Bytewax's own windowing operators, tuned.

    python bytewax_windows.py BOOTSTRAP TOPIC REDIS_URL STATE_FOLDER end|on

Tuning: one key per partition instead of one per user where that is possible, for the clock of a window is its key's; a
sliding window of 60 panes in two steps (tumbling panes of events, then sliding windows of panes), which spares
59 of 60 updates per event; big batches from Kafka; one write to Redis per batch. The clock of panes and windows moves
with the events only, for one that moves with the wall clock as well (the default) takes downtime for lateness. That of
sessions is the default, or those of users who do not return would never close.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import bytewax.operators as op
import bytewax.operators.windowing as win
import msgspec
import redis
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

BATCH: Final = 2_000
AHEAD_MS: Final = 300_000
LATENESS: Final = timedelta(seconds=10)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MOMENT: Final = timedelta(microseconds=1)
WINDOWS: Final = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1)}
TUNED: Final = {
    "auto.offset.reset": "earliest",
    "fetch.queue.backoff.ms": "20",
    "fetch.wait.max.ms": "20",
    "queued.min.messages": "100000",
    "queued.max.messages.kbytes": "16384",
    "fetch.max.bytes": "8388608",
    "group.id": "bytewax",
}


class Event(msgspec.Struct, gc=False):
    """The fields that are needed."""

    type: Literal["track", "identify", "page", "screen", "group", "alias"]
    timestamp: datetime
    userId: str  # noqa: N815 - the name on the wire
    event: str | None = None


@dataclass(slots=True)
class Pane:
    """What a pane of a partition holds."""

    events: int
    users: set[str]


class _Writer(StatelessSinkPartition[Any]):
    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)

    def write_batch(self, items: list[Any]) -> None:
        self._client.hset("peers", mapping=dict(items))


class RedisSink(DynamicSink[Any]):
    """A hash of the newest values."""

    def __init__(self, url: str) -> None:
        self._url = url

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> _Writer:
        return _Writer(self._url)


def milliseconds(at: datetime) -> int:
    """Since the epoch."""
    return round(at.timestamp() * 1000)


def flow(bootstrap_servers: str, topic: str, redis_url: str, until_end: bool) -> Dataflow:
    """The graph."""
    decode = msgspec.json.Decoder(Event).decode

    def read(batch: list[Any]) -> list[tuple[str, Event]]:
        events = []
        for message in batch:
            try:
                event = decode(message.value)
            except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
                continue
            if event.userId and milliseconds(event.timestamp) <= message.timestamp[1] + AHEAD_MS:
                events.append((str(message.partition), event))
        return events

    graph = Dataflow("peers")
    source = KafkaSource(bootstrap_servers.split(","), [topic], tail=not until_end, batch_size=BATCH, add_config=TUNED)
    events = op.flat_map_batch("read", op.input("source", graph, source), read)
    clock: Any = win.EventClock(
        lambda event: event.timestamp, LATENESS, now_getter=lambda: EPOCH, to_system_utc=lambda _at: None
    )
    written: list[Any] = []
    for name, length in WINDOWS.items():
        pane = length / 60
        panes = win.fold_window(
            f"panes_{name}",
            events,
            clock,
            win.TumblingWindower(length=pane, align_to=EPOCH),
            builder=lambda: Pane(0, set()),
            folder=_count,
            merger=_merge,
        )
        placed = op.map_value(
            f"placed_{name}", panes.down, lambda pair, pane=pane: (EPOCH + (pair[0] + 1) * pane - MOMENT, pair[1])
        )
        sliding = win.fold_window(
            f"windows_{name}",
            placed,
            win.EventClock(
                lambda pair: pair[0], timedelta(0), now_getter=lambda: EPOCH, to_system_utc=lambda _at: None
            ),
            win.SlidingWindower(length=length, offset=pane, align_to=EPOCH),
            builder=lambda: Pane(0, set()),
            folder=lambda whole, pair: _merge(whole, pair[1]),
            merger=_merge,
        )

        def by_end(item: Any, name: str = name, length: timedelta = length, pane: timedelta = pane) -> Any:
            partition, (window, whole) = item
            end = milliseconds(EPOCH + window * pane + length)
            return (f"{name}@{end}", (partition, whole.events, len(whole.users)))

        # A user's events lie in one partition, so that both counts of the partitions add up.
        added = op.stateful_map(f"added_{name}", op.map(f"by_end_{name}", sliding.down, by_end), _add)
        written.append(op.flat_map(f"fields_{name}", added, _fields))
    visits = op.key_on(
        "by_user", op.filter_map("visits", events, lambda item: _visit(item[1])), lambda event: event.userId
    )
    sessions = win.fold_window(
        "sessions",
        visits,
        win.EventClock(lambda event: event.timestamp, wait_for_system_duration=LATENESS),
        win.SessionWindower(gap=timedelta(minutes=30)),
        builder=list,
        folder=_extend,
        merger=lambda one, other: [
            min(one[0], other[0]),
            max(one[1], other[1]),
            *(a + b for a, b in zip(one[2:], other[2:], strict=True)),
        ],
    )
    closed = op.map("closed", sessions.down, _closed)
    minutes = op.stateful_map("minutes", closed, _sum)
    written.append(op.flat_map("fields_sessions", minutes, _session_fields))
    op.output("redis", op.merge("written", *written), RedisSink(redis_url))
    return graph


def _count(pane: Pane, event: Event) -> Pane:
    pane.events += 1
    pane.users.add(event.userId)
    return pane


def _merge(one: Pane, other: Pane) -> Pane:
    one.events += other.events
    one.users |= other.users
    return one


def _add(state: dict[str, tuple[int, int]] | None, counts: tuple[str, int, int]) -> Any:
    state = state or {}
    partition, events, users = counts
    state[partition] = (events, users)
    totals = (sum(pair[0] for pair in state.values()), sum(pair[1] for pair in state.values()))
    return state, totals


def _fields(item: Any) -> Any:
    place, (events, users) = item
    name, _, end = place.partition("@")
    return [(f"events.{name}@{end}", events), (f"active_users.{name}@{end}", users)]


def _visit(event: Event) -> Event | None:
    return event if event.type in ("track", "page", "screen") else None


def _extend(session: list[Any], event: Event) -> list[Any]:
    if not session:
        session = [event.timestamp, event.timestamp, 0, 0]
    session[0] = min(session[0], event.timestamp)
    session[1] = max(session[1], event.timestamp)
    session[2] += event.type != "track"
    session[3] += event.event == "Order Completed"
    return session


def _closed(item: Any) -> Any:
    _, (_, (start, last, views, orders)) = item
    minute = milliseconds(last + timedelta(minutes=30)) // 60_000
    return (str(minute), last - start <= timedelta(seconds=10) and views < 2 and orders == 0)


def _sum(state: tuple[int, int] | None, bounced: bool) -> Any:
    closed, bounces = state or (0, 0)
    return (closed + 1, bounces + bounced), (closed + 1, bounces + bounced)


def _session_fields(item: Any) -> Any:
    minute, (closed, bounced) = item
    end = (int(minute) + 1) * 60_000
    return [(f"sessions.closed.1m@{end}", closed), (f"sessions.bounced.1m@{end}", bounced)]


if __name__ == "__main__":
    servers, name, url, state, mode = sys.argv[1:]
    folder = Path(state) / "recovery"
    if not folder.exists():
        folder.mkdir(parents=True)
        init_db_dir(folder, 1)
    cli_main(
        flow(servers, name, url, until_end=mode == "end"),
        epoch_interval=timedelta(seconds=10),
        recovery_config=RecoveryConfig(str(folder)),
    )
