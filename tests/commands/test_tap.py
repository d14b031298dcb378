"""The events of an embedded Kafka as they pass."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Producer

from flows.demo.embedded import EmbeddedKafka
from tests.services import DEADLINE_SECONDS, ROOT

NOW_MS = int(time.time() * 1000)


def event(number: int, **fields: object) -> bytes:
    body = {"type": "track", "event": "Order Completed", "userId": f"u{number}", "messageId": f"m{number}"}
    return json.dumps(body | {"timestamp": NOW_MS + number, **fields}).encode()


SENT = [
    event(1),
    event(2, event="Product\u001b[31m Viewed"),
    event(1),  # a copy
    event(3, timestamp=NOW_MS - 3_600_000),
    event(4, context={"bot": True}),
    event(5, userId="undefined"),
    b"{",
]
FATES = ["accepted", "accepted", "duplicate", "late", "excluded", "rejected", "rejected"]


@pytest.fixture
def kafka() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka({"events": 1}) as broker:
        yield broker


@contextmanager
def tap(kafka: EmbeddedKafka, *options: str) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    command = [sys.executable, "-m", "flows.app", "tap", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def send(kafka: EmbeddedKafka, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for number, value in enumerate(values):
        producer.produce("events", value, timestamp=NOW_MS + number)
    assert producer.flush(30) == 0


def told(kafka: EmbeddedKafka, *options: str) -> tuple[list[str], str]:
    """The lines of a tap that SENT passes by, and what it says in the end."""
    with tap(kafka, *options) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert "watching topic events from now on" in said, said + process.stderr.read()
        send(kafka, SENT)
        out, rest = process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 0, rest
    return out.splitlines(), rest


def test_every_record_is_shown_with_its_fate(kafka: EmbeddedKafka) -> None:
    send(kafka, [event(1)])  # before the tap listens: not for it
    lines, said = told(kafka, "--limit", str(len(SENT)))
    assert [line.split()[2] for line in lines] == FATES
    assert [line.split()[1] for line in lines] == [f"0/{offset}" for offset in range(1, len(SENT) + 1)]
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3}  0/1 +accepted +order_completed +user [0-9a-f]{8}", lines[0]), lines[0]
    assert lines[5].split()[3:] == ["bad_id", "$.userId"]
    assert "7 shown; 2 accepted, 1 duplicate, 1 late, 1 excluded, 2 rejected" in said


def test_nothing_of_an_event_reaches_the_terminal_as_it_is(kafka: EmbeddedKafka) -> None:
    lines, _ = told(kafka, "--limit", str(len(SENT)))
    assert not re.search(r"[^\x20-\x7e]", "".join(lines))
    assert not re.search(r"\bu[1-5]\b", "".join(lines)), "ids are hashed"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--fate", "rejected", "--limit", "2"), ["rejected", "rejected"]),
        (("--fate", "late", "--fate", "excluded", "--limit", "2"), ["late", "excluded"]),
        (("--reason", "not_json", "--limit", "1"), ["rejected"]),
        (("--event", "Order Completed", "--fate", "duplicate", "--limit", "1"), ["duplicate"]),
        (("--user", "u3", "--limit", "1"), ["late"]),
    ],
)
def test_what_is_asked_for_is_shown(kafka: EmbeddedKafka, options: tuple[str, ...], expected: list[str]) -> None:
    lines, _ = told(kafka, *options)
    assert [line.split()[2] for line in lines] == expected


def test_json_lines_hold_the_same(kafka: EmbeddedKafka) -> None:
    lines, _ = told(kafka, "--json", "--limit", str(len(SENT)))
    found = [json.loads(line) for line in lines]
    assert [one["fate"] for one in found] == FATES
    assert found[0]["time"] == NOW_MS + 1
    assert found[0]["user"] == found[2]["user"] != found[1]["user"]
    assert (found[6]["why"], found[6]["message"][:1]) == ("not_json", "$")


def test_ctrl_c_ends_it_with_the_counts(kafka: EmbeddedKafka) -> None:
    with tap(kafka) as process:
        assert process.stderr is not None
        process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, said) == (0, "0 shown; nothing has passed\n")


def test_without_kafka_it_says_what_to_set(kafka: EmbeddedKafka) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"}
    command = [sys.executable, "-m", "flows.app", "tap"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "set KAFKA_BOOTSTRAP_SERVERS" in ended.stderr
