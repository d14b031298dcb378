"""The task with Pathway's tables, tuned.

    python pathway_tables.py BOOTSTRAP TOPIC REDIS_URL STATE_FOLDER end|on

Tuning: the native Kafka and JSON reader; no Python for single events; instead of sliding windows, which
multiply each event by 60, counts per pane and users per pane of their newest event, which the reader adds up; one
write to Redis per moment of the engine; the input saved, for saving operators asks for a licence key.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import pathway as pw
import redis

PANES_MS: Final = {"5m": 5_000, "1h": 60_000}
GAP_MS: Final = 1_800_000
COMMIT_MS: Final = 200
SNAPSHOT_MS: Final = 10_000
YEAR_2100_MS: Final = 4_102_444_800_000


class Event(pw.Schema):
    """The fields that are needed."""

    type: str
    event: str | None = pw.column_definition(default_value=None)
    userId: str  # noqa: N815 - the name on the wire
    messageId: str  # noqa: N815
    timestamp: str


class Fields:
    """Collects what has changed at one moment and writes it at once."""

    def __init__(self, url: str) -> None:
        self._client: Any = redis.Redis.from_url(url)
        self._changed: dict[str, int] = {}

    def publish(self, table: pw.Table, cell: str, pane_ms: int, column: str = "number") -> None:
        """Keep `<cell>@<end of pane>/0` at the column's value."""

        def on_change(key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:
            name = f"{cell}@{(row['pane'] + 1) * pane_ms}/0"
            if is_addition:
                self._changed[name] = row[column]
            else:
                self._changed.setdefault(name, 0)

        pw.io.subscribe(table, on_change, on_time_end=self._write, on_end=lambda: self._write(0))

    def _write(self, _time: int) -> None:
        if self._changed:
            self._client.hset("peers", mapping=self._changed)
            self._changed = {}


def build(bootstrap_servers: str, topic: str, fields: Fields, until_end: bool) -> None:
    """The tables."""
    records = pw.io.kafka.read(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "pathway",
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": "20",
            "fetch.wait.max.ms": "20",
        },
        topic,
        schema=Event,
        format="json",
        mode="static" if until_end else "streaming",
        autocommit_duration_ms=COMMIT_MS,
        name="records",
    )
    timed = records.select(
        pw.this.type,
        pw.this.event,
        pw.this.messageId,
        user=pw.this.userId,
        ts=pw.fill_error(pw.this.timestamp.dt.strptime("%Y-%m-%dT%H:%M:%S.%3fZ").dt.timestamp(unit="ms"), -1.0),
    ).filter((pw.this.ts >= 0) & (pw.this.ts < YEAR_2100_MS) & (pw.this.user != ""))
    events = timed.groupby(pw.this.messageId).reduce(
        user=pw.reducers.any(pw.this.user),
        ts=pw.cast(int, pw.reducers.min(pw.this.ts)),
        view=pw.reducers.any((pw.this.type == "page") | (pw.this.type == "screen")),
        track=pw.reducers.any(pw.this.type == "track"),
        order=pw.reducers.any(pw.coalesce(pw.this.event, "") == "Order Completed"),
    )
    for window, pane in PANES_MS.items():
        panes = events.select(pane=pw.this.ts // pane)
        fields.publish(
            panes.groupby(pw.this.pane).reduce(pw.this.pane, number=pw.reducers.count()), f"events.{window}", pane
        )
        newest = events.groupby(pw.this.user).reduce(pane=pw.reducers.max(pw.this.ts) // pane)
        fields.publish(
            newest.groupby(pw.this.pane).reduce(pw.this.pane, number=pw.reducers.count()),
            f"active_users.{window}",
            pane,
        )
    visits = events.filter(pw.this.view | pw.this.track)
    sessions = visits.windowby(
        pw.this.ts, window=pw.temporal.session(max_gap=GAP_MS + 1), instance=pw.this.user
    ).reduce(
        first=pw.reducers.min(pw.this.ts),
        last=pw.reducers.max(pw.this.ts),
        views=pw.reducers.sum(pw.cast(int, pw.this.view)),
        orders=pw.reducers.sum(pw.cast(int, pw.this.order)),
    )
    closings = sessions.select(
        pane=(pw.this.last + GAP_MS) // PANES_MS["1h"],
        bounced=pw.cast(int, (pw.this.last - pw.this.first <= 10_000) & (pw.this.views < 2) & (pw.this.orders == 0)),
    )
    minutes = closings.groupby(pw.this.pane).reduce(
        pw.this.pane, closed=pw.reducers.count(), bounced=pw.reducers.sum(pw.this.bounced)
    )
    fields.publish(minutes, "sessions.closed.1h", PANES_MS["1h"], "closed")
    fields.publish(minutes, "sessions.bounced.1h", PANES_MS["1h"], "bounced")


if __name__ == "__main__":
    servers, name, url, state, mode = sys.argv[1:]
    build(servers, name, Fields(url), until_end=mode == "end")
    pw.run(
        monitoring_level=pw.MonitoringLevel.NONE,
        terminate_on_error=False,
        persistence_config=pw.persistence.Config(
            pw.persistence.Backend.filesystem(Path(state) / "pathway"),
            snapshot_interval_ms=SNAPSHOT_MS,
            persistence_mode=pw.PersistenceMode.PERSISTING,
        ),
    )
