"""Whatever happens to a run, in whatever order, the numbers in Redis end as those of the reference."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from random import Random

import msgspec
import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from flows.decode.intake import Intake
from flows.measure.dedup import Recent
from flows.measure.tied_values import TiedValues
from flows.publish.redis import scripts as redis_scripts
from flows.publish.redis.layout import Keys
from flows.publish.redis.scripts import PUBLISH, TAKE
from flows.publish.redis.sink import RedisPublisher
from tests.faults.wrong import MUTATIONS
from tests.services import RedisServer
from tests.simulation.redis_model import Fate, RedisModel
from tests.simulation.world import HOUR, LATENESS, MINUTE, SECOND, World, history
from tests.thorough import some_of

HISTORIES = int(os.environ.get("HISTORIES", "300"))


@pytest.fixture(autouse=True)
def _without_log() -> Iterator[None]:
    """Troubles are said by the thousand here, and tested elsewhere."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_the_numbers_are_right_after_every_history() -> None:
    for seed in range(some_of(HISTORIES)):
        world = history(seed)
        try:
            world.assert_right()
        except AssertionError as wrong:
            raise AssertionError(f"history {seed}: {', '.join(world.happened)}") from wrong


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_code_that_is_wrong_is_noticed(mutation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name in (
        (RedisPublisher, "_send"),
        (redis_scripts, "PUBLISH"),
        (Recent, "save"),
        (Intake, "read"),
        (TiedValues, "show"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # and back in the end
    MUTATIONS[mutation]()
    for seed in range(HISTORIES):
        world = history(seed)
        try:
            world.assert_right()
        except AssertionError as noticed:
            print(f"{mutation}: noticed in history {seed}: {noticed!s:.200}")
            return
    pytest.fail(f"{mutation} has changed nothing in {HISTORIES} histories")


class Histories(RuleBasedStateMachine):
    """The same happenings, chosen by hypothesis, so that a history that goes wrong shrinks to what matters."""

    @initialize(partitions=st.integers(1, 2))
    def begin(self, partitions: int) -> None:
        logging.disable(logging.CRITICAL)
        self.world = World(partitions)

    @rule(seed=st.integers(0, 1 << 16), events=st.integers(1, 6))
    def produce(self, seed: int, events: int) -> None:
        self.world.produce(Random(seed), events)

    @rule(ms=st.sampled_from((250, SECOND, 3 * SECOND)), limit=st.sampled_from((1000, 3, 1)))
    def work(self, ms: int, limit: int) -> None:
        self.world.work(ms, limit)

    @rule(ms=st.sampled_from((100, 2 * SECOND, LATENESS + SECOND, MINUTE + 1, 7 * MINUTE, HOUR)))
    def elapse(self, ms: int) -> None:
        self.world.elapse(ms)

    @rule(limit=st.sampled_from((1000, 1)))
    def part_of_a_round(self, limit: int) -> None:
        if self.world.run.alive:
            self.world.run.round(limit, parts=1)

    @rule(
        seed=st.integers(0, 1 << 16),
        before=st.integers(0, 1),
        ms=st.sampled_from((400, 2 * SECOND, LATENESS + SECOND, HOUR)),
    )
    def stall_in_a_round(self, seed: int, before: int, ms: int) -> None:
        self.world.stall_in_a_round(Random(seed), before, ms)

    @rule()
    def checkpoint(self) -> None:
        self.world.checkpoint()

    @rule()
    def crash(self) -> None:
        self.world.crash()

    @rule()
    def replace(self) -> None:
        self.world.replace()

    @precondition(lambda self: self.world.zombies)
    @rule()
    def awaken(self) -> None:
        self.world.awaken()

    @rule(fates=st.lists(st.sampled_from(("done", "away", "reply lost", "late")), min_size=1, max_size=3))
    def fate(self, fates: list[Fate]) -> None:
        self.world.run.fates.extend(fates)

    @precondition(lambda self: self.world.redis.late)
    @rule()
    def late_arrives(self) -> None:
        self.world.redis.deliver_late()

    @rule(up=st.booleans())
    def redis(self, up: bool) -> None:
        self.world.redis_up = up

    @rule()
    def redis_empty(self) -> None:
        self.world.empty_redis()

    @rule(ms=st.sampled_from((-HOUR, -SECOND, 0, SECOND, HOUR)))
    def clock_stepped(self, ms: int) -> None:
        self.world.skew_ms = ms

    @rule()
    def add_partition(self) -> None:
        self.world.add_partition()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.settle()
            self.world.assert_right()


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=some_of(60), stateful_step_count=25)


def test_the_model_of_redis_does_what_redis_does(redis_server: RedisServer) -> None:
    """Everything that the sink may send, in any order, by two runs that know nothing of each other."""
    keys = Keys("model")
    minute, top = keys.minute(0), keys.top("pages", "1h")
    with redis.Redis.from_url(redis_server.url, decode_responses=True, protocol=2) as client:
        for seed in range(60):
            chance = Random(seed)
            client.flushall()
            model = RedisModel(lambda: 0)
            for at in range(1, 40):
                if chance.random() < 0.2:
                    stored = chance.choice(("", client.get(keys.fence) or ""))
                    sent = (TAKE, [keys.fence], [stored, chance.randint(1, 5)])
                else:
                    before = chance.choice(("", "", model.hashes.get(keys.live, {}).get("_published_at", "")))
                    token, published = chance.randint(1, 5), at - chance.choice((0, 0, 2))
                    names = chance.sample("abcdef", chance.randint(0, 4))
                    changed = [text for name in names for text in (name, str(at))]
                    changed += ["_run", str(token), "_published_at", str(published)]
                    vanished = [] if before == "" else chance.sample("abcdef", chance.randint(0, 2))
                    vanished = [name for name in vanished if name not in names]
                    count = len(model.hashes.get(keys.live, {})) - (chance.random() < 0.1)
                    choices: list[list[tuple[int, list[str]]]] = [[], [(60_000, ["events", str(at)])], [(0, [])]]
                    histories = chance.choice(choices)
                    pairs = chance.choice((None, [], [at, "a"], [at, "a", 1, "b"])) if before else [at, "a"]
                    lists = chance.choice(([], [(chance.randint(0, 2), pairs)]))
                    packed = [msgspec.msgpack.encode(part) for part in (changed, vanished, histories, lists)]
                    others = [*([minute] if histories else []), *([top] if lists else [])]
                    arguments = [token, published, before, count if before else 0, 600, keys.changes, *packed]
                    sent = (PUBLISH, [keys.fence, keys.live, *others], arguments)
                script, names_of_keys, arguments = sent
                replied = client.eval(script, len(names_of_keys), *names_of_keys, *arguments)
                mine = model.run(script, names_of_keys, arguments)
                if isinstance(mine, list) and mine[0] == "ok":
                    mine = ["ok", replied[1]]
                assert replied == mine
                assert client.hgetall(keys.live) == model.hashes.get(keys.live, {})
                assert client.hgetall(minute) == model.hashes.get(minute, {})
                assert dict(client.zrange(top, 0, -1, withscores=True)) == model.lists.get(top, {})
                assert (client.get(keys.fence) or "") == model.strings.get(keys.fence, "")
