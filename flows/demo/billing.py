"""The simulated product's billing system: who subscribes, and what becomes of each subscription.

As with visits there is no clock in here: whenever something happens, it is asked what, and tells the whole new state of
one subscription.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from flows.config.model import Subscriptions
from flows.demo.scenarios import Conditions

NEWCOMERS = 0.5  # share of what happens
SECOND_SUBSCRIPTION = 0.05
RETOLD = 0.01  # an older state told once more, as if new: it changes nothing
PRICES = ("9.90", "19.90", "49.00", "99.00", "250.00")
PRICE_RISE = Decimal("1.25")
DAY_MS = 86_400_000

LIFE = {
    "trialing": {"converts": 6, "lapses": 4},
    "active": {
        "upgrades": 16,
        "downgrades": 8,
        "adds seats": 20,
        "drops a seat": 12,
        "switches to yearly": 4,
        "payment fails": 6,
        "wants to leave": 2,
        "leaves": 1,
        "pauses": 2,
    },
    "past_due": {"pays after all": 8, "is cut off": 2},
    "paused": {"goes on": 7, "leaves": 3},
    "cancelled": {"comes back": 3, "stays away": 7},
    "expired": {"comes back": 1, "stays away": 9},
}
"""What can happen to a subscription of each status, and how often."""


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
    told: list[dict[str, object]] = field(default_factory=list)


class Billing:
    """All subscriptions; `happens` tells the next change of one of them."""

    def __init__(self, section: Subscriptions) -> None:
        self._section = section
        self._plans = [*section.plans[: len(PRICES)], "legacy"] if section.plans else ["standard", "legacy"]
        self._subscriptions: list[Subscription] = []
        self._customers = 0

    def happens(self, now_ms: int, conditions: Conditions, rng: Random) -> tuple[str, dict[str, object]] | None:
        """The customer and the properties of what is told now; None: nothing has happened after all."""
        if not self._subscriptions or rng.random() < NEWCOMERS:
            subscription = self._begins(rng)
        else:
            subscription = rng.choice(self._subscriptions)
            if subscription.told and rng.random() < RETOLD:
                return subscription.customer, rng.choice(subscription.told)
            if rng.random() < SECOND_SUBSCRIPTION:
                subscription = self._begins(rng, subscription.customer)
            elif subscription.status == "active" and rng.random() < conditions.cancels:
                subscription.raised = True
                if rng.random() < 0.7:
                    subscription.status = "cancelled"
                else:
                    subscription.cancel_at_ms = now_ms + 30 * DAY_MS
            else:
                return self._lives(subscription, now_ms, rng)
        return self._tells(subscription, now_ms)

    def _begins(self, rng: Random, customer: str | None = None) -> Subscription:
        if customer is None:
            self._customers += 1
            customer = f"c-{self._customers:06d}"
        plan = min(int(rng.expovariate(1.1)), len(self._plans) - 1)
        status = "trialing" if rng.random() < 0.5 else "active"
        subscription = Subscription(customer, len(self._subscriptions) + 1, plan, status)
        if rng.random() < 0.1:
            subscription.discount = "2.50"
        self._subscriptions.append(subscription)
        return subscription

    def _lives(self, subscription: Subscription, now_ms: int, rng: Random) -> tuple[str, dict[str, object]] | None:
        chances = LIFE[subscription.status]
        (what,) = rng.choices(list(chances), list(chances.values()))
        if subscription.cancel_at_ms is not None and subscription.status == "active":
            what = "leaves" if rng.random() < 0.5 else "stays after all"
        effective_ms = now_ms
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
                subscription.cancel_at_ms = now_ms + 30 * DAY_MS
            case "stays after all":
                subscription.cancel_at_ms = None
            case "leaves" | "is cut off":
                subscription.status = "cancelled"
            case "pauses":
                subscription.status = "paused"
            case "comes back":
                subscription.status = "active"
                subscription.cancel_at_ms = None
            case _:
                return None
        return self._tells(subscription, now_ms, effective_ms)

    def _tells(
        self, subscription: Subscription, now_ms: int, effective_ms: int | None = None
    ) -> tuple[str, dict[str, object]]:
        price = Decimal(PRICES[min(subscription.plan, len(PRICES) - 1)])
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
