"""Which way of receiving is chosen, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flows.config.settings import Settings
from flows.kafka import librdkafka
from flows.kafka.client import Link
from flows.process.outcomes import SourceError
from flows.source import connection, librdkafka_questions, librdkafka_queues
from flows.source.connection import Connection, connect
from flows.source.librdkafka_queues import LibrdkafkaQueues
from flows.source.public_queues import PublicQueues


@pytest.fixture(autouse=True)
def unsaid() -> Iterator[None]:
    connection._warn_once.cache_clear()
    yield
    connection._warn_once.cache_clear()


def connected(api: Any) -> Connection:
    settings = Settings(bootstrap_servers="127.0.0.1:1", consumer_api=api)
    made = connect(settings, {}, {"group.id": "g"}, Link(settings), 1 << 20)
    made.questions.close()
    made.client.close()
    made.queues.close()
    return made


def lacks(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    monkeypatch.setattr(module, "_SIGNATURES", module._SIGNATURES | {"rd_kafka_make_coffee": (None, [])})


def test_records_are_taken_past_confluent_kafka_where_that_is_known(caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(connected("auto").queues, LibrdkafkaQueues)
    assert isinstance(connected("librdkafka").queues, LibrdkafkaQueues)
    assert caplog.messages == []


def test_who_wants_the_public_api_gets_it_without_a_look_at_anything_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def touched(*arguments: Any) -> None:
        raise AssertionError("something private was used")

    monkeypatch.setattr(librdkafka, "named", touched)
    monkeypatch.setattr(librdkafka, "_library", touched)
    assert isinstance(connected("public").queues, PublicQueues)
    assert caplog.messages == []


@pytest.mark.parametrize("module", [librdkafka_queues, librdkafka_questions])
def test_where_a_function_is_missing_the_public_api_is_used_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, module: Any
) -> None:
    lacks(monkeypatch, module)
    assert isinstance(connected("auto").queues, PublicQueues)
    assert isinstance(connected("auto").queues, PublicQueues)
    (said,) = caplog.messages
    assert "has no rd_kafka_make_coffee()" in said
    assert "the numbers are the same, for about" in said


def test_who_wants_no_other_is_told_why_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks(monkeypatch, librdkafka_queues)
    with pytest.raises(SourceError, match=r"no rd_kafka_make_coffee\(\).*; with consumer_api: auto"):
        connected("librdkafka")
