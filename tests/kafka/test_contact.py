from __future__ import annotations

import json

from flows.kafka.contact import SILENCE_US, Contact


def statistics(state: str = "UP", rxidle: int = 10_000, partitions: tuple[int, ...] = (0, 1)) -> str:
    """As librdkafka tells them, of one broker."""
    toppars = {f"events-{number}": {"topic": "events", "partition": number} for number in partitions}
    broker = {"name": "b", "state": state, "rxidle": rxidle, "rx": 7, "toppars": toppars}
    coordinator = {"name": "GroupCoordinator", "state": "UP", "rxidle": 900_000_000, "toppars": {}}
    return json.dumps({"ts": 1, "brokers": {"b/1": broker, "coordinator": coordinator}, "topics": {}})


def test_a_partition_is_silent_when_its_broker_is_and_found_again_once() -> None:
    contact = Contact()
    heard = []
    for rxidle in (10_000, SILENCE_US, SILENCE_US + 1, 9_000_000, 10_000, 10_000):
        contact.on_statistics(statistics(rxidle=rxidle))
        heard.append((sorted(contact.silent), sorted(contact.found_again())))
    assert heard == [([], []), ([], []), ([0, 1], []), ([0, 1], []), ([], [0, 1]), ([], [])]


def test_a_broker_that_is_gone_or_not_up_is_not_heard_of() -> None:
    contact = Contact()
    contact.on_statistics(statistics())
    contact.on_statistics(statistics(partitions=(1,)))
    assert contact.silent == {0}
    contact.on_statistics(statistics(state="CONNECT"))
    assert contact.silent == {0, 1}
    contact.on_statistics(json.dumps({"brokers": {}}))
    assert contact.silent == {0, 1}


def test_a_partition_that_nobody_has_heard_of_yet_is_not_missed() -> None:
    contact = Contact()
    contact.on_statistics(statistics(partitions=()))
    assert contact.silent == frozenset()
    contact.reached(0)
    contact.on_statistics(statistics(partitions=()))
    assert contact.silent == {0}
