"""What an address of Redis means, which rights it needs, and what is said of a wrong one: Sentinels, clusters, TLS."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from deploy.local import free_port, tied, wait_until
from flows.client.reader import Address, LiveNumbers
from flows.publish.redis.client import RedisRefused
from flows.publish.redis.trouble import explain
from tests.lacking import lacking, need
from tests.publish.test_redis import SECURITY, Run, running, snapshot
from tests.redis_groups import (
    PASSWORD,
    SENTINEL_PASSWORD,
    ClusterGroup,
    SentinelGroup,
    asked,
)
from tests.services import RedisServer, redis_program, running_redis

LIVE = "tidegauge:v1:{shop}:live"


# ------------------------------------------------------------------------------------------- rights, in words


def test_the_documented_rights_are_enough_in_a_cluster(cluster: ClusterGroup) -> None:
    url = cluster.url.replace("redis+cluster://", "redis+cluster://{}:secret@")
    for server in cluster.servers:
        for user in ("tidegauge", "tidegauge-reader"):
            asked(server, "ACL", "SETUSER", user, "reset", *rights(user), "+cluster|slots")
    try:
        with (
            running(url.format("tidegauge")) as run,
            LiveNumbers(url.format("tidegauge-reader"), "shop") as numbers,
        ):
            run.publish(snapshot({"a": 1}))
            assert next(numbers.changes()).count("a") == 1
        for server in cluster.servers:
            asked(server, "ACL", "SETUSER", "tidegauge", "-cluster|slots")
        with pytest.raises(RedisRefused, match="does not allow this user what is needed"):
            Run(url.format("tidegauge")).start()
    finally:
        for server in cluster.servers:
            asked(server, "ACL", "DELUSER", "tidegauge", "tidegauge-reader")


def test_the_documented_rights_are_enough_at_sentinels(sentinels: SentinelGroup) -> None:
    url = sentinels.url.replace("sentinel_password=", "sentinel_username=tidegauge-sentinel&sentinel_password=")
    for sentinel in sentinels.sentinels:
        with sentinel.client() as client:
            user = [word.replace("secret", SENTINEL_PASSWORD) for word in rights("tidegauge-sentinel")]
            client.execute_command("ACL", "SETUSER", "tidegauge-sentinel", "reset", *user)
    with running(url) as run, LiveNumbers(url, "shop") as numbers:
        run.publish(snapshot({"a": 1}))
        assert numbers.read("a").count("a") == 1


def rights(user: str) -> list[str]:
    """What deploy/SECURITY.md gives a user, whose password is `secret` here."""
    (line,) = re.findall(rf"^ACL SETUSER {user} (.+)$", SECURITY.read_text(), re.MULTILINE)
    return str(line).replace("<password>", "secret").split()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("sentinel_password=of", "sentinel_password=or"), "refuses the user name or password"),
        (("/numbers/0", "/letters/0"), "knows this service"),
        ((f":{PASSWORD}@", ":wr0ng@"), "refuses the user name or password"),
    ],
)
def test_what_sentinels_refuse_is_one_sentence(sentinels: SentinelGroup, change: tuple[str, str], words: str) -> None:
    url = sentinels.url.replace(*change)
    assert url != sentinels.url
    with pytest.raises(RedisRefused, match=words) as refused:
        Run(url).start()
    assert "wr0ng" not in str(refused.value)


def test_a_server_of_another_kind_is_one_sentence(redis_server: RedisServer, cluster: ClusterGroup) -> None:
    with pytest.raises(RedisRefused, match=r"is no cluster; its address is redis://"):
        Run(redis_server.url.replace("redis://", "redis+cluster://").removesuffix("/0")).start()
    with pytest.raises(RedisRefused, match="answers, but is no Sentinel"):
        Run(f"redis+sentinel://127.0.0.1:{redis_server.port}/numbers").start()
    wrong = next(one for one in cluster.servers if one is not cluster.owner())
    error = redis.exceptions.MovedError("1 127.0.0.1:2")
    assert explain(error).sentence.endswith("name the cluster, redis+cluster://host:port,host:port.")
    with pytest.raises(redis.exceptions.MovedError), LiveNumbers(wrong.url, "shop", patience_seconds=0) as numbers:
        numbers.read()


@pytest.mark.parametrize(
    ("url", "kind", "places", "service", "options", "asking"),
    [
        ("redis://u:p%40@h/2", "server", [("h", 6379)], "", {"username": "u", "password": "p@", "db": 2}, None),
        ("unix:///run/r.sock", "server", [("/run/r.sock", 6379)], "", {}, None),
        (
            "redis+sentinel://u:p@a,[::1]:5/shop/3?sentinel_username=s&sentinel_password=t&client_name=n",
            *("sentinel", [("a", 26379), ("::1", 5)], "shop"),
            {"username": "u", "password": "p", "db": 3, "client_name": "n"},
            {"username": "s", "password": "t", "client_name": "n"},
        ),
        ("redis+cluster://:p@a:1,b", "cluster", [("a", 1), ("b", 6379)], "", {"password": "p"}, None),
    ],
)
def test_an_address_says_whom_to_ask_and_how(
    url: str, kind: str, places: list[tuple[str, int]], service: str, options: dict[str, str], asking: dict[str, str]
) -> None:
    for scheme in ("redis", "rediss"):
        address = Address.parse(url.replace("redis", scheme, 1) if url.startswith("redis") else url)
        plain = [
            {k: v for k, v in one.items() if k != "connection_class"}
            for one in (address.options, address.asking_options)
        ]
        assert (address.kind, list(address.places), address.service) == (kind, places, service)
        assert plain == [options, options if asking is None else asking]
        if scheme == "rediss" and url.startswith("redis"):
            tls = redis.SSLConnection
            assert address.options["connection_class"] == address.asking_options["connection_class"] == tls
        assert "p" not in repr(address).replace("places", "").replace("shop", "")


@pytest.mark.parametrize(
    "url",
    [
        *("redis+sentinel://a,b", "redis+sentinel:///shop", "redis+sentinel://a,,b/shop", "redis+sentinel://a/shop/x"),
        *("redis+cluster://a/1", "redis+cluster://", "redis+cluster://a:0", "redis+other://a", "rediss+cluster://a:x"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Address.parse(url)


# -------------------------------------------------------------------------------------------------------- TLS


def test_a_cluster_with_tls_is_followed(certificate: Certificate, tmp_path: Path) -> None:
    tls_port = free_port()
    options, bus = certificate.options(tls_port), ["--cluster-port", str(free_port())]
    with running_redis(*options, *bus, "--cluster-enabled", "yes", "--tls-cluster", "yes") as server:
        asked(server, "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: asked(server, "CLUSTER INFO")["cluster_state"] == "ok", "the cluster")
        url = f"rediss+cluster://127.0.0.1:{tls_port}?ssl_ca_certs={certificate.file}"
        with running(url) as run, LiveNumbers(url, "shop") as numbers:
            run.publish(snapshot({"a": 1}))
            assert numbers.read("a").count("a") == 1
        with pytest.raises(RedisRefused, match="its authority is unknown here"):
            Run(f"rediss+cluster://127.0.0.1:{tls_port}").start()


def test_sentinels_with_tls_are_asked(certificate: Certificate, tmp_path: Path) -> None:
    tls_port, sentinel_port = free_port(), free_port()
    config = tmp_path / "sentinel.conf"
    options = [*certificate.options(sentinel_port), "--tls-replication", "yes", "--port", "0", "--bind", "127.0.0.1"]
    config.write_text("".join(f"{name[2:]} {value}\n" for name, value in zip(options[::2], options[1::2], strict=True)))
    with config.open("a") as text:
        text.write(f"dir {tmp_path}\nsentinel monitor numbers 127.0.0.1 {tls_port} 1\n")
    with running_redis(*certificate.options(tls_port)) as server, (tmp_path / "sentinel.log").open("wb") as log:
        command = tied([redis_program(), str(config), "--sentinel"])
        sentinel = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        url = f"rediss+sentinel://127.0.0.1:{sentinel_port}/numbers?ssl_ca_certs={certificate.file}"
        try:
            with running(url) as run, LiveNumbers(url, "shop", patience_seconds=30) as numbers:
                run.publish(snapshot({"a": 1}))
                assert asked(server, "HGET", LIVE, "a") == "1"
                assert numbers.read("a").count("a") == 1
        finally:
            sentinel.terminate()
            sentinel.wait(30)


@dataclass(frozen=True)
class Certificate:
    """A certificate of its own making, for 127.0.0.1."""

    file: Path
    key: Path

    def options(self, port: int) -> list[str]:
        """Of a server that shows it, and asks nobody for one."""
        return [
            *("--tls-port", str(port), "--tls-cert-file", str(self.file), "--tls-key-file", str(self.key)),
            *("--tls-ca-cert-file", str(self.file), "--tls-auth-clients", "no"),
        ]


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    need("Redis", redis_program)
    openssl = shutil.which("openssl")
    if openssl is None:
        lacking("there is no openssl to make a certificate with")
    made = Certificate(tmp_path / "certificate.pem", tmp_path / "key.pem")
    options = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(made.key), "-out", str(made.file)]
    subprocess.run([openssl, *options.split(), *files], check=True, capture_output=True)
    return made
