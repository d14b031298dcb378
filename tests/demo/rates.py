"""The rates of a simulated product that people know of real ones, straight from its records."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

from flows.config.model import Config
from flows.demo.profile import Profile
from flows.demo.simulator import DAY_MS, Simulator

SESSION_MS = 30 * 60_000
ENGAGED_MS = 10_000
CUSTOMERS = 20_000


@dataclass(frozen=True)
class Rates:
    """What a product is like: by the last days of a history, and by a month of many customers."""

    events_per_visit: float
    bounce: float  # of sessions
    next_day: float  # of newcomers, on the next calendar day
    day_after: float  # of newcomers, 24 to 48 hours after they came
    churn: float  # of customers, in a month
    events: Counter[str]  # by name
    visits: int


def rates(config: Config, profile: Profile, *, mean_rate: float, days: int, start_ms: int) -> Rates:
    """Of `days` at full traffic, without robots, sessions by their default definition."""
    rate = mean_rate * profile.rhythm.level(start_ms, ZoneInfo(config.time_zone))
    key_actions = {str(name) for name in config.key_actions}
    simulator = Simulator(config, profile=profile, rate=rate, days=days, start_ms=start_ms)
    records = itertools.takewhile(lambda record: record.arrival_ms <= start_ms, simulator.records())
    people: dict[str, list[tuple[int, str]]] = defaultdict(list)
    events: Counter[str] = Counter()
    full_ms = start_ms - days * DAY_MS
    for record in records:
        if record.event is None or record.resent:
            continue
        body = record.event.body
        name = str(body.get("event", body["type"]))
        if record.event.ts_ms >= full_ms:
            events[name] += 1
        if "channel" not in body and "bot" not in body["context"]:
            people[body["anonymousId"]].append((record.event.ts_ms, name))
    visits = bounced = newcomers = returned = later = 0
    for seen in people.values():
        seen.sort()
        first = seen[0][0]
        if full_ms <= first < start_ms - 2 * DAY_MS:
            newcomers += 1
            returned += any(at // DAY_MS == first // DAY_MS + 1 for at, _ in seen)
            later += any(1 <= (at - first) / DAY_MS < 2 for at, _ in seen)
        for session in _sessions(seen):
            if session[0][0] < full_ms:
                continue
            views = sum(name in ("page", "screen") for _, name in session)
            lasted = session[-1][0] - session[0][0]
            bounced += lasted <= ENGAGED_MS and views < 2 and not any(name in key_actions for _, name in session)
            visits += 1
    return Rates(
        events_per_visit=events.total() / visits,
        bounce=bounced / visits,
        next_day=returned / newcomers,
        day_after=later / newcomers,
        churn=churn(config, profile, days=days, start_ms=start_ms),
        events=events,
        visits=visits,
    )


def _sessions(seen: list[tuple[int, str]]) -> list[list[tuple[int, str]]]:
    found = [[seen[0]]]
    for before, after in itertools.pairwise(seen):
        if after[0] - before[0] > SESSION_MS:
            found.append([])
        found[-1].append(after)
    return found


def churn(config: Config, profile: Profile, *, days: int, start_ms: int) -> float:
    """Of the last 30 days, as if CUSTOMERS had been there before the history and next to nobody visited.

    It depends neither on customers nor on visits; of as few customers as a profile has, chance alone makes a third more
    or less of it.
    """
    many = replace(profile, subscribers=replace(profile.subscribers, there=CUSTOMERS))
    simulator = Simulator(config, profile=many, rate=1e-6, days=days, start_ms=start_ms)
    records = itertools.takewhile(lambda record: record.arrival_ms <= start_ms, simulator.records())
    bodies = [record.event.body for record in records if record.event is not None and not record.resent]
    states = [dict(body["properties"]) for body in bodies if body.get("event") == "Subscription Changed"]
    return _stopped(states, start_ms)


def _stopped(states: list[dict[str, Any]], until_ms: int) -> float:
    """Of the customers who paid a month ago, the share that has stopped."""
    paying: dict[str, set[str]] = defaultdict(set)
    there: set[str] = set()
    gone: set[str] = set()
    for state in sorted(states, key=lambda state: state["effective_at"]):
        customer, owned = state["customer_id"], paying[state["customer_id"]]
        (owned.add if state["status"] in ("active", "past_due") else owned.discard)(state["subscription_id"])
        if state["effective_at"] < until_ms - 30 * DAY_MS:
            (there.add if owned else there.discard)(customer)
        elif state["effective_at"] < until_ms and customer in there and not owned:
            gone.add(customer)
    return len(gone) / len(there)
