"""deploy/kafka/kafka runs a real broker: starts, answers, survives a kill, leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests import services
from tests.lacking import program


def script(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(services.KAFKA_SCRIPT), *arguments],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def produce(servers: str, topic: str, values: list[bytes], **options: str) -> None:
    failures: list[object] = []
    producer = Producer({"bootstrap.servers": servers, **options})
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: failures.append(error) if error else None)
    assert producer.flush(30) == 0
    assert failures == []


def consume(servers: str, topic: str, count: int, **options: str) -> list[bytes | None]:
    """The first `count` values of partition 0, in offset order."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "test", **options})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        messages: list[Message] = []
        while len(messages) < count:
            found = consumer.consume(count - len(messages), timeout=30)
            assert found, f"{len(messages)} of {count} records came"
            messages += found
        assert [message.error() for message in messages] == [None] * count
        assert [message.offset() for message in messages] == list(range(count))
        return [message.value() for message in messages]
    finally:
        consumer.close()


def test_what_is_produced_to_the_shared_broker_is_consumed(kafka: services.KafkaBroker) -> None:
    topic = kafka.create_topic(partitions=1)
    values = [b"%d" % number for number in range(1000)]
    produce(kafka.bootstrap_servers, topic, values)
    assert consume(kafka.bootstrap_servers, topic, 1000) == values


def test_a_topic_has_the_partitions_asked_for(kafka: services.KafkaBroker) -> None:
    topic = kafka.create_topic(partitions=12)
    found = AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(topic, timeout=30)
    assert sorted(found.topics[topic].partitions) == list(range(12))


@pytest.mark.usefixtures("kafka_jars")
def test_start_leaves_a_broker_that_answers_and_stop_leaves_no_process(tmp_path: Path) -> None:
    data = tmp_path / "data"
    started = script("start", "--port", "0", "--data", str(data))
    try:
        assert started.returncode == 0, started.stderr
        address = started.stdout.strip()
        pid = int((data / "kafka.pid").read_text())
        produce(address, "greetings", [b"hello"])
        assert consume(address, "greetings", 1) == [b"hello"]

        again = script("start", "--port", "0", "--data", str(data))
        assert again.returncode == 1
        assert f"a broker (pid {pid}) already runs on {address}" in again.stderr
        port = address.rpartition(":")[2]
        taken = script("start", "--port", port, "--data", str(tmp_path / "other"))
        assert taken.returncode == 1
        assert f"port {port} of 127.0.0.1 is in use" in taken.stderr
    finally:
        stopped = script("stop", "--data", str(data))
    assert stopped.returncode == 0, stopped.stderr
    services.wait_until(lambda: not Path(f"/proc/{pid}/exe").exists(), f"the end of process {pid}")
    assert not (data / "kafka.pid").exists()
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": address}).list_topics(timeout=1)
    nothing = script("stop", "--data", str(data))
    assert (nothing.returncode, "no broker was running" in nothing.stderr) == (0, True)


def test_records_survive_a_killed_broker(own_kafka: services.KafkaServer) -> None:
    topic = own_kafka.create_topic()
    produce(own_kafka.bootstrap_servers, topic, [b"before"])
    killed = own_kafka.pid
    own_kafka.kill()
    own_kafka.restart()
    assert own_kafka.pid != killed
    produce(own_kafka.bootstrap_servers, topic, [b"after"])
    assert consume(own_kafka.bootstrap_servers, topic, 2) == [b"before", b"after"]


def test_a_paused_broker_answers_again_once_it_is_resumed(own_kafka: services.KafkaServer) -> None:
    admin = AdminClient({"bootstrap.servers": own_kafka.bootstrap_servers})
    admin.list_topics(timeout=30)
    own_kafka.pause()
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=1)
    own_kafka.resume()
    assert len(admin.list_topics(timeout=30).brokers) == 1


@pytest.mark.usefixtures("kafka_jars")
def test_more_listeners_and_settings_can_be_given(tmp_path: Path) -> None:
    login = "org.apache.kafka.common.security.plain.PlainLoginModule"
    secrets = tmp_path / "secrets.properties"
    secrets.write_text(
        "sasl.enabled.mechanisms=PLAIN\n"
        f'listener.name.closed.plain.sasl.jaas.config={login} required user_reader="right";\n'
    )
    more = ["--listener", "CLOSED:SASL_PLAINTEXT", "--properties", str(secrets), "--set", "num.partitions=3"]
    with services.running_kafka(*more) as broker:
        found = dict(
            line.split("=", 1)
            for line in (broker.data / "server.properties").read_text().splitlines()
            if "=" in line and not line.startswith("#")
        )
        closed = next(
            listener.removeprefix("CLOSED://")
            for listener in found["advertised.listeners"].split(",")
            if listener.startswith("CLOSED://")
        )
        sasl = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "reader"}
        produce(broker.bootstrap_servers, "greetings", [b"hello"])
        admin = AdminClient({"bootstrap.servers": closed, **sasl, "sasl.password": "right"})
        assert len(admin.list_topics("greetings", timeout=30).topics["greetings"].partitions) == 3
        with pytest.raises(KafkaException):
            AdminClient({"bootstrap.servers": closed, **sasl, "sasl.password": "wrong"}).list_topics(timeout=3)


@pytest.mark.usefixtures("kafka_jars")
def test_two_installs_at_once_end_in_one_whole_folder(tmp_path: Path) -> None:
    command = [sys.executable, str(services.KAFKA_SCRIPT), "install", "--cache", str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = [process.communicate()[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert folders[0] == folders[1]
    assert list(Path(folders[0]).glob("kafka_2.13-*.jar"))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [Path(folders[0]).name]


def test_without_java_or_maven_the_script_says_what_to_install(tmp_path: Path) -> None:
    for missing, programs in (("java", ()), ("mvn", ("java",))):
        path = tmp_path / missing
        path.mkdir()
        for name in programs:
            (path / name).write_text("#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n")
            (path / name).chmod(0o755)
        done = script("install", "--cache", str(tmp_path / "cache"), PATH=str(path), JAVA_HOME="")
        assert done.returncode == services.KAFKA_UNAVAILABLE
        assert f"no {missing} on PATH" in done.stderr
        assert "apt-get install" in done.stderr


def test_an_old_java_is_refused(tmp_path: Path) -> None:
    (tmp_path / "java").write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_292\"' >&2\n")
    (tmp_path / "java").chmod(0o755)
    done = script("install", "--cache", str(tmp_path / "cache"), PATH=str(tmp_path), JAVA_HOME="")
    assert done.returncode == services.KAFKA_UNAVAILABLE
    assert 'needs Java 17 or newer, not openjdk version "1.8.0_292"' in done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ["--port", "65536"],
        ["--port", "-1"],
        ["--set", "no_equals_sign"],
        ["--listener", "SECURE:NOTHING"],
        ["--listener", "SECURE:SSL:x"],
        ["--properties", "/no/such/file"],
        ["--secure", "/no/such/folder"],
        ["--member", "1"],
        ["--member", "1:short:100@127.0.0.1:9100"],
    ],
)
def test_wrong_usage_is_refused_before_anything_starts(wrong: list[str], tmp_path: Path) -> None:
    done = script("start", "--data", str(tmp_path / "data"), *wrong)
    assert done.returncode == 2
    assert f"argument {wrong[0]}: expected" in done.stderr or "is not a file" in done.stderr
    assert not (tmp_path / "data").exists()


# -------------------------------------------------------------------------------------------------------- secure


def secure_folder(folder: Path, users: str) -> Path:
    folder.mkdir()
    (folder / "users").write_text(users)
    key, certificate = folder / "key", folder / "certificate"
    command = [program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "broker.pem").write_text(key.read_text() + certificate.read_text())
    return folder


@pytest.mark.usefixtures("kafka_jars")
def test_a_secure_broker_is_started_without_a_password_on_any_command_line(tmp_path: Path) -> None:
    folder = secure_folder(tmp_path / "secure", "reader=pw-of-reader\n\nwriter=pw = of writer\n")
    java = shutil.which("java")
    (tmp_path / "bin").mkdir()
    spy = tmp_path / "bin" / "java"
    spy.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/seen\nexec {java} "$@"\n')
    spy.chmod(0o755)
    data = str(tmp_path / "data")
    try:
        started = script("start", "--port", "0", "--data", data, "--secure", str(folder), JAVA_HOME=str(tmp_path))
        assert started.returncode == 0, started.stderr
        secure = script("address", "SECURE", "--data", data).stdout.strip()
        assert script("address", "--data", data).stdout == started.stdout
        way_in = {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "writer"}
        way_in |= {"ssl.ca.location": str(folder / "certificate"), "sasl.password": "pw = of writer"}
        admin = AdminClient({"bootstrap.servers": secure, **way_in})
        assert admin.list_topics(timeout=30).topics == {}  # it may do nothing, and has been let in
        seen = (tmp_path / "seen").read_text() + started.stdout + started.stderr
        assert "kafka.Kafka" in seen
        assert [secret for secret in ("pw-of-reader", "pw = of writer") if secret in seen] == []
        assert list((tmp_path / "data").glob(".format-*")) == []
    finally:
        script("stop", "--data", data)


@pytest.mark.usefixtures("kafka_jars")
@pytest.mark.parametrize("users", ["reader", "=x", "reader=", 'reader="x"', "reader=a,b"])
def test_a_line_of_users_that_cannot_be_used_is_named_without_its_password(users: str, tmp_path: Path) -> None:
    folder = secure_folder(tmp_path / "secure", f"good=fine\n{users}\n")
    refused = script("start", "--port", "0", "--data", str(tmp_path / "data"), "--secure", str(folder))
    assert refused.returncode == 1
    assert f"{folder / 'users'}, line 2: expected NAME=PASSWORD" in refused.stderr
    assert "fine" not in refused.stderr


def test_a_listener_that_is_not_there_is_said(tmp_path: Path) -> None:
    nothing = script("address", "SECURE", "--data", str(tmp_path))
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "has a listener SECURE" in nothing.stderr
