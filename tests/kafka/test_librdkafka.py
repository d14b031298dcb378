"""What is looked at before anything of librdkafka is used past confluent-kafka."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
from confluent_kafka import Consumer

from flows.kafka import librdkafka
from flows.kafka.librdkafka import LibraryError, handle, library

OF_THE_TYPE = 8
"""Where every object has the address of its type: a living address, of something else."""


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    made = Consumer({"group.id": "g", "client.id": "reader", "log_level": 2})
    yield made
    made.close()


def test_the_version_of_the_lock_is_known() -> None:
    assert version("confluent-kafka").startswith(librdkafka.KNOWN)


def test_a_client_that_is_not_where_it_should_be_is_refused(consumer: Consumer) -> None:
    with pytest.raises(LibraryError, match=r"requirements\.lock"):
        handle(consumer, "somebody else")
    assert handle(consumer, "reader")


def test_a_function_that_the_library_lacks_is_named() -> None:
    with pytest.raises(LibraryError, match=r"no rd_kafka_make_coffee\(\)"):
        library({"rd_kafka_make_coffee": (None, [])})


def test_a_version_that_is_not_known_is_tried_in_a_child_and_used_if_it_is_of_the_same_make(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = handle(consumer, "reader")
    children: list[Any] = []
    run = subprocess.run

    def counted(*args: Any, **options: Any) -> Any:
        children.append(args)
        return run(*args, **options)

    monkeypatch.setattr(subprocess, "run", counted)
    monkeypatch.setattr("confluent_kafka.__version__", "98.0")
    assert [handle(consumer, "reader"), handle(consumer, "reader")] == [expected, expected]
    assert len(children) == 1


def test_a_version_of_another_make_crashes_a_child_and_not_this_process(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[int] = []
    run = subprocess.run

    def noting(*args: Any, **options: Any) -> Any:
        done = run(*args, **options)
        ends.append(done.returncode)
        return done

    monkeypatch.setattr(subprocess, "run", noting)
    monkeypatch.setattr("confluent_kafka.__version__", "99.0")
    monkeypatch.setattr(librdkafka, "_HANDLE_OFFSET", OF_THE_TYPE)
    with pytest.raises(LibraryError, match=r"confluent-kafka 99\.0 keeps its clients in another way"):
        handle(consumer, "reader")
    assert ends[0] != 0


def test_another_librdkafka_than_the_loaded_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    librdkafka._library.cache_clear()
    monkeypatch.setattr("confluent_kafka.libversion", lambda: ("1.0.0", 0x010000FF))
    with pytest.raises(LibraryError, match="confluent_kafka uses another version"):
        library({})
    librdkafka._library.cache_clear()


def test_only_64_bit_machines_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    librdkafka._library.cache_clear()
    monkeypatch.setattr("ctypes.sizeof", lambda kind: 4)
    with pytest.raises(LibraryError, match="64-bit"):
        library({})
    librdkafka._library.cache_clear()
