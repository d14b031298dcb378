"""The laws of subscriptions, checked against the slow reference over random histories.

`histories` has customers with several subscriptions and a bad billing system; here its documents are read in random
polls, with ticks and restarts in between, from one partition or several, by one shard or many.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.audit import recompute
from flows.config.limits import Limits
from flows.config.model import Config
from flows.messages.tick import Tick
from flows.metrics.catalogue import catalogue
from tests.comparison import assert_equal, differences
from tests.engine import Engine, polls, replay
from tests.laws.histories import Document, encoded, history
from tests.thorough import examples, some_of

DAY = 86_400_000
PLAIN = Config.model_validate(
    {"subscriptions": {"plans": ["Basic", "pro", "Team Plan"]}, "windows": ["5m", "1h", "24h", "30d"], "shards": 2}
)
FEW_MOVES = Config.model_validate(
    {
        "subscriptions": {"plans": ["pro", "Enterprise"], "moves": [["enterprise", "Pro"]]},
        "lateness": "1h",
        "windows": ["1m", "7d"],
        "ratio_windows": ["7d"],
        "dedup_horizon": "24h",
        "shards": 3,
    }
)
WITHOUT_PLANS = Config.model_validate(
    {"subscriptions": {}, "lateness": "0s", "windows": ["24h"], "ratio_windows": ["24h"], "shards": 1}
)
CONFIGS = (PLAIN, FEW_MOVES, WITHOUT_PLANS)
TOGETHER = 250
HISTORIES = some_of(10_000) // TOGETHER * TOGETHER
MOVEMENTS = ("new", "expansion", "contraction", "churned", "reactivated")

seeds = st.integers(0, 2**32)
cuts = st.frozensets(st.integers(0, 30), max_size=4)
lengths_of_polls = st.lists(st.integers(1, 8), max_size=20)


@given(seeds, st.sampled_from(CONFIGS), lengths_of_polls, cuts, cuts, st.sampled_from([None, 0, DAY, 400 * DAY]))
@examples(200)
def test_every_number_equals_the_reference_whatever_the_polls_ticks_and_restarts(
    seed: int,
    config: Config,
    lengths: list[int],
    ticks: frozenset[int],
    restarts: frozenset[int],
    later: int | None,
) -> None:
    records = encoded(history(seed))
    as_of = recompute(records, config).as_of_ms
    as_of = None if later is None or as_of is None else as_of + later
    snapshot, minutes = replay(
        records, config, as_of_ms=as_of, lengths=lengths, tick_after=ticks, restart_after=restarts
    )
    assert_equal(recompute(records, config, as_of), snapshot, minutes)


@given(seeds, st.sampled_from(CONFIGS), st.integers(2, 8), lengths_of_polls, cuts)
@examples(100)
def test_every_number_equals_the_reference_over_several_partitions(
    seed: int, config: Config, partitions: int, lengths: list[int], restarts: frozenset[int]
) -> None:
    records = encoded(history(seed), partitions)
    snapshot, minutes = replay(records, config, lengths=lengths, restart_after=restarts)
    assert_equal(recompute(records, config), snapshot, minutes)


def many_histories(seeds: range, most_events: int) -> list[Document]:
    """The documents of many histories as one stream, each with customers and users of its own."""
    arrivals = []
    for seed in seeds:
        clock = 0
        for document in history(seed, most_events):
            clock = max(clock, document["timestamp"])
            document = document | {"userId": f"{document['userId']} {seed}"}
            if document.get("properties", {}).get("customer_id"):
                customer = f"{document['properties']['customer_id']} {seed}"
                document["properties"] = document["properties"] | {"customer_id": customer}
            arrivals.append((clock, document))
    return [document for _, document in sorted(arrivals, key=lambda arrival: arrival[0])]


@pytest.mark.parametrize("first", range(0, HISTORIES, TOGETHER))
def test_histories_by_the_thousand_give_the_numbers_of_the_reference(first: int) -> None:
    random = Random(first)
    config = CONFIGS[first // TOGETHER % len(CONFIGS)]
    records = encoded(many_histories(range(first, first + TOGETHER), 25), random.choice([1, 1, 4]))
    snapshot, minutes = replay(
        records,
        config,
        lengths=[random.randint(1, 400) for _ in range(20)],
        tick_after=frozenset(random.sample(range(20), 4)),
        restart_after=frozenset(random.sample(range(20), 2)),
    )
    expected = recompute(records, config)
    assert expected.cells["mrr.new.total"]
    assert expected.cells["subscriptions.stale"]
    assert_equal(expected, snapshot, minutes)


@given(seeds, st.sampled_from(CONFIGS), st.randoms(use_true_random=False), st.sampled_from([1, 4]))
@examples(100)
def test_disorder_within_the_lateness_copies_and_partitions_change_no_number(
    seed: int, config: Config, random: Random, partitions: int
) -> None:
    # At equal times order matters, so that the events of one time stay together.
    times: dict[int, list[Document]] = {}
    for document in history(seed):
        times.setdefault(document["timestamp"], []).append(document)
    straight = [document for time in sorted(times) for document in times[time]]
    delay = {time: time + random.randint(0, config.lateness) for time in times}
    shuffled = sorted(straight, key=lambda document: delay[document["timestamp"]])
    if partitions > 1:  # ties between partitions are broken by their numbers
        single = {document["timestamp"] for document in straight if len(times[document["timestamp"]]) == 1}
        straight = [document for document in straight if document["timestamp"] in single]
        shuffled = [document for document in shuffled if document["timestamp"] in single]
    repeated = [
        document for document in shuffled for _ in range(1 + (random.random() < 0.3 and "messageId" in document))
    ]
    one, _ = replay(encoded(straight), config)
    other, _ = replay(encoded(repeated, partitions), config)
    assert differences(one.cells, other.cells) == {}


@given(seeds, st.sampled_from(CONFIGS), st.randoms(use_true_random=False))
@examples(100)
def test_states_of_one_moment_with_a_sequence_may_be_read_in_any_order(
    seed: int, config: Config, random: Random
) -> None:
    # Whole days, so that there are many such moments. Of states ahead the one received last counts: they are left out.
    documents = []
    for number, document in enumerate(sorted(history(seed), key=lambda document: document["timestamp"])):
        moment = document["timestamp"] // DAY * DAY
        document = document | {"timestamp": moment, "messageId": f"m{number}"}
        if "properties" in document:
            document["properties"] = document["properties"] | {"sequence": number}
            if document["properties"].get("effective_at", 0) > moment:
                del document["properties"]["effective_at"]
        documents.append(document)
    order = [(document["timestamp"], random.random(), number) for number, document in enumerate(documents)]
    later = documents[-1]["timestamp"] + DAY
    one, _ = replay(encoded(documents), config, as_of_ms=later)
    other, _ = replay(encoded([documents[number] for _, _, number in sorted(order)]), config, as_of_ms=later)
    assert differences(one.cells, other.cells) == {}


@given(seeds, st.randoms(use_true_random=False))
@examples(100)
def test_a_chain_of_successors_is_one_customer_and_no_churn_in_whatever_order_it_is_read(
    seed: int, random: Random
) -> None:
    # s0 is followed by s1, s1 by s2, ...; each old one is cancelled at the same moment, read before or after.
    chance, start = Random(seed), 1_772_442_000_000
    states = []
    price = 0
    for number in range(chance.randint(2, 6)):
        at = start + number * DAY
        price = chance.randint(1, 99)
        states.append((at, {"subscription_id": f"s{number}", "status": "active", "amount": price, "sequence": number}))
        if number:
            states[-1][1]["replaces"] = f"s{number - 1}"
            states.append((at, {"subscription_id": f"s{number - 1}", "status": "cancelled", "amount": 1}))
    arrivals = sorted((at, random.random(), place) for place, (at, _) in enumerate(states))
    documents = [
        {"type": "track", "event": "Subscription Changed", "userId": "ana", "timestamp": states[place][0]}
        | {"properties": {"plan": "pro", "interval": "month", "currency": "USD"} | states[place][1]}
        for _, _, place in arrivals
    ]
    snapshot, _ = replay(encoded(documents), PLAIN, as_of_ms=start + 99 * DAY)
    cells = snapshot.cells
    assert cells["mrr"] == 100 * price
    assert (cells["customers.new.total"], cells["customers.churned.total"], cells["subscriptions.active"]) == (1, 0, 1)
    assert cells["customers.reactivated.total"] == cells["mrr.difference"] == 0


@given(seeds, st.sampled_from(CONFIGS))
@settings(max_examples=50)
def test_the_sum_over_shards_does_not_depend_on_their_number(seed: int, config: Config) -> None:
    records = encoded(history(seed))
    one, _ = replay(records, config)
    for shards in (1, 2, 16):
        other, _ = replay(records, config.model_copy(update={"shards": shards}))
        assert other.cells == one.cells


@given(seeds, st.sampled_from(CONFIGS), lengths_of_polls, cuts)
@examples(100)
def test_identities_hold_at_every_tick(seed: int, config: Config, lengths: list[int], restarts: frozenset[int]) -> None:
    assert config.subscriptions is not None
    engine = Engine(config)
    for number, raw in enumerate(polls(encoded(history(seed)), lengths, 1)):
        engine.read(raw)
        if number in restarts:
            engine.restart()
        cells = engine.tick().cells
        if not cells:
            continue
        plans = [f"{{plan={plan}}}" for plan in config.subscriptions.labels()]
        for plan in ("", *plans):
            at = {name: cells[f"mrr.{name}.total{plan}"] for name in MOVEMENTS}
            booked = at["new"] + at["reactivated"] + at["expansion"] - at["contraction"] - at["churned"]
            if plan:
                booked += cells[f"mrr.moved_in.total{plan}"] - cells[f"mrr.moved_out.total{plan}"]
            assert cells[f"mrr{plan}"] == booked
            assert cells[f"mrr.difference{plan}"] == 0
        assert cells["customers.active"] == (
            cells["customers.new.total"] + cells["customers.reactivated.total"] - cells["customers.churned.total"]
        )
        for name in ("mrr", *(f"mrr.{name}.total" for name in MOVEMENTS)):
            assert cells[name] == sum(cells[f"{name}{plan}"] for plan in plans)


def test_beyond_the_limit_states_of_new_subscriptions_are_refused_and_counted() -> None:
    records = encoded(many_histories(range(20), 10))
    config = PLAIN.model_copy(update={"shards": 1})
    engine = Engine(config, Limits(users_per_shard=7))
    for raw in polls(records, [50], 1):
        engine.read(raw)
    snapshot = engine.tick(final=True)
    known = recompute(records, config)
    assert snapshot.cells["subscriptions.active"] <= 7
    assert snapshot.cells["subscriptions.refused"] > 0
    assert snapshot.cells["mrr.difference"] == 0
    assert snapshot.cells["subscriptions.active"] < known.cells["subscriptions.active"]


def test_the_identity_holds_in_every_shard_across_restarts() -> None:
    config = next(config for config in CONFIGS if config.subscriptions).model_copy(update={"shards": 5})
    engine = Engine(config)
    places = {cell.name: place for place, cell in enumerate(catalogue(config).cells)}
    moved = 0
    for seed in range(20):
        for raw in polls(encoded(history(seed), 1), [7] * 100, 1):
            engine.read(raw)
        engine.restart()
        for number, shard in enumerate(engine._shards):
            values = shard.tick(Tick(seed * 10 + number, None)).values
            book = {name: int(values[places[f"mrr.{name}.total"]]) for name in MOVEMENTS}
            moved += sum(book.values())
            assert int(values[places["mrr"]]) == (
                book["new"] + book["reactivated"] + book["expansion"] - book["contraction"] - book["churned"]
            )
    assert moved > 0
