"""All laws of one family, over the configs that it offers itself (as river's `check_estimator` does for an estimator).

Streams are drawn from the config: its event names, the values that its selectors and breakdowns look for, the facts
that it reads, and steps in time that are its own durations, to the millisecond and one beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.audit import Record, recompute
from flows.config.channels import LAST_MS
from flows.config.model import Config, keys_of
from flows.config.notation import field_text
from flows.config.top import WINDOWS_MS
from flows.metrics.catalogue import facts
from flows.metrics.family import Family
from tests.comparison import assert_equal, differences, in_order
from tests.engine import replay
from tests.thorough import some_of

START = 1_774_742_400_000  # 2026-03-29T00:00Z, an hour before clocks change in Europe
DAY = 86_400_000
USERS = "abc"
VALUES = ("/", "/a?x=1", "/a", "/\u00fc/\u20ac", "\U0001f600" * 210, "?only", "7")
"""Of listed fields."""

Event = dict[str, Any]
Law = Callable[[Config, list[Event], Random], None]


def check_family(family: type[Family], *, examples: int = some_of(20)) -> None:
    """Hold `family` to its audit twin and to the laws of all families; the failing stream is printed."""
    assert family.EXAMPLES, f"{family.__name__} offers no config to be checked with"
    for offered in family.EXAMPLES:
        config = Config.model_validate(offered)
        for law in LAWS:
            _held(law, config, examples)()


def _held(law: Law, config: Config, examples: int) -> Callable[[], None]:
    @settings(max_examples=examples)
    @given(streams(config), st.randoms(use_true_random=False))
    def holds(stream: list[Event], random: Random) -> None:
        law(config, stream, random)

    return holds


def it_equals_its_audit_twin(config: Config, stream: list[Event], random: Random) -> None:
    """Whatever the partitions, polls, ticks and restarts, and whatever comes late."""
    records = dealt(delayed(stream, random) if random.random() < 0.5 else stream, random)
    lengths = [random.randint(1, 8) for _ in range(20)]
    cuts = [frozenset(random.sample(range(30), random.randint(0, 4))) for _ in range(2)]
    expected = recompute(records, config)
    as_of = None
    if expected.as_of_ms is not None and random.random() < 0.5:
        as_of = expected.as_of_ms + random.choice([0, 3_600_000, DAY, 40 * DAY])
        expected = recompute(records, config, as_of)
    snapshot, minutes = replay(
        records, config, as_of_ms=as_of, lengths=lengths, tick_after=cuts[0], restart_after=cuts[1]
    )
    assert_equal(expected, snapshot, minutes)


def the_number_of_shards_changes_nothing(config: Config, stream: list[Event], random: Random) -> None:
    """Counts are sums over users, customers, tickets."""
    one, minutes = replay(encoded(stream), config.model_copy(update={"shards": 1}))
    other, others = replay(encoded(stream), config.model_copy(update={"shards": random.randint(2, 16)}))
    assert other.cells == one.cells
    assert in_order(other.top) == in_order(one.top)
    assert others == minutes


def disorder_within_the_lateness_and_copies_change_nothing(config: Config, stream: list[Event], random: Random) -> None:
    """Nor does it matter how the users are dealt out to partitions."""
    straight = sorted(stream, key=lambda event: int(event["timestamp"]))
    # At equal times order matters, so that only events at different times may change places.
    delay = {int(event["timestamp"]): int(event["timestamp"]) + random.randint(0, config.lateness) for event in stream}
    shuffled = sorted(straight, key=lambda event: delay[int(event["timestamp"])])
    repeated = [event for event in shuffled for _ in range(1 + (random.random() < 0.3))]
    one, minutes = replay(encoded(straight), config)
    other, others = replay(encoded(repeated, random.choice([1, 4])), config)
    assert differences(one.cells, other.cells) == {}
    assert in_order(other.top) == in_order(one.top)
    assert others == minutes


def what_comes_late_but_in_order_counts_as_if_on_time(config: Config, stream: list[Event], random: Random) -> None:
    """The latest events of users come arbitrarily late, when time has gone on: all numbers are the same, but those of
    minutes, which were closed. (A fact that is not about its user has an order of its own.)
    """
    of_others = {name for fact in facts(config) if not fact.by_user for name in fact.events}
    stream = [event for event in stream if event.get("event") not in of_others]
    end = max((event["timestamp"] for event in stream), default=START)
    passed = end + config.lateness + random.choice([*edges(config), DAY, 31 * DAY])
    stream = [*stream, {"messageId": "end", "type": "identify", "userId": "z", "timestamp": passed}]
    late = delayed(stream, random)
    as_of = passed + random.choice([0, 1, *edges(config), 40 * DAY])
    one, _ = replay(encoded(stream), config, as_of_ms=as_of)
    lengths = [random.randint(1, 8) for _ in range(20)]
    cuts = [frozenset(random.sample(range(30), random.randint(0, 9))) for _ in range(2)]
    other, _ = replay(
        dealt(late, random), config, as_of_ms=as_of, lengths=lengths, tick_after=cuts[0], restart_after=cuts[1]
    )
    assert differences(one.cells, other.cells) == {}
    assert in_order(other.top) == in_order(one.top)


LAWS: Sequence[Law] = (
    it_equals_its_audit_twin,
    the_number_of_shards_changes_nothing,
    disorder_within_the_lateness_and_copies_change_nothing,
    what_comes_late_but_in_order_counts_as_if_on_time,
)


def delayed(stream: list[Event], random: Random) -> list[Event]:
    """`stream` as it is read where the latest events of some users come behind those of all others."""
    latest: dict[str, int] = {user: random.choice([0, 0, 1, 2, 5, 40]) for user in USERS}
    late: dict[str, list[Event]] = {user: [] for user in USERS}
    for event in reversed(stream):
        if len(waits := late.get(event["userId"], [])) < latest.get(event["userId"], 0):
            waits.append(event)
    taken = {event["messageId"] for waits in late.values() for event in waits}
    read = [event for event in stream if event["messageId"] not in taken]
    while any(late.values()):
        read.append(random.choice([waits for waits in late.values() if waits]).pop())
    return read


@st.composite
def streams(draw: st.DrawFn, config: Config) -> list[Event]:
    """Up to 40 events of few users, in the order of their times."""
    names = st.sampled_from([*config.vocabulary(), "something_else"])
    kinds = st.sampled_from(["track", "track", "track", "page", "screen", "identify"])
    steps = st.sampled_from(edges(config)) | st.integers(0, 5_000) | st.integers(0, 3_600_000)
    carried = {
        path: st.sampled_from([*values, *([None] * (3 * len(values) if field_text(path) in LINKS else 1))])
        for path, values in looked_for(config).items()
    }
    told = [(name, fact) for fact in facts(config) for name in fact.events]
    clock = START + draw(st.integers(0, DAY))
    stream: list[Event] = []
    for number in range(draw(st.integers(1, 40))):
        clock += draw(steps)
        event: Event = {
            "messageId": f"m{number}",
            "type": draw(kinds),
            "userId": draw(st.sampled_from(USERS)),
            "timestamp": clock,
        }
        if bool(told) and draw(st.booleans()):
            name, fact = draw(st.sampled_from(told))
            samples = [properties for field in fact.fields for properties, _ in field.samples()]
            properties = fact.example() | draw(st.sampled_from([{}, *samples]))
            event |= {"type": "track", "event": name, "properties": properties}
        elif event["type"] == "track":
            event["event"] = draw(names)
        for path, values in carried.items():
            value = draw(values)
            if value is not None:
                put(event, path, value)
        stream.append(event)
    return stream


def edges(config: Config) -> list[int]:
    """The durations that the config names, in ms, and a millisecond to either side."""
    found = {0, 1, config.lateness, config.churn_after, config.dedup_horizon}
    found |= {config.sessions.timeout, config.sessions.max_duration, *config.windows}
    found |= {funnel.window for funnel in config.funnels.values()}
    found |= {funnel.within_step for funnel in config.funnels.values() if funnel.within_step is not None}
    found |= {(day + 1) * DAY for day in (config.retention.days if config.retention else ())}
    found |= {width + pane for width in WINDOWS_MS if config.top for pane in (0, -(width // 60))}
    found |= {milestone.within for milestone in config.milestones.values()}
    found |= {config.spend.remember} if config.spend else set()
    found = {one for one in found if one <= 4 * DAY}
    found |= {LAST_MS for breakdown in config.breakdowns.values() if breakdown.looks_back}
    return sorted({max(0, one + beside) for one in found for beside in (-1, 0, 1)})


HELD: Sequence[Any] = (3, "3", 3, "3", "Red Shoe", "red--SHOE", "Größe", "GRÖSSE", ["3"])
"""Values of a field that a funnel holds: some are one, some are none."""


def looked_for(config: Config) -> dict[tuple[str, ...], list[Any]]:
    """The fields that selectors and breakdowns look at, and funnels hold, each with the values that they tell apart."""
    found: dict[tuple[str, ...], list[Any]] = {}
    for field, values in _fields(config):
        path = keys_of(field)
        assert path is not None
        found.setdefault(path, ["something else"]).extend(values)
    return found


def dealt(stream: Sequence[Event], random: Random) -> list[Record]:
    """As records of one partition or of several, which may be read one after the other, as when a job catches up."""
    records = encoded(stream, random.choice([1, 4]))
    if random.random() < 0.5:
        return records
    turns = random.sample(range(4), 4)
    return sorted(records, key=lambda record: turns[record.partition])


def _fields(config: Config) -> Iterator[tuple[str, Sequence[Any]]]:
    for _, selectors in config.selectors():
        for selector in selectors:
            yield from selector.where.items()
    for breakdown in config.breakdowns.values():
        if breakdown.field is not None:
            yield breakdown.field, breakdown.values
        else:
            yield from LINKS.items()
    for listed in config.top.values():
        yield listed.field, VALUES
    for funnel in config.funnels.values():
        if funnel.hold is not None:
            yield funnel.hold, HELD


LINKS: dict[str, Sequence[str]] = {
    "context.campaign.source": ["google", "(direct)"],
    "context.campaign.medium": ["cpc", "email"],
    "context.page.url": [
        "https://shop.example/",
        "https://shop.example/?utm_medium=social",
        "https://a.example/?gclid=1",
    ],
    "context.page.referrer": ["https://shop.example/", "https://www.google.com/", "https://blog.example/"],
}
"""What computed breakdowns look at: often nothing, so that many events come directly."""


def put(event: Event, path: tuple[str, ...], value: Any) -> None:
    """Set the field at `path`."""
    for key in path[:-1]:
        event = event.setdefault(key, {})
    event[path[-1]] = value


def encoded(stream: Sequence[Event], partitions: int = 1) -> list[Record]:
    """As records; a user's events are in one partition."""
    offsets = dict.fromkeys(range(partitions), 0)
    records = []
    for event in stream:
        partition = ord(event["userId"]) % partitions
        records.append(Record(json.dumps(event).encode(), partition, offsets[partition]))
        offsets[partition] += 1
    return records
