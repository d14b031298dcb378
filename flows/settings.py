"""Where the job runs: connections, pace and limits. How they are found is in `connections.py`.

Nothing here changes what a number means; that is `config.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field

from flows.config import Between, DurationMs
from flows.kafka_options import is_secret
from flows.notation import format_duration

OFF: Final = "off"


@dataclass(frozen=True, slots=True)
class Limits:
    """Every limit has a name; in the file they stand under `limits:`."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    record_bytes: Annotated[int, Field(ge=256, le=100 * 1024**2)] = 32 * 1024
    """A larger record is rejected as too_large."""
    poll_records: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Records handed on at once."""
    queued_kbytes: Annotated[int, Field(ge=64, le=2_097_151)] = 32 * 1024
    """librdkafka's own queue, per process."""
    skew_ms: Annotated[DurationMs, AfterValidator(Between("1s", "400d")), Field(alias="skew")] = 60_000
    """How far (event time) a partition may be read ahead of the slowest lagging one."""
    users_per_shard: Annotated[int, Field(ge=16, le=2**30)] = 4_000_000
    """Beyond it the longest idle are forgotten, and counted."""
    held_per_shard: Annotated[int, Field(ge=16, le=2**30)] = 4_000_000
    """Rows in the reorder buffer."""
    dead_letters_per_second: Annotated[int, Field(ge=0, le=1_000_000)] = 1_000
    """Beyond it records are still counted, no longer copied."""
    publish_fields: Annotated[int, Field(ge=100, le=10_000_000)] = 200_000
    """Cells in one publish."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Connections and pace of one process. Its text shows no secret."""

    bootstrap_servers: str = ""
    topic: str = "events"
    dead_letter_topic: str = ""  # empty: <topic>.dead
    group_id: str = ""  # empty: tidegauge-<product>; offsets are committed there for lag tools, never read back
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)  # librdkafka options passed through
    start: Literal["earliest", "latest"] = "earliest"  # without a checkpoint
    on_lost_offset: Literal["stop", "earliest", "latest"] = "stop"
    redis_url: str = field(default="", repr=False)  # empty: nothing is written to Redis
    metrics_address: str = "127.0.0.1:9108"  # empty: no HTTP endpoint
    state: Path | None = None  # checkpoint folder; None: none is kept
    tick_ms: int = 500  # publish interval
    checkpoint_ms: int = 10_000  # checkpoint interval
    limits: Limits = Limits()

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
            "redis": mask_url(self.redis_url) or OFF,
            "metrics": self.metrics_address or OFF,
            "state": str(self.state) if self.state else OFF,
            "tick": format_duration(self.tick_ms),
            "checkpoint": format_duration(self.checkpoint_ms),
        }


def mask_url(url: str) -> str:
    """`url` without its password; whatever its form, nothing between the scheme and the last `@` but a user's name."""
    scheme, separator, rest = url.rpartition("://") if url.count("://") == 1 else ("", "", url)
    account, at, host = rest.rpartition("@")
    if at:
        user, colon, _ = account.partition(":")
        host = f"{user}{colon}***@{host}" if colon else f"***@{host}"
    masked = re.sub(r"(?i)([?&][^=&]*(?:password|secret|token)[^=&]*=)[^&#]*", r"\1***", host)
    return f"{scheme}{separator}{masked}"
