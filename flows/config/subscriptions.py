"""The part of the user's file that measures subscriptions."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator

from flows.config.breakdowns import OTHER, UNKNOWN
from flows.config.fields import Between, DurationMs, EventName, FactSection, Value
from flows.config.money import MINOR_DIGITS, Currency
from flows.config.notation import format_duration, slug

Status = Literal["trialing", "active", "past_due", "paused", "cancelled", "expired"]


class Subscriptions(FactSection):
    """Customers with recurring payments: how much they pay a month, who stops and who comes back."""

    shows_presence: ClassVar[bool] = False

    currency: Currency = "USD"
    """The reporting currency (ISO 4217); a state in another currency is rejected as `unsupported_currency`."""
    plans: tuple[Value, ...] = Field((), max_length=30)
    """The plans to distinguish, compared as slugs; any other counts as `other`, a missing one as `unknown`."""
    moves: tuple[tuple[Value, Value], ...] | None = Field(None, max_length=900)
    """Pairs of listed plans, [from, to], whose moves are counted separately; without this key, all pairs."""
    move_horizon: Annotated[DurationMs, AfterValidator(Between("1s", "400d"))] = 60 * 86_400_000
    """How long after a change of plan the loss of a customer is counted as one after that change."""
    events: dict[EventName, Status | None] = Field({"Subscription Changed": None}, min_length=1, max_length=50)
    """Events that carry the state of a subscription, each with the status to assume if it has no `status`."""
    statuses: dict[Value, Status] = Field({}, max_length=50)
    """Your billing system's other words for a status: {unpaid: past_due, in_trial: trialing}."""
    amount_unit: Literal["major", "minor"] = "major"
    """The unit of `amount` and `discount`: `major` (19.99), or `minor` (1999) as in Stripe and Chargebee."""

    @property
    def decimals(self) -> int:
        """Digits after the point of the currency's minor unit."""
        return MINOR_DIGITS.get(self.currency, 2)

    def labels(self) -> list[str]:
        """Slugs of the plans listed, `other`, `unknown`; the index is the code."""
        return [*(slug(plan) for plan in self.plans), OTHER, UNKNOWN]

    def pairs(self) -> list[tuple[str, str]]:
        """Slugs of the plans, from and to, whose moves are counted one by one."""
        plans = self.labels()[:-2]
        if self.moves is None:
            return [(one, other) for one in plans for other in plans if one != other]
        return sorted({(slug(one), slug(other)) for one, other in self.moves})

    def reading(self) -> dict[str, Any]:
        return {
            "amount_unit": self.amount_unit,
            "move_horizon": format_duration(self.move_horizon),
            **super().reading(),
            "statuses": {slug(word): status for word, status in self.statuses.items()},
        }

    @field_validator("statuses")
    @classmethod
    def _alphabetical(cls, words: dict[str, Any]) -> dict[str, Any]:
        return dict(sorted(words.items()))
