"""The simulated product's billing system: who subscribes, and what becomes of each subscription.

The profile says what can happen to a subscription, and how often a month. So the share of customers that leave in a
month depends neither on how many there are nor on how many visit. As with visits there is no clock in here: whenever
something is due, `happens` answers with the whole new state of one subscription.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from math import log
from random import Random

from flows.config.model import Subscriptions
from flows.demo.profile import Subscribers

MONTH_MS = 30 * 86_400_000
DAY_MS = 86_400_000
SECOND_SUBSCRIPTION = 0.04  # of subscriptions that begin: by somebody who has one
STAYS_AFTER_ALL = 0.15  # of those who have asked for the end
RETOLD = 0.02  # of what happens: an older state told once more, as if new; it changes nothing
DISCOUNTED = 0.1
PRICE_RISE = Decimal("1.25")

State = tuple[str, dict[str, object]]
"""A customer, and the properties of the event that says what has become of a subscription."""


@dataclass(slots=True)
class Subscription:
    """One subscription as the billing system has it."""

    customer: str
    number: int
    plan: int
    status: str
    quantity: int = 1
    yearly: bool = False
    raised: bool = False  # its price has been raised
    discount: str = "0"
    cancel_at_ms: int | None = None
    due_ms: int = 0  # when something happens to it next
    told: list[dict[str, object]] = field(default_factory=list)


class Billing:
    """All subscriptions."""

    def __init__(self, section: Subscriptions, subscribers: Subscribers, rng: Random) -> None:
        self._section = section
        self._prices = subscribers.prices
        self._plans = [*section.plans[: len(self._prices)], "legacy"] if section.plans else ["standard", "legacy"]
        self._trials = subscribers.trials
        self._life = subscribers.life
        self._rng = rng
        self._subscriptions: list[Subscription] = []
        self._customers = 0

    def begins(self, now_ms: int, *, long_ago: bool = False) -> tuple[Subscription, State]:
        """A subscription that begins now, or one that has been there `long_ago` and is told of now."""
        if self._subscriptions and self._rng.random() < SECOND_SUBSCRIPTION:
            customer = self._rng.choice(self._subscriptions).customer
        else:
            self._customers += 1
            customer = f"c-{self._customers:06d}"
        plan = min(int(self._rng.expovariate(1.1)), len(self._plans) - 1)
        status = "trialing" if not long_ago and self._rng.random() < self._trials else "active"
        subscription = Subscription(customer, len(self._subscriptions) + 1, plan, status)
        if self._rng.random() < DISCOUNTED:
            subscription.discount = "2.50"
        self._subscriptions.append(subscription)
        self._plan(subscription, now_ms)
        return subscription, self._tells(subscription, now_ms)

    def happens(self, subscription: Subscription, now_ms: int) -> State | None:
        """What happens to it now, when it is due; None: nothing after all."""
        state = self._happens(subscription, now_ms)
        self._plan(subscription, now_ms)
        return state

    def _happens(self, subscription: Subscription, now_ms: int) -> State | None:
        if subscription.told and self._rng.random() < RETOLD and subscription.cancel_at_ms is None:
            return subscription.customer, self._rng.choice(subscription.told)
        if subscription.cancel_at_ms is not None and subscription.status == "active":
            what = "stays after all" if self._rng.random() < STAYS_AFTER_ALL else "leaves"
        else:
            chances = self._life[subscription.status]
            (what,) = self._rng.choices(list(chances), list(chances.values()))
        return self._lives(subscription, what, now_ms)

    def cancels(self, now_ms: int) -> tuple[Subscription, State] | None:
        """Somebody leaves, or asks to, for the price has been raised; None: nobody of those looked at can."""
        subscription = self._rng.choice(self._subscriptions) if self._subscriptions else None
        if subscription is None or subscription.status != "active":
            return None
        subscription.raised = True
        if self._rng.random() < 0.7:
            subscription.status, subscription.cancel_at_ms = "cancelled", None
        else:
            subscription.cancel_at_ms = now_ms + MONTH_MS
        self._plan(subscription, now_ms)
        return subscription, self._tells(subscription, now_ms)

    def _lives(self, subscription: Subscription, what: str, now_ms: int) -> State | None:
        rng, effective_ms = self._rng, now_ms
        match what:
            case "converts" | "pays after all" | "goes on":
                subscription.status = "active"
            case "lapses":
                subscription.status = "expired"
            case "upgrades" if subscription.plan < len(self._plans) - 1:
                subscription.plan += 1
            case "downgrades" if subscription.plan > 0:
                subscription.plan -= 1
                effective_ms = now_ms + rng.choice((0, 20_000, 7 * DAY_MS))  # often at the end of a period
            case "adds seats":
                subscription.quantity += rng.randint(1, 3)
                effective_ms = now_ms - rng.choice((0, 0, 5_000, DAY_MS))  # sometimes told with delay
            case "drops a seat" if subscription.quantity > 1:
                subscription.quantity -= 1
            case "switches to yearly" if not subscription.yearly:
                subscription.yearly = True
            case "payment fails":
                subscription.status = "past_due"
            case "wants to leave":
                subscription.cancel_at_ms = now_ms + round(rng.random() * MONTH_MS)  # the end of what is paid for
            case "stays after all":
                subscription.cancel_at_ms = None
            case "leaves" | "is cut off":
                subscription.status, subscription.cancel_at_ms = "cancelled", None
            case "pauses":
                subscription.status = "paused"
            case "comes back":
                subscription.status = "active"
            case _:
                return None
        return self._tells(subscription, now_ms, effective_ms)

    def _plan(self, subscription: Subscription, now_ms: int) -> None:
        if subscription.cancel_at_ms is not None and subscription.status == "active":
            subscription.due_ms = max(now_ms + 1, subscription.cancel_at_ms)
        else:
            month = sum(self._life[subscription.status].values())
            subscription.due_ms = now_ms + 1 + round(-log(1 - self._rng.random()) * MONTH_MS / month)

    def _tells(self, subscription: Subscription, now_ms: int, effective_ms: int | None = None) -> State:
        price = Decimal(self._prices[min(subscription.plan, len(self._prices) - 1)])
        if subscription.raised:
            price *= PRICE_RISE
        if subscription.yearly:
            price *= 10
        properties: dict[str, object] = {
            "subscription_id": f"s-{subscription.number}",
            "customer_id": subscription.customer,
            "status": subscription.status,
            "plan": self._plans[subscription.plan],
            "amount": str(price),
            "interval": "year" if subscription.yearly else "month",
            "quantity": subscription.quantity,
            "discount": subscription.discount,
            "currency": self._section.currency,
            "effective_at": now_ms if effective_ms is None else effective_ms,
        }
        if subscription.cancel_at_ms is not None:
            properties["cancel_at"] = subscription.cancel_at_ms
        subscription.told.append(properties)
        del subscription.told[:-4]
        return subscription.customer, properties
