"""Finds the settings: on the command line, in the environment, in the user's file.

Each setting is looked for on the command line, then in
the environment, then in the file's `connections:` section. Secrets come from the environment or from files that it
names, never from the command line. An empty variable is as good as none; `off` turns Redis, the HTTP endpoint or the
stored state off.

| setting | environment | `connections:` |
|---|---|---|
| Kafka brokers | `KAFKA_BOOTSTRAP_SERVERS` | `kafka: {bootstrap.servers: ...}` |
| any librdkafka option, e.g. `security.protocol` | `TIDEGAUGE_KAFKA_SECURITY_PROTOCOL` | `kafka: {security.protocol: ...}` |
| Redis | `REDIS_URL` | `redis` |
| all others, e.g. `dead_letter_topic` | `TIDEGAUGE_DEAD_LETTER_TOPIC` | `dead_letter_topic` |

Every variable has a twin that ends in `_FILE` and names a file with the value: `REDIS_URL_FILE=/run/secrets/redis`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from flows.config import Between, DurationMs, Section, written
from flows.explain import findings
from flows.kafka_options import check_option, is_secret
from flows.mistakes import Finding, Mistake, closest
from flows.notation import format_duration
from flows.settings import OFF, Limits, Settings, mask_url

MAX_SECRET_BYTES: Final = 64 * 1024
"""A certificate chain fits; a path that names a log or a device by mistake does not fill the memory."""


def _servers(text: str) -> str:
    for server in text.split(","):
        match = re.fullmatch(
            r"(?:[A-Za-z_]+://)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?", server.strip()
        )
        if match is None or (match[1] and not 0 < int(match[1]) < 65536):
            raise ValueError("expected brokers such as kafka-1:9092,kafka-2:9092")
    return ",".join(server.strip() for server in text.split(","))


def _redis(url: str) -> str:
    if url == OFF:
        return url
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    known = parts.scheme in ("redis", "rediss") and parts.hostname and (port is None or port > 0)
    database = parts.path.strip("/")
    if not (known and (not database or database.isdecimal())) and not (parts.scheme == "unix" and parts.path):
        # The value may hold a password, so neither this message nor `explain` repeats it.
        raise ValueError(f"found {mask_url(url)!r}, expected a URL such as redis://host:6379/0, or {OFF}")
    return url


def _address(text: str) -> str:
    match = re.fullmatch(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})", text)
    if text != OFF and (match is None or int(match[1]) > 65535):
        raise ValueError(f"expected an address and port such as 127.0.0.1:9108, or {OFF}")
    return text


def _options(options: dict[str, str]) -> dict[str, str]:
    broken = [problem for name, value in options.items() if (problem := check_option(name, value))]
    if broken:
        raise Finding.error(broken)
    return options


Text = Annotated[str, BeforeValidator(written), Field(min_length=1, max_length=1000)]
Topic = Annotated[Text, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
Option = Annotated[str, BeforeValidator(written), Field(max_length=MAX_SECRET_BYTES)]


class Connections(Section):
    """Where records come from and numbers go; the environment and the command line come before it."""

    kafka: Annotated[dict[str, Option | None], AfterValidator(_options)] = {}
    """`bootstrap.servers`, and any other option of librdkafka: TLS, SASL, ..."""
    topic: Topic | None = None
    """The topic with the events; default `events`."""
    dead_letter_topic: Topic | None = None
    """Where rejected records go; default the topic with `.dead` after it."""
    group_id: Text | None = None
    """Consumer group to which offsets are committed for lag tools; default `tidegauge-<product>`."""
    start: Literal["earliest", "latest"] | None = None
    """Where to begin when there is no checkpoint; default `earliest`."""
    on_lost_offset: Literal["stop", "earliest", "latest"] | None = None
    """What to do when the next record has been deleted; default `stop`."""
    redis: Annotated[Text, AfterValidator(_redis)] | None = None
    """`redis://host:6379/0`, `rediss://...` or `unix:///path`; default `off`."""
    metrics: Annotated[Text, AfterValidator(_address)] | None = None
    """Address of `/metrics`, `/livez` and `/readyz`, or `off`; default `127.0.0.1:9108`."""
    state: Text | None = None
    """Folder of the checkpoints, or `off`; default `off`."""
    tick: Annotated[DurationMs, AfterValidator(Between("10ms", "1m"))] | None = None
    """How often numbers are published; default `500ms`."""
    checkpoint: Annotated[DurationMs, AfterValidator(Between("10ms", "1h"))] | None = None
    """How often state is saved; default `10s`."""


Path_ = tuple[str, ...]

VARIABLES: Final[Mapping[str, Path_]] = {
    "KAFKA_BOOTSTRAP_SERVERS": ("kafka", "bootstrap.servers"),
    "REDIS_URL": ("redis",),
    "TIDEGAUGE_METRICS_ADDRESS": ("metrics",),
    **{
        f"TIDEGAUGE_{name.upper()}": (name,)
        for name in (
            "topic",
            "dead_letter_topic",
            "group_id",
            "start",
            "on_lost_offset",
            "state",
            "tick",
            "checkpoint",
        )
    },
}
"""Environment variable -> place in `Connections`."""
