"""Servers as an operator would close them: TLS, users with passwords, and the rights of deploy/SECURITY.md alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from confluent_kafka.admin import AdminClient, NewTopic

from tests.lacking import need
from tests.security.authority import PAST, Authority, Certificate
from tests.services import KAFKA_SCRIPT, ROOT, KafkaServer, RedisServer, free_port, redis_program, running_kafka
from tests.services import running_redis as running_redis_server

PAGE = ROOT / "deploy" / "SECURITY.md"

PASSWORDS = {
    "tidegauge": "pw-kafka-tidegauge-7Qm4",
    "shop": "pw-kafka-shop-9Lx2",
    "nobody": "pw-kafka-nobody-3Vc8",
    "tidegauge-redis": "pw-redis-tidegauge-5Ht1",
    "tidegauge-reader": "pw-redis-reader-8Zn6",
}
"""Whose password is which; none may ever be seen."""


def block(name: str) -> str:
    """The fenced block of deploy/SECURITY.md that opens with `name`."""
    found = re.findall(rf"(?ms)^```{re.escape(name)}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"))
    assert len(found) == 1, f"deploy/SECURITY.md has {len(found)} blocks of {name}"
    return str(found[0])


@dataclass(frozen=True)
class SecureKafka:
    """A broker that serves topic `events` to user `tidegauge`, lets user `shop` fill it, and nobody do more."""

    broker: KafkaServer
    authority: Authority
    folder: Path

    def address(self, listener: str) -> str:
        """Where `listener` is."""
        command = [sys.executable, str(KAFKA_SCRIPT), "address", listener, "--data", str(self.broker.data)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def client(self, user: str) -> dict[str, str]:
        """librdkafka's options for `user`."""
        return {
            "bootstrap.servers": self.address("SECURE"),
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": PASSWORDS[user],
            "ssl.ca.location": str(self.authority.certificate),
        }

    def environment(self, user: str = "tidegauge") -> dict[str, str]:
        """The same as Tidegauge's variables, the password in a file."""
        secret = self.folder / f"{user}.password"
        if not secret.exists():
            secret.touch(mode=0o600)
            secret.write_text(PASSWORDS[user] + "\n")
        options = self.client(user)
        del options["sasl.password"]
        servers = options.pop("bootstrap.servers")
        named = {f"TIDEGAUGE_KAFKA_{name.upper().replace('.', '_')}": value for name, value in options.items()}
        return {
            **named,
            "KAFKA_BOOTSTRAP_SERVERS": servers,
            "TIDEGAUGE_KAFKA_SASL_PASSWORD_FILE": str(secret),
            "TIDEGAUGE_METRICS_ADDRESS": "off",
        }


def apply_kafka_rights(broker: KafkaServer, folder: Path) -> None:
    """Run the commands of the page as they stand there; Kafka's own tool is what they call."""
    tool = folder / "kafka-acls.sh"
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{KAFKA_SCRIPT}" acls "$@"\n')
    tool.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "KAFKA": broker.bootstrap_servers}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block("sh acls")],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom all clients of these tests trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certificates(authority: Authority) -> dict[str, Certificate]:
    """A good certificate for this machine, one that has expired, and one for another."""
    return {
        "good": authority.issue("good"),
        "expired": authority.issue("expired", until=PAST),
        "elsewhere": authority.issue("elsewhere", "DNS:elsewhere.example"),
    }


@pytest.fixture(scope="session")
def secure_kafka(
    kafka_jars: None,
    authority: Authority,
    certificates: dict[str, Certificate],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[SecureKafka]:
    """One broker with a listener for each certificate."""
    folder = tmp_path_factory.mktemp("secure-kafka")
    (folder / "broker.pem").write_text(certificates["good"].both.read_text())
    (folder / "users").touch(mode=0o600)
    users = ("tidegauge", "shop", "nobody")
    (folder / "users").write_text("".join(f"{name}={PASSWORDS[name]}\n" for name in users))
    options = ["--secure", str(folder)]
    for name in ("expired", "elsewhere"):
        options += ["--listener", f"{name.upper()}:SSL", "--set"]
        options += [f"listener.name.{name}.ssl.keystore.location={certificates[name].both}"]
    with running_kafka(*options) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        topics = [NewTopic(name, num_partitions=1) for name in ("events", "events.dead", "payroll")]
        for made in admin.create_topics(topics, operation_timeout=30).values():
            made.result(60)
        apply_kafka_rights(broker, folder)
        yield SecureKafka(broker, authority, folder)


@dataclass(frozen=True)
class SecureRedis:
    """A Redis with TLS and the two users of the page; its other port is the tests' own way in."""

    server: RedisServer
    tls_port: int
    authority: Authority

    def url(self, user: str = "tidegauge", password: str | None = None) -> str:
        """As REDIS_URL has it."""
        known = PASSWORDS["tidegauge-redis" if user == "tidegauge" else user]
        return (
            f"rediss://{user}:{password or known}@127.0.0.1:{self.tls_port}/0?ssl_ca_certs={self.authority.certificate}"
        )

    def admin(self) -> redis.Redis:
        """A client that may do everything."""
        client: redis.Redis = redis.Redis.from_url(self.server.url, decode_responses=True)
        return client


@contextmanager
def redis_showing(certificate: Certificate, authority: Authority) -> Iterator[SecureRedis]:
    """A Redis with TLS and this certificate, and the users of deploy/SECURITY.md."""
    port = free_port()
    tls = ["--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(authority.certificate)]
    tls += ["--tls-cert-file", str(certificate.certificate), "--tls-key-file", str(certificate.key)]
    with running_redis_server(*tls) as server:
        secure = SecureRedis(server, port, authority)
        with secure.admin() as admin:
            for line in block("redis").splitlines():
                acl, setuser, user, *rules = line.split()
                password = PASSWORDS["tidegauge-redis" if user == "tidegauge" else user]
                admin.execute_command(acl, setuser, user, *[rule.replace("<password>", password) for rule in rules])
        yield secure


@pytest.fixture
def secure_redis(certificates: dict[str, Certificate], authority: Authority) -> Iterator[SecureRedis]:
    """A Redis with a good certificate."""
    need("Redis", redis_program)
    with redis_showing(certificates["good"], authority) as server:
        yield server


@pytest.fixture
def showing(certificates: dict[str, Certificate], authority: Authority) -> Callable[[str], object]:
    """From the name of a certificate to a context manager: a Redis that shows it."""
    need("Redis", redis_program)
    return lambda name: redis_showing(certificates[name], authority)
