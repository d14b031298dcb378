"""The law of a changed config: what both have goes on to the digit, and what is new or changed begins at one moment."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.audit import recompute
from flows.audit.clock import judge
from flows.audit.parse import parse
from flows.audit.subscriptions import all_customers, subscription_cells
from flows.config.model import Config
from tests.comparison import differences
from tests.engine import Engine, polls
from tests.laws.changed import Expected, Moment, begins
from tests.laws.histories import history
from tests.laws.test_laws import DAY, HOUR, START, encoded, events

BUY = {"window": "10m", "steps": ["Viewed", "Added", "Bought"]}
AGAIN = {"window": "1h", "steps": ["Viewed", ["Viewed", "Added"]]}
PLATFORM = {
    "field": "context.device.type",
    "values": ["web", "ios"],
    "of": ["events", "active_users", "visitors", "goals", "sessions", "funnels"],
}
PLAN = {"field": "properties.plan", "values": ["free"], "of": ["goals", "sessions", "funnels"]}

PRO_VIEWS = {"event": ["Viewed", "page_viewed"], "where": {"properties.plan": "pro"}}
LOOKED = {"event": "Viewed", "where": {"context.device.type": ["web", "tv"]}, "as": "Looked"}
CHOSEN = {"window": "12m", "steps": [LOOKED, ["Added", PRO_VIEWS]]}
CALM = {"window": "12m", "within_step": "4m", "exclude": ["Left"], "attempts": "once", "steps": ["Viewed", "Bought"]}
SAME = {"window": "12m", "hold": "properties.plan", "steps": ["Viewed", ["Added", "page_viewed"]]}

CHOICES: dict[str, list[Any]] = {
    "events": [[], ["Left"], ["Viewed", "identify"]],
    "key_actions": [["Bought"], ["Bought", "page_viewed"], ["Bought", PRO_VIEWS]],
    "sessions": [
        {},
        {"timeout": "5m", "max_duration": "12m"},
        {"bounce": "single_event"},
        {"definitions": ["single_view", "no_interaction"]},
        {"definitions": ["engaged", "no_interaction"]},
    ],
    "churn_after": ["20m", "2h"],
    "goals": [{}, {"buy": "Bought"}, {"buy": "Bought", "known": ["identify", "Left"]}, {"buy": ["Bought", PRO_VIEWS]}],
    "funnels": [
        {},
        {"buy": BUY},
        {"buy": BUY, "again": AGAIN},
        {"again": AGAIN},
        {"buy": BUY | {"reentry": "latest", "window": "7m"}, "again": AGAIN},
        {"again": AGAIN, "chosen": CHOSEN},
        {"chosen": CHOSEN},
        {"calm": CALM, "strict": BUY | {"order": "strict", "exclude": ["Left"]}},
        {"calm": CALM, "strict": BUY | {"order": "strict"}},
        {"same": SAME, "shop": BUY | {"hold": "context.device.type"}},
        {"same": SAME},
    ],
    "breakdowns": [
        {},
        {"platform": PLATFORM},
        {"platform": PLATFORM | {"values": ["tv", "ios", "web"]}, "plan": PLAN},
        {"platform": PLATFORM | {"values": ["web"]}},
        {"platform": PLATFORM | {"field": "properties.plan", "values": ["free", "pro"]}},
        {"plan": PLAN | {"of": ["active_users", "events", "sessions"]}, "a_first": PLATFORM},
    ],
    "active_users": [{}, {"events": ["Viewed", "Bought"]}, {"events": ["Bought", PRO_VIEWS]}],
    "presence": [
        {},
        {"except": ["Left", {"event": "Viewed", "where": {"properties.plan": "pro"}}]},
        {"server": False},
    ],
    "exclude": [{}, {"events": ["screen_viewed", {"event": "Left", "where": {"channel": "server"}}]}],
    "time_zone": ["UTC", "Europe/Berlin"],
    "windows": [["1m", "7m", "1h"], ["1m", "1h", "24h", "30d"], ["2m", "1h", "90m"]],
    "ratio_windows": [["1h"], ["1m", "1h"]],
}


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Config, Config]:
    """Two configs, mostly alike."""
    old = {name: draw(st.sampled_from(choices)) for name, choices in CHOICES.items()}
    redrawn = {
        *draw(st.lists(st.sampled_from(list(CHOICES)), max_size=4)),
        draw(st.sampled_from(["windows", "breakdowns"])),
    }
    new = old | {name: draw(st.sampled_from(CHOICES[name])) for name in sorted(redrawn)}
    both = {"shards": draw(st.sampled_from([1, 3])), "lateness": draw(st.sampled_from(["0s", "10s", "2m"]))}
    for config in (old, new):
        config["ratio_windows"] = [width for width in config["ratio_windows"] if width in config["windows"]]
    return Config.model_validate(old | both), Config.model_validate(new | both)


@given(
    events(),
    pairs(),
    st.integers(0, 40),
    st.lists(st.integers(1, 8), max_size=20),
    st.frozensets(st.integers(0, 30), max_size=4),
    st.sampled_from([0, HOUR, DAY]),
)
@settings(max_examples=300)
def test_what_both_configs_have_goes_on_to_the_digit_and_the_rest_begins_at_the_change(
    stream: list[dict[str, object]],
    configs: tuple[Config, Config],
    cut: int,
    lengths: list[int],
    restarts: frozenset[int],
    later: int,
) -> None:
    old, new = configs
    records = encoded(stream)
    cut = min(cut, len(records))
    all_polls = list(polls(records, [cut, *lengths] if cut else lengths, 1))
    engine = Engine(old)
    for raw in all_polls[: 1 if cut else 0]:
        engine.read(raw)
    snapshot = engine.tick()
    published = dict(engine.minutes)
    changed = engine.under(new)
    for number, raw in enumerate(all_polls[1 if cut else 0 :]):
        if number in restarts:
            changed.restart()
        changed.read(raw)
    as_of = changed.tick().as_of_ms
    final = changed.tick(None if as_of is None else as_of + later, final=True)
    if snapshot.as_of_ms is None:  # nothing was accepted, so that all begin with the rest
        rest = recompute(records[cut:], new, final.as_of_ms)
        assert differences(rest.cells if rest.as_of_ms is not None else {}, final.cells) == {}
        return
    assert final.as_of_ms is not None
    moment = Moment(cut, snapshot.as_of_ms, begins(records[:cut], old, snapshot.as_of_ms))
    expected = Expected(records, old, new, moment)
    assert differences(expected.cells(final.as_of_ms), final.cells) == {}
    families = expected.since()
    assert {part: since for part, since in final.since.items() if part in families} == families
    assert {since for part, since in final.since.items() if part not in families} <= {moment.since_ms}
    assert {m: v for m, v in changed.minutes.items() if any(v.values())} == expected.minutes(published)


PAID = Config.model_validate(
    {"subscriptions": {"plans": ["Basic", "Pro"]}, "shards": 2, "windows": ["1m", "24h"], "ratio_windows": ["24h"]}
)
UNPAID = PAID.model_copy(update={"subscriptions": None})
OTHERWISE = Config.model_validate(
    PAID.model_dump(mode="json")
    | {"windows": ["1m", "24h", "30d"], "events": ["Left"], "funnels": {"buy": BUY}, "sessions": {"timeout": "5m"}}
)


@given(st.integers(0, 2**32), st.integers(0, 40), st.sampled_from([PAID, UNPAID]))
@settings(max_examples=100)
def test_subscriptions_go_on_whatever_else_changes_and_begin_at_the_change_where_they_are_new(
    seed: int, cut: int, old: Config
) -> None:
    records = encoded(history(seed))
    cut = min(cut, len(records))
    all_polls = list(polls(records, [cut] if cut else [], 1))
    engine = Engine(old)
    for raw in all_polls[: 1 if cut else 0]:
        engine.read(raw)
    before = engine.tick()
    changed = engine.under(OTHERWISE)
    for raw in all_polls[1 if cut else 0 :]:
        changed.read(raw)
    changed.restart()
    final = changed.tick(final=True)
    if before.as_of_ms is None or final.as_of_ms is None:
        return
    since = 0 if old is PAID else begins(records[:cut], old, before.as_of_ms)
    readings = [parse(record, old if number < cut else OTHERWISE) for number, record in enumerate(records)]
    judgement = judge(records, readings, OTHERWISE, final.as_of_ms)
    assert OTHERWISE.subscriptions is not None
    turns = [turn for turn in judgement.turns.get("subscription", ()) if turn.event.ts >= since]
    customers = all_customers(turns, final.watermark_ms or 0)
    cells = subscription_cells(customers, OTHERWISE.subscriptions, OTHERWISE, final.watermark_ms or 0)
    found = {name: final.cells[name] for name in cells.keys() & final.cells.keys()}
    if old is UNPAID:
        assert differences(cells, found) == {}
        return
    new = {name for name in cells if name.partition("{")[0].endswith(".30d")}
    assert (
        differences({name: cells[name] for name in cells.keys() - new}, {n: found[n] for n in found.keys() - new}) == {}
    )
    counts = {
        name for name in new & found.keys() if isinstance(found[name], int)
    }  # a rate may be more of what it knows
    assert {name for name in counts if not 0 <= found[name] <= cells.get(name, 0)} == set()


HOURLY = {"windows": ["1h"], "ratio_windows": ["1h"], "funnels": {"buy": BUY}, "churn_after": "20m", "shards": 1}


def event(user: str, name: str, at: int) -> dict[str, object]:
    return {"type": "track", "event": name, "userId": user, "timestamp": START + at}


def with_a_day(stream: list[dict[str, object]], cut: int, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The cells where `HOURLY` gets a window of 24 h, and other changes, after `cut` events, and those of a job that
    always had them.
    """
    old, new = Config.model_validate(HOURLY), Config.model_validate(HOURLY | {"windows": ["1h", "24h"]} | changes)
    records = encoded(stream)
    before, after = polls(records, [cut], 1)
    engine = Engine(old)
    engine.read(before)
    engine.tick()
    changed = engine.under(new)
    changed.read(after)
    return dict(changed.tick(final=True).cells), recompute(records, new).cells


def test_a_new_window_begins_with_who_is_active_and_the_latest_session_and_attempt_of_each_user() -> None:
    found, whole = with_a_day(
        [
            *(event("ben", "Viewed", 0), event("ben", "Viewed", HOUR)),
            *(event("ana", "Viewed", 2 * HOUR), event("ana", "Added", 2 * HOUR + 1)),
            event("cid", "Other", 2 * HOUR + 60_000),
            *(event("ana", "Bought", 2 * HOUR + 120_000), event("cid", "Other", 4 * HOUR)),
        ],
        cut=5,
    )
    steps = [f"funnel.buy.{step}.24h" for step in ("01_viewed", "02_added", "03_bought", "converted", "dropped")]
    assert [found[step] for step in steps] == [2, 1, 1, 1, 1]  # of Ana, and the latest of Ben
    assert [whole[step] for step in steps] == [3, 1, 1, 1, 2]
    assert (found["sessions.started.24h"], whole["sessions.started.24h"]) == (3, 4)  # without Ben's first
    assert (found["users.churned.24h"], whole["users.churned.24h"]) == (3, 4)
    assert found["active_users.24h"] == whole["active_users.24h"] == 3


def test_a_late_event_takes_back_from_a_new_window_what_was_concluded_before_it() -> None:
    """Ben's attempt ran out of time, his session closed and he churned; then his phone tells of two more steps."""
    found, whole = with_a_day(
        [
            *(event("ben", "Viewed", 0), event("cid", "Other", 30 * 60_000)),
            *(event("ben", "Added", 3 * 60_000), event("ben", "Bought", 9 * 60_000)),
            event("cid", "Other", 31 * 60_000),
        ],
        cut=2,
        sessions={"definitions": ["single_event"]},
    )
    names = ["funnel.buy.01_viewed", "funnel.buy.converted", "funnel.buy.dropped", "users.churned"]
    names += ["sessions.started", "sessions.closed", "sessions.bounced", "sessions.bounced_by.single_event"]
    assert {name: found[f"{name}.24h"] for name in names} == {name: whole[f"{name}.24h"] for name in names}
    assert found["sessions.bounced_by.single_event.1h"] == whole["sessions.bounced_by.single_event.1h"]
    assert whole["funnel.buy.converted.24h"] == 1
    assert whole["funnel.buy.dropped.24h"] == 0
    assert not [name for name, value in found.items() if value < 0]
