"""What a run says when it is not let in: one sentence that names the cause, and 1; in seconds, without a secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from flows.config.settings import Settings
from flows.kafka.client import check_access
from flows.process.outcomes import SourceError
from tests.security.authority import Authority
from tests.security.conftest import PASSWORDS, SecureKafka, SecureRedis
from tests.security.running import SECONDS, Ended, begun, end, run
from tests.services import RedisServer, free_port, wait_until

WRONG = "pw-wrong-1Ab9"
"""A password that no server takes; it may be seen as little as a right one."""

KAFKA_REFUSALS: dict[str, str] = {
    "wrong password": r"Kafka at {secure} refuses user tidegauge or the password \(SASL mechanism SCRAM-SHA-512\)",
    "unknown user": r"Kafka at {secure} refuses user stranger or the password \(SASL mechanism SCRAM-SHA-512\)",
    "wrong mechanism": r"Kafka at {secure} does not take the SASL mechanism PLAIN: .* SCRAM-SHA-512",
    "wrong authority": r"the TLS certificate of Kafka at {secure} is not trusted: "
    r"its authority is none of those that ssl.ca.location names",
    "expired certificate": r"the TLS certificate of Kafka at {expired} is not trusted: it has expired",
    "certificate of another host": r"the TLS certificate of Kafka at {elsewhere} is not trusted: "
    r"it is for another (address|host name)",
    "no authority file": r"Kafka's option ssl.ca.location names \S+/nothing.pem, which this user cannot read",
    "no right to read the topic": r"Kafka at {secure} does not allow user tidegauge to read topic payroll: "
    r"grant Read on it",
    "no right to write dead letters": r"Kafka does not allow this user to write rejected records to topic payroll: "
    r"grant Write on it, or set limits.dead_letters_per_second to 0",
}
"""What is wrong, and the one sentence."""


def changes(what: str, kafka: SecureKafka, other: Authority, folder: Path) -> Mapping[str, str]:
    """How the environment of a good run becomes that of a wrong one."""
    wrong = folder / "wrong.password"
    wrong.touch(mode=0o600)
    wrong.write_text(WRONG)
    return {
        "wrong password": {"TIDEGAUGE_KAFKA_SASL_PASSWORD_FILE": str(wrong)},
        "unknown user": {"TIDEGAUGE_KAFKA_SASL_USERNAME": "stranger"},
        "wrong mechanism": {"TIDEGAUGE_KAFKA_SASL_MECHANISM": "PLAIN"},
        "wrong authority": {"TIDEGAUGE_KAFKA_SSL_CA_LOCATION": str(other.certificate)},
        "expired certificate": {"KAFKA_BOOTSTRAP_SERVERS": kafka.address("EXPIRED")},
        "certificate of another host": {"KAFKA_BOOTSTRAP_SERVERS": kafka.address("ELSEWHERE")},
        "no authority file": {"TIDEGAUGE_KAFKA_SSL_CA_LOCATION": str(folder / "nothing.pem")},
        "no right to read the topic": {"TIDEGAUGE_TOPIC": "payroll"},
        "no right to write dead letters": {"TIDEGAUGE_DEAD_LETTER_TOPIC": "payroll"},
    }[what]


@pytest.fixture(scope="session")
def stranger(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that signed nothing that is shown here."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def refused(
    secure_kafka: SecureKafka, stranger: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Ended]:
    """How each of the wrong runs has ended. They mostly wait, so they wait together."""

    def attempt(what: str) -> Ended:
        folder = tmp_path_factory.mktemp("refused")
        environment = secure_kafka.environment() | {**changes(what, secure_kafka, stranger, folder)}
        return run(environment, "run", folder=folder)

    with ThreadPoolExecutor(3) as pool:
        return dict(zip(KAFKA_REFUSALS, pool.map(attempt, KAFKA_REFUSALS), strict=True))


@pytest.mark.parametrize("what", KAFKA_REFUSALS)
def test_each_way_in_which_kafka_refuses_a_run_is_one_sentence(
    what: str, refused: Mapping[str, Ended], secure_kafka: SecureKafka
) -> None:
    ended = refused[what]
    places = {name: re.escape(secure_kafka.address(name.upper())) for name in ("secure", "expired", "elsewhere")}
    assert ended.code == 1, ended.text
    (sentence,) = ended.errors
    assert re.fullmatch(KAFKA_REFUSALS[what].format(**places), sentence), ended.text
    assert "Traceback" not in ended.text
    assert [secret for secret in (*PASSWORDS.values(), WRONG) if secret in ended.text] == []
    assert len(ended.warnings) == 1, f"beside the sentence, only that there is no state folder: {ended.text}"


@pytest.mark.parametrize(
    ("protocol", "listener"), [("PLAINTEXT", "SECURE"), ("SSL", "SECURE"), ("SASL_SSL", "PLAINTEXT")]
)
def test_a_protocol_that_does_not_fit_the_listener_is_said_when_patience_ends(
    protocol: str, listener: str, secure_kafka: SecureKafka
) -> None:
    options = {
        name: text for name, text in secure_kafka.client("tidegauge").items() if name.startswith(("ssl", "sasl"))
    }
    servers = secure_kafka.address(listener)
    settings = Settings(bootstrap_servers=servers, kafka={**options, "security.protocol": protocol})
    with pytest.raises(SourceError, match="gave up after 3 s") as said:
        check_access(settings, stopping=lambda: False, seconds=3)
    assert re.match(rf"Kafka at {servers} (cannot be reached|does not speak TLS)", str(said.value))
    assert "security.protocol" in str(said.value)
    assert PASSWORDS["tidegauge"] not in str(said.value)


def test_without_the_right_to_the_group_the_numbers_are_the_same_and_lag_tools_see_nothing(
    secure_kafka: SecureKafka, tmp_path: Path
) -> None:
    environment = secure_kafka.environment() | {"TIDEGAUGE_GROUP_ID": "somebody-elses"}
    environment["TIDEGAUGE_STATE"] = str(tmp_path / "state")
    with begun(environment, "run", "--checkpoint", "100ms", folder=tmp_path) as process:
        wait_until(lambda: "cannot be committed" in (tmp_path / "err").read_text(), "the answer", SECONDS)
        process.terminate()
        ended = end(process, tmp_path)
    assert (ended.code, ended.errors) == (0, []), ended.text
    (warning,) = ended.warnings
    assert warning.startswith("offsets cannot be committed for lag tools (nothing else needs them): ")
    assert "Group authorization failed" in warning


def test_a_run_that_cannot_read_kafka_takes_nothing_over_from_one_that_can(
    secure_kafka: SecureKafka, secure_redis: SecureRedis, tmp_path: Path
) -> None:
    with secure_redis.admin() as admin:
        admin.set("tidegauge:v1:{shop}:fence", "7")
        environment = secure_kafka.environment() | {"REDIS_URL": secure_redis.url(), "TIDEGAUGE_TOPIC": "payroll"}
        config = tmp_path / "c.yaml"
        config.write_text("product: shop\n")
        assert run(environment, "run", "--config", str(config), folder=tmp_path).code == 1
        assert admin.get("tidegauge:v1:{shop}:fence") == "7"


# --------------------------------------------------------------------------------------------------------- Redis

Showing = Callable[[str], AbstractContextManager[SecureRedis]]


def both(environment: Mapping[str, str], url: str, folder: Path) -> list[str]:
    """The sentence of `run` and that of `top` for a Redis that refuses; both end with 1 and show no secret."""
    config = folder / "c.yaml"
    config.write_text("product: shop\n")
    told = []
    for arguments in (["run", "--config", str(config)], ["top", "--once", "--product", "shop"]):
        ended = run({**environment, "REDIS_URL": url}, *arguments, folder=folder)
        assert ended.code == 1, ended.text
        (sentence,) = ended.errors
        assert [secret for secret in (*PASSWORDS.values(), WRONG) if secret in ended.text] == []
        assert "Traceback" not in ended.text
        told.append(sentence.removeprefix("tidegauge top: "))
    return told


def test_a_wrong_password_for_redis_is_one_sentence(
    secure_kafka: SecureKafka, secure_redis: SecureRedis, tmp_path: Path
) -> None:
    sentence = f"Redis at 127.0.0.1:{secure_redis.tls_port} refuses the user name or password given in its address."
    assert both(secure_kafka.environment(), secure_redis.url(password=WRONG), tmp_path) == [sentence] * 2


def test_an_unknown_authority_of_redis_is_one_sentence(
    secure_kafka: SecureKafka, secure_redis: SecureRedis, stranger: Authority, tmp_path: Path
) -> None:
    url = secure_redis.url().replace(str(secure_redis.authority.certificate), str(stranger.certificate))
    sentence = (
        f"The TLS certificate of Redis at 127.0.0.1:{secure_redis.tls_port} is not trusted: its authority is unknown "
        "here; name that in the address, rediss://...?ssl_ca_certs=FILE."
    )
    assert both(secure_kafka.environment(), url, tmp_path) == [sentence] * 2


@pytest.mark.parametrize(
    ("certificate", "reason"), [("expired", "it has expired"), ("elsewhere", "it is for another host name")]
)
def test_a_wrong_certificate_of_redis_is_one_sentence(
    certificate: str, reason: str, secure_kafka: SecureKafka, showing: Showing, tmp_path: Path
) -> None:
    with showing(certificate) as server:
        sentence = f"The TLS certificate of Redis at 127.0.0.1:{server.tls_port} is not trusted: {reason}."
        assert both(secure_kafka.environment(), server.url(), tmp_path) == [sentence] * 2


def test_an_authority_file_of_redis_that_cannot_be_read_is_named(
    secure_kafka: SecureKafka, secure_redis: SecureRedis, tmp_path: Path
) -> None:
    missing = tmp_path / "nothing.pem"
    url = secure_redis.url().replace(str(secure_redis.authority.certificate), str(missing))
    sentence = f"The address of Redis names ssl_ca_certs={missing}, which this user cannot read."
    assert both(secure_kafka.environment(), url, tmp_path) == [sentence] * 2


def test_a_missing_right_in_redis_is_one_sentence(
    secure_kafka: SecureKafka, secure_redis: SecureRedis, tmp_path: Path
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("product: another\n")
    environment = secure_kafka.environment() | {"REDIS_URL": secure_redis.url()}
    ended = run(environment, "run", "--config", str(config), folder=tmp_path)
    assert ended.code == 1
    (sentence,) = ended.errors
    where = f"Redis at 127.0.0.1:{secure_redis.tls_port}"
    assert sentence.startswith(f"{where} does not allow this user what is needed, see deploy/SECURITY.md: ")


def test_tls_towards_a_redis_without_it_ends_top_in_time_and_shows_no_secret(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    url = f"rediss://:{WRONG}@127.0.0.1:{redis_server.port}/0"
    ended = run({"REDIS_URL": url}, "top", "--once", "--product", "shop", folder=tmp_path)
    assert (ended.code, len(ended.errors), "Traceback" in ended.text) == (1, 1, False), ended.text
    assert WRONG not in ended.text


def test_a_kafka_that_is_away_is_given_up_with_the_reason() -> None:
    servers = f"127.0.0.1:{free_port()}"
    with pytest.raises(SourceError, match=rf"Kafka at {servers} cannot be reached \(.*refused.*\); gave up after 3 s"):
        check_access(Settings(bootstrap_servers=servers), stopping=lambda: False, seconds=3)
