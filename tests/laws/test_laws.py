"""The laws that every number obeys, checked for all families at once against the slow reference.

Small products with few users, and times that fall on the edges: exactly the timeout, the funnel window, the lateness,
a pane, a minute, midnight. Each example is read in random polls, with ticks and restarts in between.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.audit import Record, recompute
from flows.config.model import Config
from tests.comparison import assert_equal, differences
from tests.engine import Engine, polls, replay
from tests.thorough import examples

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
START = 1_774_742_400_000  # 2026-03-29T00:00Z, an hour before clocks change in Europe

PLAIN = Config(
    key_actions=["Bought", {"event": ["Viewed", "page_viewed"], "where": {"properties.plan": "pro"}}],
    funnels={"buy": {"window": "10m", "steps": ["Viewed", "Added", "Bought"]}},
    churn_after="2h",
    breakdowns={
        "began": {"field": "properties.plan", "values": ["free", "pro"], "scope": "session", "of": ["funnels"]}
    },
    presence={"server": False},
    shards=3,
)
SPLIT = Config(
    lateness="1m",
    time_zone="Europe/Berlin",
    sessions={
        "timeout": "5m",
        "max_duration": "12m",
        "engaged": {"longer_than": None, "views": 3, "key_actions": 2},
    },
    key_actions=["Bought", "page_viewed"],
    churn_after="20m",
    funnels={
        "buy": {"window": "7m", "steps": ["Viewed", ["Added", "Bought"], "Bought"], "reentry": "latest"},
        "again": {"window": "1h", "steps": ["Viewed", "Viewed"]},
        "chosen": {
            "window": "12m",
            "steps": [
                {"event": ["Viewed", "identify"], "where": {"properties.plan": "free"}, "as": "Free look"},
                ["Added", {"event": ["Viewed", "Bought"], "where": {"context.device.type": ["web", "TV"]}}],
                {"event": "Bought", "where": {"properties.plan": "pro", "context.device.type": "ios"}},
            ],
            "reentry": "latest",
        },
    },
    breakdowns={
        "platform": {
            "field": "context.device.type",
            "values": ["web", "ios"],
            "of": ["events", "active_users", "sessions", "funnels"],
        },
        "plan": {"field": "properties.plan", "values": ["free"], "of": ["sessions"]},
        "entry": {"field": "context.device.type", "values": ["ios", "tv"], "scope": "session"},
        "first": {"field": "properties.plan", "values": ["pro"], "scope": "first"},
    },
    active_users={"events": ["Viewed", {"event": ["Bought", "Left"], "where": {"context.device.type": "IOS"}}]},
    presence={"except": ["Left", {"event": "Viewed", "where": {"properties.plan": ["pro", 5]}}]},
    windows=["1m", "7m", "1h", "24h", "30d"],
    ratio_windows=["7m", "24h"],
    dedup_horizon="3m",
    shards=1,
)
SINGLE = Config(
    lateness="0s",
    sessions={"timeout": "30s", "bounce": "single_event"},
    funnels={"two": {"window": "90s", "steps": ["Added", "Bought"]}},
    breakdowns={"first": {"field": "context.device.type", "values": ["ios", "tv"], "scope": "first"}},
    exclude={"events": ["Viewed", {"event": "Added", "where": {"context.device.type": "TV", "channel": "web"}}]},
    presence={"only": ["Added", {"event": ["page_viewed", "identify"], "where": {"context.device.type": "ios"}}]},
    minute_history="30m",
    shards=5,
)
CONFIGS = (PLAIN, SPLIT, SINGLE)

EDGES = [0, 1, 999, SECOND, 10 * SECOND, 10 * SECOND + 1, 30 * SECOND, MINUTE, 90 * SECOND, 5 * MINUTE, 7 * MINUTE,
         10 * MINUTE, 12 * MINUTE, 20 * MINUTE, 30 * MINUTE, 30 * MINUTE + 1, 2 * HOUR, 2 * HOUR + 1]  # fmt: skip
steps = st.one_of(st.sampled_from(EDGES), st.integers(0, 5 * SECOND), st.integers(0, HOUR))
disorder = st.one_of(st.just(0), st.integers(-15 * SECOND, 0), st.sampled_from([-10 * SECOND, -MINUTE, -HOUR]))


@st.composite
def events(draw: st.DrawFn) -> list[dict[str, object]]:
    """A stream in the order of its reading, most of it in the order of time."""
    clock = START + draw(st.integers(0, DAY))
    stream: list[dict[str, object]] = []
    for number in range(draw(st.integers(1, 40))):
        clock += draw(steps)
        if stream and draw(st.integers(0, 9)) == 0:
            stream.append(draw(st.sampled_from(stream)))  # a copy
            continue
        kind = draw(st.sampled_from(["track", "track", "track", "page", "screen", "identify"]))
        event: dict[str, object] = {
            "messageId": f"m{number}",
            "type": kind,
            draw(st.sampled_from(["userId", "userId", "anonymousId"])): draw(st.sampled_from("abc")),
            "timestamp": clock + draw(disorder),
            "context": {"device": {"type": draw(st.sampled_from(["web", "iOS", "tv", None]))}},
            "properties": {"plan": draw(st.sampled_from(["free", "pro"]))},
            "channel": draw(st.sampled_from(["web", "web", "server"])),
        }
        if draw(st.integers(0, 3)) == 0:  # its collector says when it came in; its device may be ahead of that
            event["receivedAt"] = clock
            event["timestamp"] = clock + draw(st.sampled_from([0, SECOND, MINUTE, 299 * SECOND, 5 * MINUTE + 1, HOUR]))
        if kind == "track":
            event["event"] = draw(st.sampled_from(["Viewed", "Added", "Bought", "Left"]))
        if draw(st.integers(0, 19)) == 0:
            del event["messageId"]
        if draw(st.integers(0, 19)) == 0:
            event["type"] = draw(st.sampled_from(["nonsense", "record"]))
        stream.append(event)
    return stream


def encoded(stream: Sequence[dict[str, object]], partitions: int = 1) -> list[Record]:
    """As records; a user's events are in one partition."""
    offsets = dict.fromkeys(range(partitions), 0)
    records = []
    for event in stream:
        partition = sum(str(event.get("userId", event.get("anonymousId"))).encode()) % partitions
        records.append(Record(json.dumps(event).encode(), partition, offsets[partition]))
        offsets[partition] += 1
    return records


cuts = st.frozensets(st.integers(0, 30), max_size=4)
as_ofs = st.sampled_from([None, HOUR, DAY, 40 * DAY])


@given(events(), st.sampled_from(CONFIGS), st.lists(st.integers(1, 8), max_size=20), cuts, cuts, as_ofs)
@examples(300)
def test_every_number_equals_the_reference_whatever_the_polls_ticks_and_restarts(
    stream: list[dict[str, object]],
    config: Config,
    lengths: list[int],
    ticks: frozenset[int],
    restarts: frozenset[int],
    later: int | None,
) -> None:
    records = encoded(stream)
    expected = recompute(records, config)
    as_of = None if later is None or expected.as_of_ms is None else expected.as_of_ms + later
    expected = recompute(records, config, as_of)
    snapshot, minutes = replay(
        records, config, as_of_ms=as_of, lengths=lengths, tick_after=ticks, restart_after=restarts
    )
    assert_equal(expected, snapshot, minutes)


@given(events(), st.sampled_from(CONFIGS), st.integers(2, 12), st.lists(st.integers(1, 8), max_size=20), cuts)
@examples(150)
def test_every_number_equals_the_reference_over_several_partitions(
    stream: list[dict[str, object]],
    config: Config,
    partitions: int,
    lengths: list[int],
    restarts: frozenset[int],
) -> None:
    records = encoded(stream, partitions)
    snapshot, minutes = replay(records, config, lengths=lengths, restart_after=restarts)
    assert_equal(recompute(records, config), snapshot, minutes)


def in_time_order(stream: list[dict[str, object]]) -> list[dict[str, object]]:
    """`stream` by time; nobody says when it came in, so that every event is used at its own time."""
    untold = [{name: value for name, value in event.items() if name != "receivedAt"} for event in stream]
    return sorted(untold, key=lambda event: int(str(event["timestamp"])))


@given(events(), st.sampled_from(CONFIGS), st.randoms(use_true_random=False), st.sampled_from([1, 4, 12]))
@examples(150)
def test_disorder_within_the_lateness_copies_and_partitions_change_no_number(
    stream: list[dict[str, object]], config: Config, random: Random, partitions: int
) -> None:
    straight = in_time_order(stream)
    # At equal times order matters, so that only events at different times may change places.
    times = {int(str(event["timestamp"])) for event in straight}
    delay = {time: time + random.randint(0, config.lateness) for time in times}
    shuffled = sorted(straight, key=lambda event: delay[int(str(event["timestamp"]))])
    repeated = [event for event in shuffled for _ in range(1 + (random.random() < 0.3 and "messageId" in event))]
    one, minutes = replay(encoded(straight), config)
    other, other_minutes = replay(encoded(repeated, partitions), config)
    assert differences(one.cells, other.cells) == {}
    assert minutes == other_minutes
    assert one.as_of_ms == other.as_of_ms


@given(events(), st.sampled_from(CONFIGS))
@settings(max_examples=50)
def test_the_sum_over_shards_does_not_depend_on_their_number(stream: list[dict[str, object]], config: Config) -> None:
    records = encoded(stream)
    one, minutes = replay(records, config)
    for shards in (1, 2, 16):
        other, other_minutes = replay(records, config.model_copy(update={"shards": shards}))
        assert other.cells == one.cells
        assert other_minutes == minutes


@given(events(), st.sampled_from(CONFIGS), st.lists(st.integers(1, 8), max_size=20))
@examples(100)
def test_identities_hold_at_every_tick(stream: list[dict[str, object]], config: Config, lengths: list[int]) -> None:
    engine = Engine(config)
    for raw in polls(encoded(stream), lengths, 1):
        engine.read(raw)
        snapshot = engine.tick()
        account = snapshot.accounting[0]
        rejected = sum(count for name, count in account.items() if name.startswith("rejected."))
        assert account["consumed"] == account["accepted"] + rejected + account["duplicate"] + account["excluded"]
        assert account["accepted"] == account["on_time"] + account["late"]
        assert account["excluded"] == sum(count for name, count in account.items() if name.startswith("excluded."))
        cells = snapshot.cells
        for name in config.funnels if cells else ():
            first = config.funnels[name].step_names()[0]
            for window in (cell.rsplit(".", 1)[1] for cell in cells if cell.startswith(f"funnel.{name}.converted.")):
                assert cells[f"funnel.{name}.{first}.{window}"] == (
                    cells[f"funnel.{name}.converted.{window}"]
                    + cells[f"funnel.{name}.in_progress.{window}"]
                    + cells[f"funnel.{name}.dropped.{window}"]
                )
