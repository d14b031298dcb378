"""Facts through the intake, the deal and their lanes into families, whatever happens on the way.

Two families write down what they are handed; what that is must not depend on polls, copies, disorder within the
lateness, restarts and the number of shards, and must be what the slow reader says of each event.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.config.limits import Limits
from flows.config.model import Config
from flows.decode.intake import Intake
from flows.facts.fact import Fact
from flows.measure.shard import Shard
from flows.messages.raw import Raw
from flows.messages.tick import Tick
from flows.metrics.events import Events
from flows.metrics.family import Family
from flows.metrics.minutes import MinuteBook
from flows.metrics.rows import Block
from flows.route.deal import deliveries
from flows.state.container import Arrays, Container
from tests.facts.declared import CONFIG, ORDER, TICKET
from tests.facts.test_readers import as_rows

START = 1_772_442_000_000  # 2026-03-02T09:00:00Z
LATENESS = CONFIG.lateness
END = START + 10_000_000
FACTS = (ORDER, TICKET)


class Log(Container):
    """Rows as they were handed on."""

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self.rows: NDArray[Any] = np.zeros(0, dtype)

    def save(self, users: int) -> Arrays:
        return {"rows": self.rows}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self.rows = arrays["rows"].copy()


class Clerk(Family):
    """Writes down the facts of one kind."""

    ordered: ClassVar[bool] = True
    takes: Fact

    def __init__(self, fact: Fact) -> None:
        self.takes = fact
        self.log = Log(fact.dtype)

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        assert (rows["used"] < now_ms).all()
        assert not self.takes.by_user or ((rows["slot"] >= 0) & (rows["slot"] < users)).all()
        self.log.rows = np.concatenate([self.log.rows, rows])

    def read(self) -> NDArray[np.int64]:
        return np.array([len(self.log.rows)])

    def blocks(self) -> list[Block]:
        return []

    def definition(self) -> Definition:
        return Definition({})


def clerks(config: Config, book: MinuteBook, limits: Limits) -> dict[str, Family]:
    return {"orders": Clerk(ORDER), "events": Events(config), "tickets": Clerk(TICKET)}


Document = dict[str, Any]


def document(ts: int, name: str, user: str, properties: Document, message: str | None) -> Document:
    return {"type": "track", "event": name, "userId": user, "timestamp": ts, "properties": properties} | (
        {"messageId": message} if message else {}
    )


def stream(random: Random, events: int) -> list[Document]:
    """In the order of their times, which are all different."""
    found = []
    for number in range(events):
        properties = {
            "order_id": f"o{random.randrange(9)}",
            "revenue": random.choice(("5.00", 7, "0.015")),
            "ticket_id": f"t{random.randrange(5)}",
            "replies": random.randrange(9),
            "severity": random.choice(("low", "high", None)),
            "queue": random.choice(("billing", "Shipping", "elsewhere", None)),
        }
        name = random.choice((*ORDER.events, *TICKET.events))
        ts = START + number * 977
        found.append(document(ts, name, f"u{random.randrange(6)}", properties, f"m{number}"))
    return found


def run(read: Sequence[Document], shards: int, random: Random | None = None) -> dict[str, list[NDArray[Any]]]:
    """What the clerks of each shard have written down; with `random` in short polls, with ticks and restarts."""
    config = CONFIG.model_copy(update={"shards": shards})
    intake = Intake(config, Limits(), facts=FACTS)

    def fresh() -> list[Shard]:
        return [Shard(config, members=clerks) for _ in range(shards)]

    running = fresh()
    ticks = position = 0
    while position < len(read):
        length = len(read) if random is None else random.randint(1, 5)
        part = [json.dumps(one).encode() for one in read[position : position + length]]
        offsets = range(position, position + len(part))
        position += length
        poll, rejected = intake.read(
            Raw.of("events", 0, 1, part, offsets, [-1] * len(part), position >= len(read), None)
        )
        assert rejected == []
        for shard, delivery in zip(running, deliveries(poll, shards), strict=True):
            shard.receive(pickle.loads(pickle.dumps(delivery)) if random else delivery)
        if random is not None and random.random() < 0.4:
            ticks += 1
            for shard in running:
                shard.tick(Tick(ticks, None))
        if random is not None and random.random() < 0.3:
            frozen = [shard.freeze() for shard in running]
            running = fresh()
            for shard, state in zip(running, frozen, strict=True):
                shard.thaw(state)
    for shard in running:
        shard.tick(Tick(ticks + 1, None, END, final=True))
    return {
        name: [shard._families[name].log.rows for shard in running]  # type: ignore[attr-defined] # a clerk's
        for name in ("orders", "tickets")
    }


def told(logs: Sequence[NDArray[Any]], fact: Fact, *left_out: str) -> list[dict[str, int]]:
    """All shards' rows by their turn; each shard has its own in that order, and only what belongs there."""
    for shard, log in enumerate(logs):
        assert log["used"].tolist() == sorted(log["used"].tolist())
        assert (log["key"] % np.uint64(len(logs)) == shard).all()
    names = [name for name in fact.dtype.names or () if name not in left_out]
    rows = [{name: int(row[name]) for name in names} for log in logs for row in log]
    return sorted(rows, key=lambda row: (row["used"], row["ts"]))


ON_THE_WAY = ("clock", "offset", "slot", "partition")
"""Columns that tell how a row came here."""


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from((1, 2, 5)))
def test_what_is_handed_on_depends_on_what_was_said_alone(seed: int, shards: int) -> None:
    random = Random(seed)
    documents = stream(random, 60)
    order = sorted(documents, key=lambda one: one["timestamp"] + random.randrange(LATENESS))
    copied = [copy for one in order for copy in [one] * random.choice((1, 1, 1, 2))]
    logs, plain = run(copied, shards, random), run(documents, 1)
    for name, fact in (("orders", ORDER), ("tickets", TICKET)):
        assert told(logs[name], fact, *ON_THE_WAY) == told(plain[name], fact, *ON_THE_WAY)


def test_what_is_handed_on_is_what_the_slow_reader_says() -> None:
    documents = stream(Random(1), 200)
    logs = run(documents, 2, Random(2))
    for name, fact in (("orders", ORDER), ("tickets", TICKET)):
        carrying = [one for one in documents if one["event"] in fact.events]
        rows = told(logs[name], fact)
        assert [row["ts"] for row in rows] == [one["timestamp"] for one in carrying]
        for row, one in zip(rows, carrying, strict=True):
            said = fact.read(json.dumps(one).encode(), one["timestamp"], fact.events[one["event"]])
            assert isinstance(said, dict)
            expected = as_rows(fact, said, one["userId"])
            assert {column: row[column] for column in expected} == expected


def test_a_late_fact_is_left_out_or_takes_its_turn_when_it_is_read_as_its_kind_has_it() -> None:
    # lateness 10s:  T ----(9:01:40)---- W = 9:01:30;  the refund of 9:01:20 is late, but in order; that of 9:00 is not
    both = {"order_id": "o", "revenue": 1, "ticket_id": "t"}
    logs = run(
        [
            document(START + 100_000, "Order Refunded", "ana", both, None),
            document(START + 80_000, "Order Refunded", "ana", both, None),
            document(START, "Order Refunded", "ana", both, None),
            document(START + 95_000, "Order Refunded", "ana", both, None),
        ],
        1,
    )
    (orders,), (tickets,) = logs["orders"], logs["tickets"]
    assert (orders["ts"] - START).tolist() == (orders["used"] - START).tolist() == [80_000, 95_000, 100_000]
    assert (tickets["ts"] - START).tolist() == [80_000, 0, 95_000, 100_000]
    assert (tickets["used"] - START).tolist() == [100_000 - LATENESS, 100_000 - LATENESS, 95_000, 100_000]


def test_the_same_message_is_a_copy_for_one_key_only() -> None:
    logs = run(
        [
            document(START + number, "Ticket Created", "ana", {"ticket_id": ticket}, "m")
            for number, ticket in enumerate(("t1", "t2", "t1"))
        ],
        1,
    )
    (tickets,) = logs["tickets"]
    assert (tickets["ts"] - START).tolist() == [0, 1]


def test_facts_of_a_user_have_the_users_slot() -> None:
    documents = [
        document(START + number, "Order Cancelled", user, {"order_id": "o"}, None)
        for number, user in enumerate(("ana", "ben", "ana"))
    ]
    (orders,) = run(documents, 1)["orders"]
    assert orders["slot"].tolist() == [0, 1, 0]
    assert len(set(orders["order"].tolist())) == 2  # the same id of two users is two orders
