from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from flows.config.connections import LimitsSection
from flows.config.file import read
from flows.config.kafka_options import is_secret
from flows.config.limits import Limits
from flows.config.settings import Settings, mask_url

SECRET = "hunter2"


def settled(
    tmp_path: Path,
    file: str = "",
    environment: dict[str, str] | None = None,
    options: dict[str, Any] | None = None,
) -> Settings:
    path = tmp_path / "c.yaml"
    path.write_text(file)
    report = read(path, options, environment or {})
    assert report.loaded is not None, report.mistakes
    return report.loaded.settings


def told(
    tmp_path: Path,
    file: str = "",
    environment: dict[str, str] | None = None,
    options: dict[str, Any] | None = None,
) -> list[str]:
    """All mistakes, then all warnings, without the folder."""
    path = tmp_path / "c.yaml"
    path.write_text(file)
    report = read(path, options, environment or {})
    return [str(item).replace(f"{tmp_path}/", "") for item in (*report.mistakes, *report.warnings)]


FILE = "connections: {topic: from_file, redis: 'redis://file:1', kafka: {bootstrap.servers: 'file:1', client.id: file}}"
ENVIRONMENT = {
    "TIDEGAUGE_TOPIC": "from_environment",
    "REDIS_URL": "redis://environment:2",
    "KAFKA_BOOTSTRAP_SERVERS": "environment:2",
    "TIDEGAUGE_KAFKA_CLIENT_ID": "environment",
}
OPTIONS = {"topic": "from_option", "redis_url": "redis://option:3", "bootstrap_servers": "option:3"}


def chosen(settings: Settings) -> tuple[str, str, str, str | None]:
    return settings.topic, settings.redis_url, settings.bootstrap_servers, settings.kafka.get("client.id")


def test_the_command_line_goes_before_the_environment_before_the_file_before_the_default(
    tmp_path: Path,
) -> None:
    assert chosen(settled(tmp_path)) == ("events", "", "", None)
    assert chosen(settled(tmp_path, FILE)) == ("from_file", "redis://file:1", "file:1", "file")
    assert chosen(settled(tmp_path, FILE, ENVIRONMENT)) == (
        *("from_environment", "redis://environment:2", "environment:2", "environment"),
    )
    assert chosen(settled(tmp_path, FILE, ENVIRONMENT, OPTIONS)) == (
        *("from_option", "redis://option:3", "option:3", "environment"),
    )


def test_what_is_not_given_or_empty_does_not_hide_what_is(tmp_path: Path) -> None:
    nothing = dict.fromkeys(ENVIRONMENT, "") | {"REDIS_URL_FILE": ""}
    assert chosen(settled(tmp_path, FILE, nothing, dict.fromkeys(OPTIONS))) == chosen(settled(tmp_path, FILE))


def test_every_setting_can_come_from_the_file(tmp_path: Path) -> None:
    text = """
connections:
  kafka: {bootstrap.servers: "a:1, b:2", security.protocol: SSL, enable.ssl.certificate.verification: true}
  topic: t
  dead_letter_topic: d
  group_id: g
  start: latest
  on_lost_offset: earliest
  consumer_api: public
  redis: unix:///run/redis.sock?db=2
  metrics: "[::1]:0"
  state: /var/lib/tidegauge
  tick: 250ms
  checkpoint: 1m
limits: {record_bytes: 1024, poll_records: 1, queued_kbytes: 64, skew: 1h, transaction_wait: 1m, delivery_wait: 2m,
         users_per_shard: 16, tickets_per_shard: 16, spend_per_shard: 17, top_values: 5, top_pairs: 7,
         held_per_shard: 16, dead_letters_per_second: 0, dead_letters_waiting_bytes: 65536, publish_fields: 100}
"""
    assert settled(tmp_path, text) == Settings(
        bootstrap_servers="a:1, b:2",
        topic="t",
        dead_letter_topic="d",
        group_id="g",
        kafka={"security.protocol": "SSL", "enable.ssl.certificate.verification": "true"},
        start="latest",
        on_lost_offset="earliest",
        consumer_api="public",
        redis_url="unix:///run/redis.sock?db=2",
        metrics_address="[::1]:0",
        state=Path("/var/lib/tidegauge"),
        tick_ms=250,
        checkpoint_ms=60_000,
        limits=Limits(1024, 1, 64, 3_600_000, 60_000, 120_000, 16, 16, 17, 5, 7, 16, 0, 65_536, 100),
    )


def test_every_setting_can_come_from_the_environment(tmp_path: Path) -> None:
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
        "REDIS_URL": "rediss://redis/1",
        "TIDEGAUGE_TOPIC": "t",
        "TIDEGAUGE_DEAD_LETTER_TOPIC": "d",
        "TIDEGAUGE_GROUP_ID": "g",
        "TIDEGAUGE_START": "latest",
        "TIDEGAUGE_ON_LOST_OFFSET": "latest",
        "TIDEGAUGE_CONSUMER_API": "librdkafka",
        "TIDEGAUGE_ON_DEAD_LETTERS_FULL": "stop",
        "TIDEGAUGE_METRICS_ADDRESS": "0.0.0.0:80",
        "TIDEGAUGE_STATE": "/state",
        "TIDEGAUGE_TICK": "1s",
        "TIDEGAUGE_CHECKPOINT": "5s",
        "TIDEGAUGE_KAFKA_SASL_MECHANISM": "PLAIN",
    }
    assert settled(tmp_path, environment=environment) == Settings(
        *("kafka:9092", "t", "d", "g", {"sasl.mechanism": "PLAIN"}, "latest", "latest", "librdkafka", "stop"),
        *("rediss://redis/1", "0.0.0.0:80", Path("/state"), 1000, 5000),
    )


def test_off_turns_things_off_even_if_the_file_has_them(tmp_path: Path) -> None:
    file = "connections: {redis: 'redis://r', metrics: '127.0.0.1:1', state: /s}"
    environment = {"REDIS_URL": "off", "TIDEGAUGE_METRICS_ADDRESS": "off", "TIDEGAUGE_STATE": "off"}
    settings = settled(tmp_path, file, environment)
    assert (settings.redis_url, settings.metrics_address, settings.state) == ("", "", None)


def test_secrets_are_read_from_files(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    url = tmp_path / "url"
    url.write_text(f"redis://:{SECRET}@redis:6379/0\n")
    settings = settled(
        tmp_path, environment={"TIDEGAUGE_KAFKA_SASL_PASSWORD_FILE": str(secret), "REDIS_URL_FILE": str(url)}
    )
    assert settings.kafka == {"sasl.password": SECRET}
    assert settings.redis_url == f"redis://:{SECRET}@redis:6379/0"


def test_an_option_of_librdkafka_that_ends_in_file_keeps_its_meaning(tmp_path: Path) -> None:
    name = "sasl.oauthbearer.assertion.private.key.file"
    environment = {"TIDEGAUGE_KAFKA_SASL_OAUTHBEARER_ASSERTION_PRIVATE_KEY_FILE": "/run/key"}
    assert settled(tmp_path, environment=environment).kafka == {name: "/run/key"}


def test_a_secret_file_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    empty, binary, large = tmp_path / "empty", tmp_path / "binary", tmp_path / "large"
    empty.write_text("\n")
    binary.write_bytes(b"\xff\xfe")
    large.write_bytes(b"x" * 70_000)
    assert told(
        tmp_path,
        environment={
            "REDIS_URL_FILE": str(tmp_path / "missing"),
            "TIDEGAUGE_TOPIC_FILE": str(empty),
            "TIDEGAUGE_STATE_FILE": str(binary),
            "TIDEGAUGE_GROUP_ID_FILE": str(large),
            "TIDEGAUGE_START": "latest",
            "TIDEGAUGE_START_FILE": "x",
        },
    ) == [
        "environment: REDIS_URL_FILE: missing: no such file or directory",
        "environment: TIDEGAUGE_TOPIC_FILE: empty: this file is empty",
        "environment: TIDEGAUGE_GROUP_ID_FILE: large: larger than 64 KiB, so hardly one value",
        "environment: TIDEGAUGE_START: TIDEGAUGE_START_FILE is set as well; which of them counts?",
        "environment: TIDEGAUGE_STATE_FILE: binary: this file is not UTF-8 text",
    ]


def test_wrong_values_are_told_by_the_name_they_have_at_their_source(tmp_path: Path) -> None:
    assert told(
        tmp_path,
        "connections:\n  topic: a b\n  kafka: {security.protcol: SSL}\nlimits: {record_byte: 1}\n",
        {"REDIS_URL": "localhost:6379", "TIDEGAUGE_START": "beginning", "TIDEGAUGE_KAFKA_SASL_USRNAME": "x"},
        {"metrics_address": ":9108", "tick_ms": 5, "bootstrap_servers": "kafka:99999"},
    ) == [
        "c.yaml:2:10: connections.topic: found 'a b', expected at most 249 of the letters a-z and A-Z,"
        " digits, `.`, `_` and `-`",
        "c.yaml:3:11: connections.kafka.security.protcol: librdkafka has no such option;"
        " did you mean security.protocol?",
        "c.yaml:4:10: limits.record_byte: there is no such key; did you mean record_bytes?",
        "command line: --bootstrap-servers: found 'kafka:99999', expected brokers such as kafka-1:9092,kafka-2:9092",
        "command line: --metrics-address: found ':9108', expected an address and port such as 127.0.0.1:9108, or off",
        "command line: --tick: found '5ms', expected a duration from 10ms to 1m",
        "environment: TIDEGAUGE_KAFKA_SASL_USRNAME: librdkafka has no such option;"
        " did you mean TIDEGAUGE_KAFKA_SASL_USERNAME?",
        "environment: TIDEGAUGE_START: found 'beginning', expected earliest or latest",
        "environment: REDIS_URL: found 'localhost:6379', expected a URL such as redis://host:6379/0, or off;"
        " did you mean redis://localhost:6379?",
    ]


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [
        ("security.protocol", "TLS", "found 'TLS', which librdkafka refuses"),
        ("fetch.wait.max.ms", "300001", "expected 0 to 300000"),
        ("fetch.wait.max.ms", "soon", "librdkafka refuses"),
        ("auto.offset.reset", "earliest", "connections.start"),
        ("group.id", "g", "connections.group_id"),
        ("enable.auto.commit", "true", "the checkpoint decides"),
        ("plugin.library.paths", "evil.so", "foreign code"),
        ("error_cb", "x", "no such option"),
    ],
)
def test_options_that_librdkafka_or_the_job_cannot_take_are_refused(
    tmp_path: Path, option: str, value: str, word: str
) -> None:
    (mistake,) = told(tmp_path, f"connections: {{kafka: {{{option}: {value}}}}}")
    assert word in mistake


@pytest.mark.parametrize(
    "url",
    [
        *(
            "redis://",
            "http://host",
            "redis://host:port",
            "redis://host:0",
            "redis://host/db",
            "unix://",
            "redis:host",
        ),
        *(
            f"redis://:{SECRET}@host:x/0",
            f"redis://:{SECRET}/@host",
            f"redis://u:{SECRET}#@[::1",
            f"u:{SECRET}@host",
        ),
    ],
)
def test_a_redis_url_that_is_none_is_refused_without_its_password(tmp_path: Path, url: str) -> None:
    (mistake,) = told(tmp_path, environment={"REDIS_URL": url})
    assert "expected a URL such as redis://host:6379/0" in mistake
    assert SECRET not in mistake


@pytest.mark.parametrize(
    "url",
    [
        f"redis+sentinel://u:{SECRET}@a,b:26380/shop/2?sentinel_username=s&sentinel_password={SECRET}",
        "rediss+sentinel://a/shop?ssl_ca_certs=/ca.pem",
        f"redis+cluster://:{SECRET}@a,b:7000",
        "rediss+cluster://[::1]:7000?ssl_cert_reqs=none",
    ],
)
def test_redis_may_be_sentinels_or_a_cluster(tmp_path: Path, url: str) -> None:
    settings = settled(tmp_path, environment={"REDIS_URL": url})
    assert settings.redis_url == url
    assert SECRET not in settings.describe()["redis"]


@pytest.mark.parametrize(
    ("url", "example"),
    [
        (f"redis+sentinel://:{SECRET}@a,b", "redis+sentinel://host:26379,host:26379/service"),
        (f"redis+cluster://:{SECRET}@a,b/1", "redis+cluster://host:6379,host:6379"),
    ],
)
def test_an_address_of_sentinels_or_a_cluster_that_is_none_gets_an_example(
    tmp_path: Path, url: str, example: str
) -> None:
    (mistake,) = told(tmp_path, environment={"REDIS_URL": url})
    assert mistake.endswith(f"expected a URL such as {example}, or off")
    assert SECRET not in mistake


def test_the_dead_letters_do_not_go_where_the_events_come_from(tmp_path: Path) -> None:
    environment = {"TIDEGAUGE_TOPIC": "a", "TIDEGAUGE_DEAD_LETTER_TOPIC": "a"}
    assert told(tmp_path, environment=environment) == [
        "settings: dead_letter_topic: found a, which is also the topic that is read"
    ]


def test_secrets_in_the_file_are_warned_of_and_never_shown(tmp_path: Path) -> None:
    text = f"connections:\n  redis: redis://:{SECRET}@r\n  kafka: {{sasl.password: {SECRET}}}\n"
    assert told(tmp_path, text) == [
        "c.yaml:2:10: connections.redis: a password in the file; rather set REDIS_URL or REDIS_URL_FILE",
        "c.yaml:3:26: connections.kafka.sasl.password: a secret in the file; rather set"
        " TIDEGAUGE_KAFKA_SASL_PASSWORD or TIDEGAUGE_KAFKA_SASL_PASSWORD_FILE",
    ]
    long = SECRET * 20_000
    for line in told(tmp_path, f"connections: {{redis: 'redis://:{long}@r', kafka: {{sasl.password: {long}}}}}"):
        assert SECRET not in line


def test_a_secret_that_every_user_can_read_is_warned_of(tmp_path: Path) -> None:
    names = {
        "TIDEGAUGE_KAFKA_SASL_PASSWORD_FILE": SECRET,
        "REDIS_URL_FILE": f"redis://:{SECRET}@r",
        "TIDEGAUGE_TOPIC_FILE": "events",  # no secret
    }
    environment = {}
    for name, text in names.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o644)
        environment[name] = str(tmp_path / name)
    assert told(tmp_path, environment=environment) == [
        f"environment: {name}: {name}: every user of this machine can read this secret; chmod 600 it"
        for name in ("REDIS_URL_FILE", "TIDEGAUGE_KAFKA_SASL_PASSWORD_FILE")
    ]
    for name in names:
        (tmp_path / name).chmod(0o640)
    assert told(tmp_path, environment=environment) == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://h/0?foo=1", "found the option 'foo', which an address cannot have"),
        (
            "rediss://h/0?ssl_ca_cert=x",
            "found the option 'ssl_ca_cert', which an address cannot have; did you mean ssl_ca_certs?",
        ),
        ("redis://h/0?decode_responses=False", "found the option 'decode_responses', which an address cannot have"),
        ("redis://h/0?ssl_ca_certs=x", "found the option ssl_ca_certs, which needs TLS: rediss://"),
        ("rediss://h/0?ssl_cert_reqs=maybe", "found ssl_cert_reqs='maybe', expected none, optional or required"),
        ("redis://h?db=x", "found db='x', expected a number"),
        ("redis+cluster://h?db=1", "found the option 'db', which an address cannot have"),
        (
            "redis://h?sentinel_password=x",
            "found the option sentinel_password, which needs Sentinels: redis+sentinel://",
        ),
        ("redis+sentinel://h/s?ssl_ca_certs=x", "found the option ssl_ca_certs, which needs TLS: rediss://"),
    ],
)
def test_an_option_that_an_address_of_redis_cannot_have_is_refused(tmp_path: Path, url: str, message: str) -> None:
    assert told(tmp_path, environment={"REDIS_URL": url}) == [f"environment: REDIS_URL: {message}"]


def test_a_password_on_the_command_line_is_refused(tmp_path: Path) -> None:
    (mistake,) = told(tmp_path, options={"redis_url": f"redis://:{SECRET}@host"})
    assert mistake == ("command line: --redis-url: a password here is seen by everyone; did you mean REDIS_URL_FILE?")


def test_what_kubernetes_adds_to_the_environment_is_no_setting(tmp_path: Path) -> None:
    links = {
        "TIDEGAUGE_KAFKA_SERVICE_HOST": "10.0.0.1",
        "TIDEGAUGE_KAFKA_SERVICE_PORT": "9092",
        "TIDEGAUGE_KAFKA_SERVICE_PORT_BROKER": "9092",
        "TIDEGAUGE_KAFKA_PORT": "tcp://10.0.0.1:9092",
        "TIDEGAUGE_KAFKA_PORT_9092_TCP": "tcp://10.0.0.1:9092",
        "TIDEGAUGE_KAFKA_PORT_9092_TCP_ADDR": "10.0.0.1",
        "TIDEGAUGE_METRICS_PORT": "tcp://10.0.0.1:9108",
        "TIDEGAUGE_STATE_SERVICE_HOST": "10.0.0.1",
    }
    assert settled(tmp_path, environment=links) == Settings()
    assert told(tmp_path, environment=links) == []


def test_a_variable_that_is_nearly_one_of_ours_is_warned_of(tmp_path: Path) -> None:
    assert told(tmp_path, environment={"TIDEGAUGE_REDIS_URL": "x", "TIDEGAUGE_CACHE": "x", "TIDEGAUGE_DATA": "x"}) == [
        "environment: TIDEGAUGE_REDIS_URL: this variable is not read; did you mean REDIS_URL?"
    ]
    assert told(tmp_path, environment={"TIDEGAUGE_KAFKA_BOOTSTRAP_SERVERS": "x"}) == [
        "environment: TIDEGAUGE_KAFKA_BOOTSTRAP_SERVERS: this variable is not read;"
        " did you mean KAFKA_BOOTSTRAP_SERVERS?"
    ]


def test_no_text_of_the_settings_shows_a_secret() -> None:
    settings = Settings(
        bootstrap_servers="kafka:9092",
        redis_url=f"rediss://user:{SECRET}@redis/0?ssl_password={SECRET}",
        kafka={
            "sasl.username": "me",
            "sasl.password": SECRET,
            "ssl.key.pem": SECRET,
            "sasl.oauthbearer.client.secret": SECRET,
            "sasl.oauthbearer.token.endpoint.url": f"https://me:{SECRET}@idp/token",
        },
    )
    shown = settings.describe()
    assert SECRET not in repr(settings) + str(shown)
    assert shown["redis"] == "rediss://user:***@redis/0?ssl_password=***"
    assert shown["kafka.sasl.username"] == "me"
    assert shown["kafka.sasl.oauthbearer.token.endpoint.url"] == "https://me:***@idp/token"


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        (f"redis://:{SECRET}@host", "redis://:***@host"),
        (f"redis://user:{SECRET}@@/:{SECRET}@host", "redis://user:***@host"),
        (f"redis://user:a://{SECRET}@host", "redis://user:***@host"),
        (f"user:{SECRET}@host", "user:***@host"),
        (f"redis://{SECRET}@host", "redis://***@host"),
        (f"unix:///run/s?password={SECRET}&db=1", "unix:///run/s?password=***&db=1"),
        ("", ""),
    ],
)
def test_a_url_loses_its_password_whatever_its_form(url: str, masked: str) -> None:
    assert mask_url(url) == masked


@pytest.mark.parametrize("option", ["sasl.password", "ssl.key.password", "ssl.key.pem", "sasl.oauthbearer.config"])
def test_secret_options_are_known(option: str) -> None:
    assert is_secret(option)


def test_the_file_has_every_limit_with_the_default_of_the_code() -> None:
    names = {field.name.removesuffix("_ms") for field in dataclasses.fields(Limits)}
    assert set(LimitsSection.model_fields) == names
    assert LimitsSection().limits() == Limits()


def test_only_settings_can_be_given_on_the_command_line() -> None:
    for name in ("kafka", "limits", "windows"):
        with pytest.raises(KeyError):
            read(None, {name: "x"}, {})
