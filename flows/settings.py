"""Where the job runs: connections and limits, from the environment or the `connections` part of the file.

Nothing here changes what a number means; that is `config.py`. Secrets come from environment or files, never from argv.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Limits:
    """Every limit has a name."""

    record_bytes: int = 32 * 1024  # a larger record is rejected as too_large
    poll_records: int = 10_000  # records handed on at once
    queued_kbytes: int = 32 * 1024  # librdkafka's own queue
    skew_ms: int = 60_000  # how far (event time) a partition may be read ahead of the slowest lagging one
    users_per_shard: int = 4_000_000  # beyond it the longest idle are forgotten, and counted
    held_per_shard: int = 4_000_000  # rows in the reorder buffer
    dead_letters_per_second: int = 1_000  # beyond it records are still counted, no longer copied
    publish_fields: int = 200_000  # cells in one publish


@dataclass(frozen=True, slots=True)
class Settings:
    """Connections and pace of one process."""

    bootstrap_servers: str = ""
    topic: str = "events"
    dead_letter_topic: str = ""  # empty: <topic>.dead
    group_id: str = ""  # empty: tidegauge-<product>; offsets are committed there for lag tools, never read back
    kafka: Mapping[str, str] = field(default_factory=dict)  # librdkafka options passed through: TLS, SASL, ...
    start: Literal["earliest", "latest"] = "earliest"  # without a checkpoint
    on_lost_offset: Literal["stop", "earliest", "latest"] = "stop"
    redis_url: str = ""  # empty: nothing is written to Redis
    metrics_address: str = "127.0.0.1:9108"  # empty: no HTTP endpoint
    state: Path | None = None  # checkpoint folder; None: none is kept
    tick_ms: int = 500  # publish interval
    checkpoint_ms: int = 10_000  # checkpoint interval
    limits: Limits = Limits()
