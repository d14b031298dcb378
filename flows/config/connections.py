"""Finds the settings: on the command line, in the environment, in the user's file.

Each setting is looked for on the command line, then in the environment, then in the file's `connections:`
section. Secrets come from the environment or from files that it names, never from the command line. An empty
variable is as good as none; `off` turns Redis, the HTTP endpoint or the stored state off.

| setting | environment | `connections:` |
|---|---|---|
| Kafka brokers | `KAFKA_BOOTSTRAP_SERVERS` | `kafka: {bootstrap.servers: ...}` |
| any librdkafka option: `sasl.username` | `TIDEGAUGE_KAFKA_SASL_USERNAME` | `kafka: {sasl.username: ...}` |
| Redis | `REDIS_URL` | `redis` |
| all others, e.g. `dead_letter_topic` | `TIDEGAUGE_DEAD_LETTER_TOPIC` | `dead_letter_topic` |

Every variable has a twin that ends in `_FILE` and names a file with the value:
`REDIS_URL_FILE=/run/secrets/redis`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from flows.client.reader import Address
from flows.config.explain import findings
from flows.config.fields import Between, DurationMs, Section, written
from flows.config.kafka_options import FILES, check_option, is_secret
from flows.config.limits import Limits
from flows.config.mistakes import Finding, Mistake, closest, shown
from flows.config.notation import format_duration
from flows.config.settings import OFF, TOPIC_PATTERN, Settings, mask_url

MAX_SECRET_BYTES: Final = 64 * 1024
"""A certificate chain fits; a path that names a log or a device by mistake does not fill the memory."""


def _servers(text: str) -> Finding | None:
    for server in text.split(","):
        match = re.fullmatch(r"(?:[A-Za-z_]+://)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?", server.strip())
        if match is None or (match[1] and not 0 < int(match[1]) < 65536):
            message = f"found {shown(server.strip())}, expected brokers such as kafka-1:9092,kafka-2:9092"
            return Finding(("bootstrap.servers",), message)
    return None


_REDIS_TLS: Final = frozenset(
    {
        *("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_certfile", "ssl_keyfile", "ssl_password"),
        *("ssl_cert_reqs", "ssl_check_hostname", "ssl_ciphers"),
    }
)
_REDIS_OPTIONS: Final = _REDIS_TLS | {"db", "username", "password", "client_name", "socket_keepalive"}
_SENTINEL_OPTIONS: Final = frozenset({"sentinel_username", "sentinel_password"})
"""What may stand behind the `?` of an address; the job itself decides everything else."""


def _redis_options(url: str) -> None:
    """Raise for what redis-py would choke on only when it connects, or what would change how the job uses it."""
    parts = urlsplit(url)
    of_kind = {"sentinel": _REDIS_OPTIONS | _SENTINEL_OPTIONS, "cluster": _REDIS_OPTIONS - {"db"}}
    known = of_kind.get(parts.scheme.partition("+")[2], _REDIS_OPTIONS)
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in _SENTINEL_OPTIONS - known:
            raise Finding.error([Finding((), f"found the option {name}, which needs Sentinels: redis+sentinel://")])
        if name not in known:
            likely = closest(name, sorted(known))
            raise Finding.error([Finding((), f"found the option {shown(name)}, which an address cannot have", likely)])
        if name in _REDIS_TLS and not parts.scheme.startswith("rediss"):
            raise Finding.error([Finding((), f"found the option {name}, which needs TLS: rediss://")])
        if name == "ssl_cert_reqs" and value not in ("none", "optional", "required"):
            raise Finding.error([Finding((), f"found {name}={shown(value)}, expected none, optional or required")])
        if name == "db" and not value.isdecimal():
            raise Finding.error([Finding((), f"found {name}={shown(value)}, expected a number")])


def _redis(url: str) -> str:
    if url == OFF:
        return url
    try:
        Address.parse(url.partition("?")[0])
    except ValueError:
        likely = f"redis://{url}" if re.fullmatch(r"[A-Za-z0-9.-]+(:\d{1,5})?(/\d+)?", url) else None
        message = f"found {shown(mask_url(url))}, expected a URL such as {_expected(url)}, or {OFF}"
        raise Finding.error([Finding((), message, likely)]) from None
    _redis_options(url)
    return url


def _expected(url: str) -> str:
    """An example of the kind of address that is meant."""
    kinds = {
        "sentinel": "redis+sentinel://host:26379,host:26379/service",
        "cluster": "redis+cluster://host:6379,host:6379",
    }
    return next((example for kind, example in kinds.items() if f"+{kind}:" in url), "redis://host:6379/0")


def _address(text: str) -> str:
    match = re.fullmatch(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})", text)
    if text != OFF and (match is None or int(match[1]) > 65535):
        raise ValueError(f"expected an address and port such as 127.0.0.1:9108, or {OFF}")
    return text


def _option(name: str, value: str) -> Finding | None:
    if name == "bootstrap.servers":
        return _servers(value)
    return check_option(name, value)


def _options(options: dict[str, str | None]) -> dict[str, str | None]:
    broken = [problem for name, value in options.items() if value is not None and (problem := _option(name, value))]
    if broken:
        raise Finding.error(broken)
    return options


DEFAULTS: Final = Settings()

Text = Annotated[str, BeforeValidator(written), Field(min_length=1, max_length=1000)]
Topic = Annotated[Text, Field(pattern=TOPIC_PATTERN)]
Option = Annotated[str, BeforeValidator(written), Field(max_length=MAX_SECRET_BYTES)]


class Connections(Section):
    """Where records come from and numbers go. The environment and the command line take precedence."""

    kafka: Annotated[dict[str, Option | None], AfterValidator(_options)] = Field(default_factory=dict)
    """`bootstrap.servers`, and any other librdkafka option: TLS, SASL, ..."""
    topic: Topic | None = None
    """The topic of the events; default `events`."""
    dead_letter_topic: Topic | None = None
    """The topic for rejected records; default `<topic>.dead`."""
    group_id: Text | None = None
    """Consumer group for the offsets committed for lag tools; default `tidegauge-<product>`."""
    start: Literal["earliest", "latest"] | None = None
    """Where to start without a checkpoint; default `earliest`."""
    on_lost_offset: Literal["stop", "earliest", "latest"] | None = None
    """Where to continue if records were deleted unread, or another log has replaced the one read; default `stop`."""
    consumer_api: Literal["auto", "librdkafka", "public"] | None = None
    """How to receive records: `librdkafka` takes them past confluent-kafka, relying on a private part of it; `public`
    relies on its public API alone and needs more CPU time; `auto` is `librdkafka` where possible; default `auto`."""
    on_dead_letters_full: Literal["drop", "stop"] | None = None
    """What to do once `limits.dead_letters_waiting_bytes` of dead letters wait for Kafka: `drop` and count further
    ones, or `stop` the run; default `drop`."""
    redis: Annotated[Text, AfterValidator(_redis)] | None = None
    """`redis://host:6379/0`, `redis+sentinel://host,host/service`, `redis+cluster://host,host`, each with `rediss` for
    TLS, or `unix:///path`; default `off`."""
    metrics: Annotated[Text, AfterValidator(_address)] | None = None
    """Address of `/metrics`, `/livez` and `/readyz`, or `off`; default `127.0.0.1:9108`."""
    state: Text | None = None
    """Folder for the checkpoints, or `off`; default `off`."""
    tick: Annotated[DurationMs, AfterValidator(Between("10ms", "1m"))] | None = None
    """How often to publish; default `250ms`."""
    checkpoint: Annotated[DurationMs, AfterValidator(Between("10ms", "1h"))] | None = None
    """How often to save a checkpoint; default `10s`."""


class LimitsSection(Section):
    """Limits of one process."""

    record_bytes: Annotated[int, Field(ge=256, le=100 * 1024**2)] = DEFAULTS.limits.record_bytes
    """A larger record is rejected as `too_large`."""
    poll_records: Annotated[int, Field(ge=1, le=1_000_000)] = DEFAULTS.limits.poll_records
    """The most records handed on at once."""
    queued_kbytes: Annotated[int, Field(ge=64, le=2_097_151)] = DEFAULTS.limits.queued_kbytes
    """The most data in librdkafka's own queues."""
    skew: Annotated[DurationMs, AfterValidator(Between("1s", "400d"))] = DEFAULTS.limits.skew_ms
    """How far, in event time, a partition may be read ahead of the slowest lagging one."""
    transaction_wait: Annotated[DurationMs, AfterValidator(Between("0s", "7d"))] = DEFAULTS.limits.transaction_wait_ms
    """How long the stream clock waits for an open transaction; at least as long as producers take to commit."""
    delivery_wait: Annotated[DurationMs, AfterValidator(Between("0s", "1h"))] = DEFAULTS.limits.delivery_wait_ms
    """How long the stream clock waits, after an outage of Kafka, for events that producers kept meanwhile."""
    users_per_shard: Annotated[int, Field(ge=16, le=2**30)] = DEFAULTS.limits.users_per_shard
    """The most users in a shard. Beyond it, the users idle for longest are forgotten and counted."""
    tickets_per_shard: Annotated[int, Field(ge=16, le=2**30)] = DEFAULTS.limits.tickets_per_shard
    """The most tickets in a shard. Beyond it, those resolved longest ago are forgotten and counted."""
    spend_per_shard: Annotated[int, Field(ge=16, le=2**30)] = DEFAULTS.limits.spend_per_shard
    """The most records of spending that a shard remembers. Beyond it, further ones are refused and counted."""
    top_values: Annotated[int, Field(ge=1, le=100_000)] = DEFAULTS.limits.top_values
    """The most values of each top list in a shard. Beyond it, new values count in `other` until one has not been seen
    for 24h."""
    top_pairs: Annotated[int, Field(ge=1, le=2**24)] = DEFAULTS.limits.top_pairs
    """The most pairs of value and user in a shard, for each top list that counts users. Beyond it, events of new pairs
    count in `other`."""
    held_per_shard: Annotated[int, Field(ge=16, le=2**30)] = DEFAULTS.limits.held_per_shard
    """The most rows in a shard's reorder buffer. Beyond it, events count as late."""
    dead_letters_per_second: Annotated[int, Field(ge=0, le=1_000_000)] = DEFAULTS.limits.dead_letters_per_second
    """The most dead letters to send. Beyond it, rejected records are counted but not copied."""
    dead_letters_waiting_bytes: Annotated[int, Field(ge=64 * 1024, le=2**30)] = (
        DEFAULTS.limits.dead_letters_waiting_bytes
    )
    """The most dead letters waiting for Kafka: in memory, and at most twice as much in the state folder."""
    publish_fields: Annotated[int, Field(ge=100, le=10_000_000)] = DEFAULTS.limits.publish_fields
    """The most cells in one publish."""

    def limits(self) -> Limits:
        """As the job takes them."""
        values = dict(self)
        durations = {f"{name}_ms": values.pop(name) for name in ("skew", "transaction_wait", "delivery_wait")}
        return Limits(**durations, **values)


Keys = tuple[str, ...]

_PLAIN: Final = (
    "topic",
    "dead_letter_topic",
    "group_id",
    "start",
    "on_lost_offset",
    "consumer_api",
    "on_dead_letters_full",
    "state",
    "tick",
    "checkpoint",
)

VARIABLES: Final[Mapping[str, Keys]] = {
    "KAFKA_BOOTSTRAP_SERVERS": ("kafka", "bootstrap.servers"),
    "REDIS_URL": ("redis",),
    "TIDEGAUGE_METRICS_ADDRESS": ("metrics",),
    **{f"TIDEGAUGE_{name.upper()}": (name,) for name in _PLAIN},
}
"""Environment variable -> place in `Connections`."""

OPTIONS: Final[Mapping[str, Keys]] = {
    "bootstrap_servers": ("kafka", "bootstrap.servers"),
    "redis_url": ("redis",),
    "metrics_address": ("metrics",),
    "tick_ms": ("tick",),
    "checkpoint_ms": ("checkpoint",),
    **{name: (name,) for name in _PLAIN if name not in ("tick", "checkpoint")},
}
"""Field of `Settings` that a command line may set -> place in `Connections`."""

PREFIX: Final = "TIDEGAUGE_KAFKA_"

_SERVICE_LINK: Final = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$")
"""What Kubernetes adds to the environment for each Service; one may be named `tidegauge-kafka`."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source says about connections, and what is wrong with it."""

    connections: Connections
    mistakes: Sequence[Mistake] = ()
    warnings: Sequence[Mistake] = ()


def from_environment(environment: Mapping[str, str]) -> Layer:
    """What the variables of the table above say; files that `*_FILE` names are read."""
    places = dict(VARIABLES)
    mistakes: list[Mistake] = []
    for name in environment:
        option = name if _dotted(name) in FILES else name.removesuffix("_FILE")
        if option == f"{PREFIX}BOOTSTRAP_SERVERS":
            mistakes.append(_in_environment(name, "this variable is not read", "KAFKA_BOOTSTRAP_SERVERS"))
        elif name.startswith(PREFIX) and not _SERVICE_LINK.search(name):
            places[option] = ("kafka", _dotted(option))
    warnings = list(_misspelt(environment))
    values: dict[Keys, str] = {}
    origins: dict[Keys, str] = {}
    for name, place in places.items():
        given = [variable for variable in (name, f"{name}_FILE") if environment.get(variable)]
        if len(given) == 2:
            mistakes.append(_in_environment(name, f"{name}_FILE is set as well; which of them counts?"))
        elif given:
            origins[place] = given[0]
            try:
                values[place] = environment[name] if given[0] == name else _content(environment[given[0]])
            except ValueError as error:
                mistakes.append(_in_environment(given[0], str(error)))
            else:
                if given[0] != name and _is_open(environment[given[0]]) and _holds_secret(place, values[place]):
                    message = f"{environment[given[0]]}: every user of this machine can read this secret; chmod 600 it"
                    warnings.append(_in_environment(given[0], message))
    connections, found = _validated(values)
    for finding in found:
        variable = origins.get(tuple(str(key) for key in finding.path), ".".join(map(str, finding.path)))
        likely = finding.suggestion
        if finding.at_key and likely:
            likely = _variable(likely)
        mistakes.append(_in_environment(variable, finding.message, likely))
    return Layer(connections, mistakes, warnings)


def from_options(options: Mapping[str, object]) -> Layer:
    """What the command line says: fields of `Settings` by name, None where it says nothing.

    KeyError for what is no such field, or one that the command line must not set.
    """
    values: dict[Keys, str] = {}
    names: dict[Keys, str] = {}
    mistakes: list[Mistake] = []
    for name, value in options.items():
        place = OPTIONS[name]
        if value is None:
            continue
        names[place] = "--" + name.removesuffix("_ms").replace("_", "-")
        values[place] = format_duration(value) if name.endswith("_ms") and isinstance(value, int) else str(value)
        if name == "redis_url" and mask_url(str(value)) != value:
            mistakes.append(
                Mistake("command line", names.pop(place), "a password here is seen by everyone", "REDIS_URL_FILE")
            )
            del values[place]
    connections, found = _validated(values)
    for finding in found:
        place = tuple(str(key) for key in finding.path)
        mistakes.append(Mistake("command line", names.get(place, ".".join(place)), finding.message, finding.suggestion))
    return Layer(connections, mistakes)


def secrets_in(connections: Connections) -> list[Finding]:
    """Remarks on secrets that stand in the file itself, with their places in it."""
    found = [
        Finding(
            ("connections", "kafka", name),
            f"a secret in the file; rather set {_variable(name)} or {_variable(name)}_FILE",
        )
        for name, value in connections.kafka.items()
        if value is not None and is_secret(name)
    ]
    if connections.redis and mask_url(connections.redis) != connections.redis:
        found.append(
            Finding(("connections", "redis"), "a password in the file; rather set REDIS_URL or REDIS_URL_FILE")
        )
    return found


def settle(layers: Sequence[Connections], limits: Limits) -> Settings:
    """The settings, where an earlier layer goes before a later one and defaults come last."""
    kafka: dict[str, str] = {}
    chosen: dict[str, Any] = {}
    for layer in reversed(layers):
        kafka |= {name: value for name, value in layer.kafka.items() if value is not None}
        chosen |= {name: value for name, value in dict(layer).items() if name != "kafka" and value is not None}
    state = chosen.get("state", OFF)
    redis = chosen.get("redis", OFF)
    metrics = chosen.get("metrics", DEFAULTS.metrics_address)
    return Settings(
        bootstrap_servers=kafka.pop("bootstrap.servers", ""),
        topic=chosen.get("topic", DEFAULTS.topic),
        dead_letter_topic=chosen.get("dead_letter_topic", ""),
        group_id=chosen.get("group_id", ""),
        kafka=kafka,
        start=chosen.get("start", DEFAULTS.start),
        on_lost_offset=chosen.get("on_lost_offset", DEFAULTS.on_lost_offset),
        consumer_api=chosen.get("consumer_api", DEFAULTS.consumer_api),
        on_dead_letters_full=chosen.get("on_dead_letters_full", DEFAULTS.on_dead_letters_full),
        redis_url="" if redis == OFF else redis,
        metrics_address="" if metrics == OFF else metrics,
        state=None if state == OFF else Path(state),
        tick_ms=chosen.get("tick", DEFAULTS.tick_ms),
        checkpoint_ms=chosen.get("checkpoint", DEFAULTS.checkpoint_ms),
        limits=limits,
    )


def _validated(values: Mapping[Keys, str]) -> tuple[Connections, list[Finding]]:
    """Connections of the values that are right, and what is wrong with the others."""
    raw: dict[str, Any] = {"kafka": {place[1]: value for place, value in values.items() if len(place) == 2}}
    raw |= {place[0]: value for place, value in values.items() if len(place) == 1}
    try:
        return Connections.model_validate(raw), []
    except ValidationError as error:
        found = list(findings(error, Connections))
    wrong = {tuple(str(key) for key in finding.path) for finding in found}
    return _validated({place: value for place, value in values.items() if place not in wrong})[0], found


def _content(path: str) -> str:
    """The text of a file that holds one value, without the line's end; ValueError says why there is none."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_SECRET_BYTES + 1)
        text = data.decode().strip()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: this file is not UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    if len(data) > MAX_SECRET_BYTES:
        raise ValueError(f"{path}: larger than {MAX_SECRET_BYTES // 1024} KiB, so hardly one value")
    if not text:
        raise ValueError(f"{path}: this file is empty")
    return text


def _is_open(path: str) -> bool:
    """Whether others than its user and group can read or write a file."""
    return bool(os.stat(path).st_mode & (stat.S_IROTH | stat.S_IWOTH))


def _holds_secret(place: Keys, value: str) -> bool:
    return is_secret(place[1]) if len(place) == 2 else place == ("redis",) and mask_url(value) != value


def _dotted(variable: str) -> str:
    return variable.removeprefix(PREFIX).lower().replace("_", ".")


def _variable(option: str) -> str:
    return PREFIX + option.upper().replace(".", "_")


def _in_environment(variable: str, message: str, suggestion: str | None = None) -> Mistake:
    return Mistake("environment", variable, message, suggestion)


def _misspelt(environment: Mapping[str, str]) -> list[Mistake]:
    """Variables that look like one of ours; others with the prefix may belong to anybody."""
    found = []
    for name in environment:
        known = name.removesuffix("_FILE") in VARIABLES or name.startswith(PREFIX)
        if name.startswith("TIDEGAUGE_") and not known and not _SERVICE_LINK.search(name):
            bare = {variable.removeprefix("TIDEGAUGE_"): variable for variable in VARIABLES}
            likely = closest(name.removeprefix("TIDEGAUGE_"), bare)
            if likely:
                found.append(_in_environment(name, "this variable is not read", bare[likely]))
    return found
