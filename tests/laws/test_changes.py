"""The law of a changed config: what both have goes on to the digit, and what is new or changed begins at one moment."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flows.audit import recompute
from flows.audit.clock import judge
from flows.audit.parse import parse
from flows.audit.subscriptions import all_customers, subscription_cells
from flows.config.model import Config
from flows.metrics.catalogue import facts
from tests.comparison import differences, in_order
from tests.engine import Engine, polls
from tests.laws.changed import Moment, begins
from tests.laws.changed_parts import ExpectedOfAll
from tests.laws.check_family import LINKS
from tests.laws.histories import history
from tests.laws.test_laws import DAY, EDGES, HOUR, START, encoded, events
from tests.thorough import examples

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

WAYS = {"computed": "traffic", "own_hosts": ["shop.example"]}
KINDS_OF_FACTS: dict[str, list[Any]] = {
    "subscriptions": [None, {"plans": ["Pro"]}, {"plans": ["Pro"], "statuses": {"unpaid": "past_due"}}, {"plans": []}],
    "orders": [
        None,
        {"lapse_after": "1d"},
        {"lapse_after": "1d", "amount": "total", "dedup": "1h"},
        {"lapse_after": "1h", "events": {"Order Completed": "completed", "Order Refunded": "refunded"}},
    ],
    "spend": [None, {}, {"remember": "1h"}],
    "surveys": [
        {},
        {"ease": {"kind": "ces", "scale": [1, 3]}},
        {"ease": {"kind": "ces", "scale": [1, 3], "count": "latest"}, "nps": {"kind": "nps"}},
        {"nps": {"kind": "nps"}},
    ],
    "feedback": [None, {}, {"kinds": ["praise"], "requests": ["search"]}, {"kinds": ["bug", "praise"]}],
    "tickets": [None, {}, {"events": {"Ticket Created": "created", "Ticket Resolved": "resolved"}}],
}
NEWER: dict[str, list[Any]] = KINDS_OF_FACTS | {
    "features": [{}, {"look": "Viewed"}, {"look": "Viewed", "buy": ["Bought", PRO_VIEWS]}, {"look": "Added"}],
    "milestones": [
        {},
        {"order": {"from": "Viewed", "to": "Bought", "within": "30m"}},
        {
            "order": {"from": "Viewed", "to": "Bought", "within": "30m"},
            "seen": {"from": "first_seen", "to": ["Added", PRO_VIEWS], "within": "12m"},
        },
        {"order": {"from": "Viewed", "to": "Bought", "within": "2h"}},
    ],
    "retention": [
        None,
        {"days": [1, 2]},
        {"days": [1, 2], "mode": "calendar", "start": "Viewed", "events": ["Bought", "Added"]},
        {"days": [1]},
    ],
    "referrals": [None, {"invites": "Left", "joins": "Added"}, {"invites": "Left", "joins": ["Added", PRO_VIEWS]}],
    "top": [
        {},
        {"plans": {"field": "properties.plan"}},
        {"plans": {"field": "properties.plan", "k": 1}, "devices": {"field": "context.device.type", "count": "users"}},
        {"plans": {"field": "properties.plan", "count": "users"}},
    ],
    "tree": [
        {},
        {"alive": {"metric": "users.alive", "level": "focus", "class": "retention", "target": 3}},
        {
            "alive": {"metric": "users.alive", "level": "focus", "class": "retention"},
            "open": {"metric": "sessions.open", "level": 1, "drives": "alive", "class": "engagement", "target": 2},
        },
    ],
    "acquisition": [{}, {"customers": "orders"}],
    "economics": [None, {"margin": 0.5, "lifespan": "100d"}],
    "goals": [{}, {"buy": "Bought"}],
    "breakdowns": [
        {},
        {"plan": PLAN | {"of": ["features", "milestones", "retention", "orders", "surveys", "feedback", "users"]}},
        {"plan": PLAN | {"of": ["orders", "tickets"]}, "platform": PLATFORM},
        {"entry": PLAN | {"scope": "session"}, "first": PLATFORM | {"scope": "first", "of": ["users", "sessions"]}},
        {"entry": PLAN | {"scope": "session", "of": ["goals", "orders"]}, "way": WAYS | {"of": ["sessions", "users"]}},
        {"way": WAYS | {"scope": "session", "of": ["sessions", "goals", "orders"]}},
        {"way": WAYS | {"scope": "first", "of": ["users", "milestones", "features"]}},
    ],
    "windows": [["1h", "24h"], ["1h", "24h", "30d"], ["1m", "1h", "7d"]],
    "ratio_windows": [["1h"], ["1m", "1h"]],
    "long_windows": [["24h"], ["24h", "30d"], ["7d"]],
    "time_zone": ["UTC", "Europe/Berlin"],
}
SAME_IN_BOTH = {
    "version": "there is one",
    "product": "state of another product is refused",
    "shards": "state of another number of shards is refused; drawn once for both configs",
    "lateness": "drawn once for both configs: with another one T and W go apart",
    "dedup_horizon": "it decides for how long at least copies are known, and tests/measure/test_dedup.py holds it",
    "minute_history": "it decides when minutes are forgotten, not what is in them",
}
"""Keys of the config that are not redrawn, each with the reason."""
RATES_OF_WINDOWS = ("ratio_windows", "long_windows")


def pair(random: Random, choices: dict[str, list[Any]]) -> tuple[Config, Config]:
    """Two configs, mostly alike."""
    old = {name: random.choice(some) for name, some in choices.items()}
    redrawn = {*random.choices(list(choices), k=random.randint(0, 4)), random.choice(["windows", "breakdowns"])}
    new = old | {name: random.choice(choices[name]) for name in sorted(redrawn)}
    both = {"shards": random.choice([1, 3]), "lateness": random.choice(["0s", "10s", "2m"])}
    for config in (old, new):
        for name in RATES_OF_WINDOWS:
            if name in config:
                config[name] = [width for width in config[name] if width in config["windows"]]
        if "acquisition" in config and config["orders"] is None:
            config["acquisition"] = {}
    return Config.model_validate(old | both), Config.model_validate(new | both)


def test_every_key_of_the_config_is_changed_or_says_why_not() -> None:
    changed = CHOICES.keys() | NEWER.keys()
    assert changed | SAME_IN_BOTH.keys() == Config.model_fields.keys()
    assert changed.isdisjoint(SAME_IN_BOTH)
    assert all(len(choices) > 1 for choices in [*CHOICES.values(), *NEWER.values()])


TOLD = facts(Config.model_validate({name: choices[1] for name, choices in KINDS_OF_FACTS.items()}))


def telling(random: Random) -> list[dict[str, object]]:
    """A stream whose events also carry facts, good ones and bad, and come by links."""
    told = [(name, fact) for fact in TOLD for name in fact.events]
    clock = START + random.randrange(DAY)
    stream: list[dict[str, object]] = []
    for number in range(random.randint(5, 40)):
        clock += random.choice(EDGES) if random.random() < 0.6 else random.randrange(3 * HOUR)
        late = random.choice([0, 0, 0, random.randrange(15_000), random.randrange(3 * HOUR)])
        event: dict[str, Any] = {
            "messageId": f"m{number}",
            "type": random.choice(["track", "track", "track", "page", "screen", "identify"]),
            "event": random.choice(["Viewed", "Added", "Bought", "Left"]),
            "userId": random.choice("abc"),
            "timestamp": clock - late,
            "context": {"device": {"type": random.choice(["web", "iOS", "tv", None])}},
            "properties": {"plan": random.choice(["free", "pro"])},
        }
        if random.random() < 0.35:
            name, fact = random.choice(told)
            samples = [properties for field in fact.fields for properties, _ in field.samples()]
            event |= {"type": "track", "event": name}
            event["properties"] |= fact.example() | random.choice([{}, {}, *samples])
        if random.random() < 0.3:
            event["context"]["page"] = {key: random.choice(LINKS[f"context.page.{key}"]) for key in ("url", "referrer")}
        stream += [event] * random.choice([1, 1, 1, 1, 2])
    return stream


@given(events(), st.integers(0, 2**32))
@examples(200)
def test_what_both_configs_have_goes_on_to_the_digit_and_the_rest_begins_at_the_change(
    stream: list[dict[str, object]], seed: int
) -> None:
    goes_on_and_begins(stream, CHOICES, Random(seed))


@given(st.integers(0, 2**32))
@examples(150)
def test_facts_milestones_retention_lists_and_scopes_go_on_or_begin_at_the_change(seed: int) -> None:
    random = Random(seed)
    goes_on_and_begins(telling(random), NEWER, random)


def begins_to_look_back(old: Config, new: Config) -> bool:
    """Whether a breakdown begins to look back where sessions were known: it has no session before to look at, and the
    reference, which has them all with `unknown`, does not say that.
    """
    known = any(one.scope == "session" for one in old.breakdowns.values())
    return known and any(one.looks_back and old.breakdowns.get(name) != one for name, one in new.breakdowns.items())


def goes_on_and_begins(stream: list[dict[str, object]], choices: dict[str, list[Any]], random: Random) -> None:
    """The law: the stream is read in polls, after some of it under another config."""
    old, new = pair(random, choices)
    if begins_to_look_back(old, new):
        return
    records = encoded(stream)
    cut = random.randint(0, len(records))
    lengths = [random.randint(1, 8) for _ in range(random.randint(0, 20))]
    restarts = random.sample(range(30), random.randint(0, 4))
    later = random.choice([0, HOUR, DAY])
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
    expected = ExpectedOfAll(records, old, new, moment)
    cells = expected.cells(final.as_of_ms)
    wrong = differences(cells, final.cells)
    assert {name: both for name, both in wrong.items() if not expected.may_be_less(name)} == {}
    assert expected.misfits(cells, final.cells) == {}
    assert in_order(final.top) == in_order(expected.top())
    families = expected.since()
    assert {part: since for part, since in final.since.items() if part in families} == families
    assert {since for part, since in final.since.items() if part not in families} <= {moment.since_ms}
    oldest = final.as_of_ms - new.lateness - new.minute_history
    minutes = {minute: v for minute, v in changed.minutes.items() if minute >= oldest and any(v.values())}
    assert minutes == expected.minutes(published)


PAID = Config.model_validate(
    {"subscriptions": {"plans": ["Basic", "Pro"]}, "shards": 2, "windows": ["1m", "24h"], "ratio_windows": ["24h"]}
)
UNPAID = PAID.model_copy(update={"subscriptions": None})
OTHERWISE = Config.model_validate(
    PAID.model_dump(mode="json")
    | {"windows": ["1m", "24h", "30d"], "events": ["Left"], "funnels": {"buy": BUY}, "sessions": {"timeout": "5m"}}
)


@given(st.integers(0, 2**32), st.integers(0, 40), st.sampled_from([PAID, UNPAID]))
@examples(100)
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


def test_a_new_window_has_an_attempt_that_ran_out_of_time_whatever_its_user_did_then() -> None:
    found, whole = with_a_day(
        [
            *(event("ben", "Viewed", 0), event("ben", "Added", HOUR)),
            *(event("cid", "Other", 2 * HOUR), event("cid", "Other", 3 * HOUR)),
        ],
        cut=3,
    )
    steps = [f"funnel.buy.{step}.24h" for step in ("01_viewed", "02_added", "dropped")]
    assert [found[step] for step in steps] == [whole[step] for step in steps] == [1, 0, 1]


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
