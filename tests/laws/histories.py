"""Random but believable histories of subscriptions, as the events that a billing system would send.

`history(seed)` is always the same for the same seed. Few customers with up to three subscriptions each lead full lives:
trials that convert or lapse, upgrades and downgrades, seats, discounts, items, intervals, pauses, failed payments,
cancellations announced, withdrawn, partial and full, returns. The billing system itself is bad: it backdates, schedules
ahead, repeats itself, sends old states again, sends them out of order, from several users, under several names, and
some of it is not to be read at all. Half of them number their states, and all say now and then which subscription a
state succeeds: chains, circles, itself, or one that nobody knows. Times like to fall on edges: the same instant, the
lateness, panes, the limits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from flows.audit import Record

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
START = 1_772_442_000_000  # 2026-03-02T09:00:00Z
LATENESS = 10 * SECOND  # the default
FARTHEST = 400 * DAY  # that a state may be ahead

Document = dict[str, Any]

PRICES = {"Basic": "20.00", "Pro": "50.00", "Team Plan": "99.90", "Enterprise": "1000", "Odd": "0.05"}
"""Of one seat, per interval; plans that a config lists, and plans that it does not."""
STEPS = (0, 0, 1, 999, SECOND, LATENESS - 1, LATENESS, LATENESS + 1, MINUTE, HOUR, 8 * HOUR, DAY, 3 * DAY, 7 * DAY,
         30 * DAY, 31 * DAY)  # fmt: skip
"""From one event to the next."""
AHEAD = (1, 1_000, LATENESS, LATENESS + 1, HOUR, DAY, 7 * DAY, 30 * DAY, FARTHEST - 1, FARTHEST)
"""From an event to the time from which its state holds."""
BEHIND = (1, 999, LATENESS, LATENESS + 1, MINUTE, DAY, 30 * DAY, 500 * DAY)
PANES = (SECOND, 5 * SECOND, MINUTE, 24 * MINUTE, 12 * HOUR)  # of windows of 1m, 5m, 1h, 24h and 30d


@dataclass
class Life:
    """One subscription as its billing system sees it."""

    customer: str
    user: str
    subscription: str
    state: Document = field(default_factory=dict)  # as last sent; {}: never yet
    sent: list[Document] = field(default_factory=list)  # every document about it


def history(seed: int, most_events: int = 40) -> list[Document]:
    """The documents in the order in which they are read; `seed` tells all."""
    random = Random(seed)
    numbered = random.random() < 0.5
    lives = [
        Life(customer, random.choice((customer, customer, "clerk")), f"s{number}")
        for customer in ("acme", "bolt", "core")[: random.randint(1, 3)]
        for number in range(random.choice((1, 1, 2, 3)))
    ]
    clock = START + random.randrange(DAY)
    arrivals: list[tuple[int, Document]] = []
    for number in range(random.randint(1, most_events)):
        clock = _later(random, clock)
        document = _event(random, random.choice(lives), clock)
        if numbered and "properties" in document and random.random() < 0.9:
            sequence = number if random.random() < 0.8 else random.randint(0, number)
            document["properties"] = document["properties"] | {"sequence": sequence}
        # Now and then by mistake that of another event.
        document["messageId"] = f"m{number if random.random() < 0.96 else random.randint(0, number)}"
        if random.random() < 0.05:
            del document["messageId"]
        arrivals.append((_arrival(random, document["timestamp"]), document))
        if random.random() < 0.05:  # the producer tries again: a copy
            arrivals.append((arrivals[-1][0] + random.choice((0, 1, MINUTE, DAY)), document))
    return [document for _, document in sorted(arrivals, key=lambda arrival: arrival[0])]


def encoded(documents: Sequence[Document], partitions: int = 1) -> list[Record]:
    """As records; the events of a customer are in one partition, in the order given."""
    offsets = dict.fromkeys(range(partitions), 0)
    records = []
    for document in documents:
        who = document.get("properties", {}).get("customer_id") or document["userId"]
        partition = sum(str(who).encode()) % partitions
        records.append(Record(json.dumps(document).encode(), partition, offsets[partition]))
        offsets[partition] += 1
    return records


def _later(random: Random, clock: int) -> int:
    clock += random.choice(STEPS) if random.random() < 0.8 else random.randrange(3 * DAY)
    if random.random() < 0.2:  # to the next edge of a pane
        width = random.choice(PANES)
        clock = -(-clock // width) * width + random.choice((0, 0, -1, 1))
    return clock


def _arrival(random: Random, ts: int) -> int:
    """When it is read: in order, within the lateness, at its edge, or far too late."""
    chance = random.random()
    if chance < 0.6:
        return ts
    if chance < 0.8:
        return ts + random.randint(0, LATENESS)
    return ts + random.choice((LATENESS - 1, LATENESS, LATENESS + 1, HOUR, DAY, 8 * DAY, 40 * DAY))


def _event(random: Random, life: Life, now: int) -> Document:
    """What happens to one subscription now, as the document that is sent."""
    if random.random() < 0.04:
        return {"type": "page", "userId": life.user, "timestamp": now}
    if life.sent and random.random() < 0.08:  # an old state once more, as it was, told now
        again = dict(random.choice(life.sent[-4:]))
        effective_at = again["properties"].get("effective_at", again["timestamp"])
        properties = again["properties"] | {"effective_at": effective_at}
        return again | {"timestamp": now, "properties": properties}
    was = dict(life.state)
    if not was or random.random() >= 0.06:  # else the same state once more
        life.state = _changed(random, was, now)
    properties = life.state | {"subscription_id": life.subscription}
    if random.random() < 0.15:
        properties["replaces"] = random.choice(("s0", "s0", "s1", "s2", "nobody"))
    if life.customer != life.user or random.random() < 0.5:
        properties["customer_id"] = life.customer
    chance = random.random()
    if chance < 0.15:
        properties["effective_at"] = now + random.choice(AHEAD)
    elif chance < 0.30:
        properties["effective_at"] = now - random.choice(BEHIND)
    elif chance < 0.40 and life.sent:  # exactly when another state took effect
        other = random.choice(life.sent)
        at = other["properties"].get("effective_at", other["timestamp"])
        properties["effective_at"] = min(at, now + FARTHEST)
    elif chance < 0.45:
        properties["effective_at"] = now
    document: Document = {
        "type": "track",
        "event": "Subscription Changed",
        "userId": life.user,
        "timestamp": now,
        "properties": properties,
    }
    if random.random() < 0.04:
        return _spoilt(random, document)
    life.sent.append(document)
    return document


def _changed(random: Random, state: Document, now: int) -> Document:
    """The next state of a life."""
    if not state:
        plan = random.choice(list(PRICES))
        return {
            "status": random.choice(("trialing", "active", "active")),
            "plan": plan,
            "amount": _money(random, PRICES[plan]),
            "interval": random.choice(("month", "month", "month", "year", "week", "day")),
            "currency": "USD",
        }
    state = dict(state)
    over = state["status"] in ("cancelled", "expired")
    chances = RETURNS if over else CHANGES
    (change,) = random.choices(list(chances), list(chances.values()))
    if change == "return":
        state["status"] = random.choice(("active", "active", "trialing"))
        state.pop("cancel_at", None)
    elif change in ("active", "trialing", "past_due", "paused", "cancelled", "expired"):
        state["status"] = change
    elif change == "plan":
        state["plan"] = random.choice(list(PRICES))
        state["amount"] = _money(random, PRICES[state["plan"]])
    elif change == "amount":
        state["amount"] = _money(random, random.choice(("0", "0.01", "19.99", "20", "33.333", "250.005", "1e2")))
    elif change == "quantity":
        state["quantity"] = random.choice((1, 2, 3, 10, 1000))
    elif change == "discount":
        state["discount"] = _money(random, random.choice(("0", "0.01", "5", "12.5", "20.00", "5000")))
    elif change == "percent":
        state[random.choice(("discount_percent", "percent_off"))] = random.choice((0, 10, "12.5", 33.333, 100, None))
    elif change == "items":
        for name in ("amount", "quantity", "interval", "interval_count"):
            state.pop(name, None)
        state["items"] = [_item(random) for _ in range(random.randint(1, 4))]
    elif change == "price" or (change == "interval" and "items" in state):
        state.pop("items", None)
        state |= {"amount": _money(random, "30.00"), "interval": "month"}
    elif change == "interval":
        state["interval"] = random.choice(("day", "week", "month", "year"))
        state["interval_count"] = random.choice((1, 1, 2, 3, 6, 12))
    elif change == "cancel_at":
        state["cancel_at"] = now + random.choice((0, 1, DAY, 30 * DAY, 365 * DAY, -DAY))
    elif change == "withdraw":
        if random.random() < 0.5:
            state.pop("cancel_at", None)
        else:
            state["cancel_at"] = None
    return state


CHANGES = {"plan": 6, "quantity": 2, "amount": 1, "discount": 1, "interval": 1,
           "percent": 2, "items": 2, "price": 1, "cancel_at": 2, "withdraw": 2,
           "active": 4, "past_due": 2, "paused": 1, "trialing": 1, "cancelled": 2, "expired": 1}  # fmt: skip
RETURNS = {"return": 4, "plan": 1, "withdraw": 1, "cancelled": 1, "expired": 1}
"""What happens to a subscription that goes on, and to one that is over: how often, one beside the other."""


def _item(random: Random) -> Document:
    item: Document = {"amount": _money(random, random.choice(("5", "0.05", "12.30", "120"))), "interval": "month"}
    if random.random() < 0.3:
        item |= {"interval": random.choice(("week", "year")), "interval_count": random.choice((1, 2))}
    if random.random() < 0.4:
        item["quantity"] = random.choice((0, 2, 25))
    if random.random() < 0.6:
        item["plan"] = random.choice(list(PRICES))
    return item


def _money(random: Random, text: str) -> str | int | float:
    """The same amount as text or as a JSON number."""
    if random.random() < 0.7:
        return text
    return int(text) if text.isdigit() else float(text)


UNUSABLE: tuple[Document, ...] = (
    *({"coupon": "SPRING"}, {"discounts": []}, {"billing_scheme": "tiered"}, {"billing_scheme": "per_unit"}),
    *({"intervalCount": 3}, {"couponCode": "X"}, {"billingScheme": "per_unit"}),
    *({"discount_percent": 101}, {"percent_off": 5, "discount_percent": 5}, {"proration": False}, {"tax": "3.80"}),
    *(
        {"items": []},
        {"items": [{}]},
        {"items": [7]},
        {"items": 7},
        {"items": [_ITEM := {"amount": 1, "interval": "day"}]},
    ),
    *({"items": [_ITEM] * 21}, {"items": [_ITEM | {"discount": 1}]}, {"items": [_ITEM | {"currency": "EUR"}]}),
    *(
        {"sequence": "7"},
        {"sequence": -1},
        {"sequence": 2**63 - 2},
        {"sequence": 1.0},
        {"replaces": 7},
        {"replaces": ""},
    ),
)
"""Some of it is good after all."""


def _spoilt(random: Random, document: Document) -> Document:
    """A state that must be refused, or one in another currency."""
    properties = dict(document["properties"])
    wrong = random.choice(("currency", "status", "interval", "amount", "amount", "missing", "quantity", "id", "more"))
    if wrong == "missing":
        properties.pop(random.choice(("status", "plan", "amount", "interval", "currency", "subscription_id")), None)
    elif wrong == "more":
        properties |= random.choice(UNUSABLE)
    elif wrong == "id":
        properties["subscription_id"] = random.choice(("", 7, None))
    elif wrong == "amount":
        properties["amount"] = random.choice(("a lot", "", "NaN", "1,000", [20], "-"))
    elif wrong == "quantity":
        properties["quantity"] = random.choice((-1, 1.5, "many"))
    else:
        properties[wrong] = {"currency": "EUR", "status": "happy", "interval": "fortnight"}[wrong]
    return document | {"properties": properties}
