"""Real events of real shops, through `tidegauge replay` and through Kafka to Redis, against the slow reference."""

from __future__ import annotations

import gzip
import random
from functools import cache
from pathlib import Path

import pytest

from flows.audit import Record, Result, recompute
from flows.config.model import Config
from tests.comparison import nonzero
from tests.job.running import Deployment, cells_of, disagreements, replay, write_config
from tests.services import KafkaBroker, RedisServer
from tests.thorough import THOROUGH

TAOBAO_END = 1_511_665_199_000  # 2017-11-26T02:59:59Z, shortly after the last event
HOUR, DAY = 3_600_000, 86_400_000

TAOBAO = {
    "defaults": Config(
        key_actions=["Order Completed"],
        funnels={"checkout": {"window": "1h", "steps": ["Product Viewed", "Product Added", "Order Completed"]}},
    ),
    "short sessions, latest re-entry": Config(
        lateness="1m",
        time_zone="Asia/Shanghai",
        sessions={"timeout": "5m", "max_duration": "20m", "engaged": {"views": None}},
        key_actions=["Product Added"],
        funnels={
            "checkout": {
                "window": "20m",
                "steps": ["Product Viewed", ["Product Added", "Product Added to Wishlist"], "Order Completed"],
                "reentry": "latest",
            }
        },
    ),
    "breakdowns": Config(
        lateness="0s",
        sessions={"bounce": "single_event"},
        funnels={"quick": {"window": "90s", "steps": ["Product Viewed", "Product Viewed"]}},
        breakdowns={
            "category": {
                "field": "properties.category",
                "values": ["4145813", "2355072", "4801426"],
                "of": ["events", "active_users", "sessions", "funnels"],
            }
        },
        windows=["1m", "5m", "1h", "24h", "30d"],
        churn_after="45m",
    ),
}
RETAIL = {
    "defaults": Config(
        key_actions=["Order Completed"],
        funnels={"again": {"window": "30d", "steps": ["Order Completed", "Order Completed"]}},
    ),
    "countries": Config(
        time_zone="Europe/London",
        lateness="1h",
        sessions={"timeout": "2h"},
        churn_after="90d",
        breakdowns={"country": {"field": "context.country", "values": ["United Kingdom", "Germany", "France"]}},
        funnels={"refund": {"window": "7d", "steps": ["Order Completed", "Order Refunded"], "reentry": "latest"}},
    ),
    "long windows": Config(windows=["24h", "30d", "90d"], ratio_windows=["30d"], dedup_horizon="1h"),
}

ORDERS = Config(
    orders={"currency": "GBP", "lapse_after": "14d"},
    economics={"margin": 0.5},
    breakdowns={
        "country": {"field": "context.country", "values": ["United Kingdom", "Germany", "France"], "of": ["orders"]}
    },
    goals={"purchase": "Order Completed"},
    windows=["24h", "7d", "30d"],
    ratio_windows=["24h"],
)
LINES = 60_000
"""Of 541,909 lines of orders: those until the middle of January 2011; `make thorough` takes all."""


@cache
def records(file: Path) -> list[Record]:
    with gzip.open(file) as lines:
        return [Record(line.rstrip(b"\n"), 0, offset) for offset, line in enumerate(lines)]


@cache
def expected(file: Path, dataset: str, name: str, as_of: int | None = None) -> Result:
    config = {"taobao": TAOBAO, "retail": RETAIL}[dataset][name]
    return recompute(records(file), config, as_of)


@pytest.fixture
def taobao(data_dir: Path) -> Path:
    return data_dir / "taobao.ndjson.gz"


@pytest.fixture
def online_retail(data_dir: Path) -> Path:
    return data_dir / "online_retail.ndjson.gz"


@pytest.mark.parametrize("name", TAOBAO)
@pytest.mark.parametrize("later", [None, HOUR, 40 * DAY] if THOROUGH else [HOUR])
def test_a_replay_of_taobao_equals_the_reference_in_every_cell(
    taobao: Path, tmp_path: Path, name: str, later: int | None
) -> None:
    as_of = None if later is None else TAOBAO_END + later
    wanted = expected(taobao, "taobao", name, as_of)
    options = () if as_of is None else ("--as-of", str(as_of))
    printed = replay(taobao, write_config(tmp_path / "config.yaml", TAOBAO[name]), *options)
    assert printed["as_of"] == wanted.as_of_ms
    assert printed["watermark"] == wanted.watermark_ms
    assert disagreements(wanted, printed["cells"]) == {}
    assert {minute: printed["minutes"].get(str(minute)) for minute in wanted.minutes} == wanted.minutes
    partitions = {int(number): account for number, account in printed["accounting"]["partitions"].items()}
    assert nonzero(partitions) == nonzero(wanted.accounting)


@pytest.mark.parametrize("name", RETAIL if THOROUGH else list(RETAIL)[:1])
def test_a_replay_of_a_year_of_orders_equals_the_reference_in_every_cell(
    online_retail: Path, tmp_path: Path, name: str
) -> None:
    wanted = expected(online_retail, "retail", name)
    printed = replay(online_retail, write_config(tmp_path / "config.yaml", RETAIL[name]))
    assert disagreements(wanted, printed["cells"]) == {}
    assert printed["accounting"]["consumed"] == len(records(online_retail))


@pytest.mark.parametrize("name", TAOBAO)
@pytest.mark.parametrize("partitions", [1, 4, 12] if THOROUGH else [4])
def test_shuffling_repeating_and_splitting_the_file_changes_nothing(
    taobao: Path, tmp_path: Path, name: str, partitions: int
) -> None:
    """Lines move by up to the lateness, 5 % come twice, and each line goes to one of several partitions.

    With a lateness of 0 there is no room to shuffle. Lines of one user at the same time keep their order, as the order
    of equal times is what decides a funnel; and so do users keep to a partition.
    """
    config = TAOBAO[name]
    wanted = expected(taobao, "taobao", name)
    chance = random.Random(7)
    delayed: dict[bytes, int] = {}
    lines = []
    for position, record in enumerate(records(taobao)):
        assert record.value is not None
        time = record.value[record.value.index(b'"timestamp"') :][13:37]
        seconds = int(time[11:13]) * 3600 + int(time[14:16]) * 60 + int(time[17:19])
        user = record.value[record.value.index(b'"userId"') :][10:].split(b'"')[0]
        delay = delayed.setdefault(user + time, chance.randint(0, config.lateness))
        lines.append((seconds * 1000 + delay, position, user, record.value))
    shuffled: list[list[bytes]] = [[] for _ in range(partitions)]
    for _, _, user, value in sorted(lines):
        shuffled[int(user) % partitions] += [value] * (2 if chance.random() < 0.05 else 1)
    # `replay --partitions N` deals line i to partition i % N: lines are laid out so that each user stays in one.
    longest = max(map(len, shuffled))
    padding = b'{"type":"track","event":"Padding","userId":"nobody","timestamp":"1999-01-01T00:00:00Z"}'
    padded = [part + [padding] * (longest - len(part)) for part in shuffled]
    file = tmp_path / "shuffled.ndjson"
    file.write_bytes(b"".join(line + b"\n" for row in zip(*padded, strict=True) for line in row))
    printed = replay(file, write_config(tmp_path / "config.yaml", config), "--partitions", str(partitions))
    assert disagreements(wanted, printed["cells"]) == {}
    assert {minute: printed["minutes"].get(str(minute)) for minute in wanted.minutes} == wanted.minutes
    assert printed["accounting"]["duplicate"] == sum(map(len, shuffled)) - len(lines)


def test_taobao_through_kafka_to_redis_equals_the_reference_in_every_cell(
    taobao: Path, tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer
) -> None:
    wanted = expected(taobao, "taobao", "defaults")
    deployment = Deployment(
        TAOBAO["defaults"], tmp_path, kafka.bootstrap_servers, kafka.create_topic(), redis_server.url
    )
    deployment.produce(records(taobao))
    deployment.finish()
    live = deployment.live()
    assert disagreements(wanted, cells_of(live)) == {}
    assert int(live["_as_of"]) == wanted.as_of_ms
    assert int(live["_watermark"]) == wanted.watermark_ms
    assert int(live["accounting.consumed"]) == int(live["_consumed"]) == len(records(taobao))
    assert len(deployment.minutes()) == len(wanted.minutes)


def test_orders_of_a_shop_through_kafka_to_redis_equal_the_reference_in_every_cell(
    online_retail: Path, tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer
) -> None:
    """Each line of an order is an event with the same order_id, so that all but the first are copies of it."""
    some = records(online_retail)[: None if THOROUGH else LINES]
    wanted = recompute(some, ORDERS)
    deployment = Deployment(ORDERS, tmp_path, kafka.bootstrap_servers, kafka.create_topic(), redis_server.url)
    deployment.produce(some)
    deployment.finish()
    cells = cells_of(deployment.live())
    assert disagreements(wanted, cells) == {}
    assert 1_500 < cells["orders.completed.total"] < len(some) / 10
    assert cells["orders.completed.total"] == cells["orders.first.total"] + cells["orders.repeat.total"]
    assert cells["orders.lapsed.30d"] > 100
    assert cells["orders.refunded.total"] > 100
    assert cells["ltv.orders"] > 0
