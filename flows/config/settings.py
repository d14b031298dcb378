"""Where the job runs: connections, pace and limits. How they are found is in `connections.py`.

Nothing here changes what a number means; that is `config.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from flows.config.kafka_options import is_secret
from flows.config.limits import Limits
from flows.config.notation import format_duration

OFF: Final = "off"

TOPIC_PATTERN: Final = r"^[A-Za-z0-9._-]{1,249}$"


@dataclass(frozen=True, slots=True)
class Settings:
    """Connections and pace of one process. Its text shows no secret."""

    bootstrap_servers: str = ""
    topic: str = "events"
    dead_letter_topic: str = ""  # empty: <topic>.dead
    group_id: str = ""  # empty: tidegauge-<product>; offsets are committed there for lag tools only
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)  # librdkafka options passed through
    start: Literal["earliest", "latest"] = "earliest"  # without a checkpoint
    on_lost_offset: Literal["stop", "earliest", "latest"] = "stop"
    consumer_api: Literal["auto", "librdkafka", "public"] = "auto"  # how records are received
    on_dead_letters_full: Literal["drop", "stop"] = "drop"  # when limits.dead_letters_waiting_bytes wait for Kafka
    redis_url: str = field(default="", repr=False)  # empty: nothing is written to Redis
    metrics_address: str = "127.0.0.1:9108"  # empty: no HTTP endpoint
    state: Path | None = None  # checkpoint folder; None: none is kept
    tick_ms: int = 250  # publish interval
    checkpoint_ms: int = 10_000  # checkpoint interval
    limits: Limits = field(default_factory=Limits)

    def describe(self) -> dict[str, str]:
        """Every setting as text that may be logged: secrets are masked, what is not set says so."""
        return {
            "kafka": self.bootstrap_servers or "not set",
            "topic": self.topic,
            "dead_letter_topic": self.dead_letter_topic or f"{self.topic}.dead",
            "group_id": self.group_id or "tidegauge-<product>",
            **{
                f"kafka.{name}": "***" if is_secret(name) else mask_url(value)
                for name, value in sorted(self.kafka.items())
            },
            "start": self.start,
            "on_lost_offset": self.on_lost_offset,
            "consumer_api": self.consumer_api,
            "on_dead_letters_full": self.on_dead_letters_full,
            "redis": mask_url(self.redis_url) or OFF,
            "metrics": self.metrics_address or OFF,
            "state": str(self.state) if self.state else OFF,
            "tick": format_duration(self.tick_ms),
            "checkpoint": format_duration(self.checkpoint_ms),
        }


def mask_url(url: str) -> str:
    """`url` without its password: between scheme and last `@` only a user's name is left."""
    known = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url)
    scheme = known[0] if known else ""
    rest = url.removeprefix(scheme)
    account, at, host = rest.rpartition("@")
    if at:
        user, colon, _ = account.partition(":")
        host = f"{user}{colon}***@{host}" if colon else f"***@{host}"
    masked = re.sub(r"(?i)([?&][^=&]*(?:password|secret|token)[^=&]*=)[^&#]*", r"\1***", host)
    return scheme + masked
