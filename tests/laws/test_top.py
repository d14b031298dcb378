"""Top lists in want of room: who gets a slot depends on the events and their turns alone."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.audit import recompute
from flows.config.limits import Limits
from flows.config.model import Config
from flows.config.top import WINDOWS_MS
from tests.comparison import assert_equal
from tests.engine import replay
from tests.laws.check_family import Event, delayed, encoded, streams
from tests.several import Several
from tests.thorough import examples

PANE = WINDOWS_MS[-1] // 60
CONFIG = Config.model_validate(
    {
        "top": {
            "pages": {"field": "context.page.path", "k": 2},
            "visited": {"field": "context.page.path", "count": "users"},
            "plans": {"field": "properties.plan", "count": "users"},
        },
        "lateness": "1m",
        "shards": 2,
    }
)
PATIENT = CONFIG.model_copy(update={"lateness": 2 * PANE + 1})
"""Events wait while slots come free."""


@pytest.mark.parametrize("config", [CONFIG, PATIENT], ids=["a minute late", "two panes late"])
@examples(60)
@given(data=st.data())
def test_slots_are_given_out_by_the_events_alone(config: Config, data: st.DataObject) -> None:
    random: Random = data.draw(st.randoms(use_true_random=False))
    stream: list[Event] = data.draw(streams(config))
    limits = Limits(top_values=random.randint(1, 3), top_pairs=random.randint(1, 6))
    shuffled = delayed(stream, random) if random.random() < 0.5 else stream
    records = encoded(shuffled, random.choice([1, 1, 3]))
    expected = recompute(records, config, limits=limits)
    snapshot, minutes = replay(
        records,
        config,
        lengths=[random.randint(1, 8) for _ in range(20)],
        tick_after=frozenset(random.sample(range(30), random.randint(0, 9))),
        restart_after=frozenset(random.sample(range(30), random.randint(0, 9))),
        limits=limits,
    )
    assert_equal(expected, snapshot, minutes)


@settings(max_examples=30)
@given(streams(CONFIG), st.integers(0, 2**32))
def test_any_number_of_processes_gives_the_same_lists(stream: list[Event], seed: int) -> None:
    random = Random(seed)
    records = encoded(stream, random.choice([1, 3]))
    lengths = [random.randint(1, 8) for _ in range(20)]
    run = Several(records, CONFIG, random.randint(1, 3), lengths, random)
    for _ in range(random.randint(0, 2)):
        run.work(random.randint(0, 60))
        run.rescale(random.randint(1, 3))
    expected = recompute(records, CONFIG)
    assert_equal(expected, run.finish(), run.minutes)
