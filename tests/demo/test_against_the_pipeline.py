"""The pipeline's own parts, fed with the simulated stream as a reader would find it, publish what the audit makes of
what was sent.

The wall clock is simulated too: the job starts some seconds after the product has gone live, reads what
waits in each partition, and then polls every partition ten times a second.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows import audit
from flows.audit.comparison import compare
from flows.audit.cut import History
from flows.audit.published import Published
from flows.config.limits import Limits
from flows.config.model import Config
from flows.decode.intake import Intake
from flows.demo.feed import Witness
from flows.demo.scenarios import SCENARIOS
from flows.demo.sent import Sent
from flows.demo.simulator import Record, Simulator
from flows.measure.shard import Shard
from flows.messages.raw import Raw
from flows.messages.snapshot import Snapshot
from flows.messages.tick import Tick
from flows.route.deal import deliveries
from flows.total.totals import Totals
from tests.audit.held import published, wrong
from tests.thorough import THOROUGH

START_MS = 1_790_000_000_000
JOB_STARTS_MS = START_MS + 4_000
POLL_MS = 100
MOST = ["backlog in many polls", "backlog in one poll"]

CONFIGS: dict[str, dict[str, Any]] = {
    "as in the demo": {
        "key_actions": ["Order Completed"],
        "funnels": {
            "checkout": {
                "window": "1h",
                "steps": ["Product Viewed", "Product Added", "Checkout Started", "Order Completed"],
            }
        },
        "breakdowns": {"platform": {"field": "context.device.type", "values": ["web", "ios", "android"]}},
        "subscriptions": {"currency": "EUR", "plans": ["Basic", "Plus", "Premium"]},
        "top": {
            "pages": {"field": "context.page.path"},
            "products": {"field": "properties.product_id", "count": "users", "k": 10},
        },
    },
    "everything different": {
        "time_zone": "Asia/Tokyo",
        "lateness": "30s",
        "windows": ["1m", "7m", "2h", "24h", "30d"],
        "ratio_windows": ["7m", "2h"],
        "sessions": {"timeout": "90s", "max_duration": "3m", "bounce": "single_event"},
        "key_actions": ["Signed Up", {"event": "Product Viewed", "where": {"context.device.type": ["iOS", "web"]}}],
        "active_users": {
            "events": ["Product Viewed", {"event": "identify", "where": {"context.device.type": "android"}}],
        },
        "exclude": {"events": ["Signed In"], "bots": False},
        "churn_after": "5m",
        "dedup_horizon": "5m",
        "funnels": {
            "look": {
                "window": "40s",
                "steps": [
                    [
                        "page_viewed",
                        {
                            "event": "screen_viewed",
                            "where": {"context.device.type": "ios"},
                        },
                    ],
                    {"event": "Product Viewed", "where": {"context.device.type": ["web", "ios"]}, "as": "Seen"},
                ],
                "reentry": "latest",
            }
        },
        "breakdowns": {
            "platform": {
                "field": "context.device.type",
                "values": ["ios"],
                "of": ["events", "sessions", "funnels"],
            },
            "entry": {"field": "context.device.type", "values": ["ios", "web"], "scope": "session"},
            "first": {"field": "context.device.type", "values": ["android"], "scope": "first"},
        },
        "subscriptions": {
            "currency": "JPY",
            "plans": ["plus", "Pro"],
            "moves": [["plus", "pro"]],
            "events": {"Plan Updated": None},
        },
        "shards": 5,
    },
}


class Reader:
    """The job without its engine: polls in, snapshots out."""

    def __init__(self, config: Config, partitions: int) -> None:
        self._partitions = partitions
        self._intake = Intake(config, Limits())
        self._shards = [Shard(config) for _ in range(config.shards)]
        self._totals = Totals(config)
        self._waiting: dict[int, deque[Record]] = defaultdict(deque)
        self._offsets = [0] * partitions
        self._ticks = itertools.count()
        self.minutes: dict[int, Mapping[str, int]] = {}
        self._days: dict[str, Mapping[str, int]] = {}

    def put(self, record: Record) -> None:
        self._waiting[record.partition].append(record)

    def poll(self, now_ms: int, most: int = 10_000) -> None:
        """One poll of every partition."""
        for partition in range(self._partitions):
            waiting = self._waiting[partition]
            batch = [waiting.popleft() for _ in range(min(most, len(waiting)))]
            first = self._offsets[partition]
            self._offsets[partition] += len(batch)
            raw = Raw.of(
                topic="events",
                partition=partition,
                partitions=self._partitions,
                values=[record.value for record in batch],
                offsets=list(range(first, first + len(batch))),
                timestamps_ms=[record.arrival_ms for record in batch],
                caught_up=not waiting,
                monotonic_ms=now_ms,
            )
            poll, _ = self._intake.read(raw)
            for shard, delivery in zip(self._shards, deliveries(poll, len(self._shards)), strict=True):
                shard.receive(delivery)

    def tick(self, now_ms: int) -> Snapshot:
        tick = Tick(next(self._ticks), now_ms)
        (snapshot,) = [s for shard in self._shards if (s := self._totals.add(shard.tick(tick))) is not None]
        self.minutes |= snapshot.minutes
        self._days |= snapshot.days
        return replace(snapshot, days=dict(self._days))


class InProcess:
    """The audit of what is sent, without the process that the demo has for it."""

    def __init__(self, config: Config) -> None:
        self.history = History(config, Limits())
        self._offsets: Counter[int] = Counter()

    def record(self, record: Record) -> None:
        offset = self._offsets[record.partition]
        self._offsets[record.partition] += 1
        self.history.add(audit.Record(record.value, record.partition, offset, record.arrival_ms))


def run(records: Iterator[Record], reader: Reader, sent: Witness, until_ms: int, most: int) -> Snapshot:
    """From the beginning of history to `until_ms`; the last snapshot."""
    now_ms = JOB_STARTS_MS
    snapshot = None
    for record in records:
        while record.arrival_ms > now_ms:
            reader.poll(now_ms, most)
            if (now_ms - JOB_STARTS_MS) % 500 == 0:
                snapshot = reader.tick(now_ms)
            now_ms += POLL_MS
        if record.arrival_ms > until_ms:
            break
        sent.record(record)
        reader.put(record)
    reader.poll(now_ms, 10**9)
    snapshot = reader.tick(now_ms)
    return snapshot


@pytest.mark.parametrize("most", [700, 10_000][: 1 + THOROUGH], ids=MOST[: 1 + THOROUGH])
@pytest.mark.parametrize("scenario", [None, *SCENARIOS])
@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_published_is_true(name: str, scenario: str | None, most: int) -> None:
    config = Config.model_validate({"product": "shop"} | CONFIGS[name])
    simulator = Simulator(
        config,
        start_ms=START_MS,
        rate=150,
        partitions=4,
        days=6_000 / 150 / 86_400,
        scenario=SCENARIOS[scenario] if scenario else None,
    )
    reader, sent = Reader(config, 4), InProcess(config)
    snapshot = run(simulator.records(), reader, sent, START_MS + 30_000, most)
    said = published(snapshot, reader.minutes)
    truth = sent.history.truth(said)
    assert truth.undecided == {}
    compared = compare(said, truth, config)
    assert wrong(compared) == []
    assert len(compared) > 2_000
    cells = truth.results[0].cells
    assert min(cells[f"mrr.{kind}.total"] for kind in ("new", "expansion", "contraction", "churned")) > 0
    assert snapshot.cells["mrr.difference"] == 0


def test_beyond_what_is_remembered_the_last_cut_of_it_is_kept(tmp_path: Path) -> None:
    config = Config(product="shop")
    simulator = Simulator(config, start_ms=START_MS, rate=150, partitions=4, days=400 / 150 / 86_400)
    reader = Reader(config, 4)
    with Sent(config, Limits(), tmp_path, most=300) as sent:
        sent.history_ends()
        for number, record in enumerate(itertools.islice(simulator.records(), 600)):
            sent.record(record)
            reader.put(record)
            reader.poll(record.arrival_ms)
            if number % 50 == 49:
                snapshot = reader.tick(record.arrival_ms)
                sent.see(published(snapshot, {}).fields)
        assert (sent.total, sent.complete, sent.cut["_consumed"]) == (600, False, "300")
        said = replace(published(snapshot, reader.minutes), fields=sent.cut)
        final = compare(said, sent.truth(said, lambda read, of: None), config)
    assert [row for row in final if not row.equal and not row.cell.startswith("minute:")] == []


def test_an_audit_that_has_ended_is_not_waited_for(tmp_path: Path) -> None:
    with Sent(Config(product="shop"), Limits(), tmp_path) as sent:
        sent._audit._process.kill()
        sent._audit._process.wait()
        with pytest.raises(RuntimeError, match="the audit has ended with exit code -9"):
            sent.truth(Published({}), lambda read, of: None)
