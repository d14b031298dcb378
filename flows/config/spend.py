"""The parts of the user's file about money spent on growth: what is spent, on whom, and what a customer is worth."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, Field

from flows.config.fields import Between, DurationMs, EventName, FactSection, Section
from flows.config.money import Currency
from flows.config.notation import format_duration

CATEGORIES: Final = ("marketing", "sales", "other")
"""What money is spent on; the first two are what new customers cost."""

CHANNEL: Final = "channel"
"""The breakdown whose values the `channel` of a spend record is compared with, and the label of its cells."""


class Spend(FactSection):
    """Money spent on marketing and sales: how much, on what and by which channel, and what a new customer costs."""

    shows_presence: ClassVar[bool] = False

    currency: Currency | None = None
    """The reporting currency (ISO 4217); a record in another is rejected as `unsupported_currency`. Without this key,
    the currency of `orders`, else of `subscriptions`."""
    remember: Annotated[DurationMs, AfterValidator(Between("1s", "1500d"))] = 400 * 86_400_000
    """For how long a record can be corrected: a later one with its `spend_id` replaces it until then."""
    events: dict[EventName, None] = Field({"Marketing Spend Recorded": None}, min_length=1, max_length=50)
    """Events that record spending."""

    def reading(self) -> dict[str, Any]:
        return {"remember": format_duration(self.remember), **super().reading()}


class Acquisition(Section):
    """Who is a new customer, where that is asked for: what one costs."""

    customers: Literal["subscriptions", "orders"] | None = None
    """`subscriptions`: customers who pay for the first time; `orders`: users who order for the first time. Without this
    key, those of `subscriptions` where these are measured, else of `orders`."""


class Economics(Section):
    """What a customer is worth: lifetime value (LTV)."""

    margin: Annotated[float, Field(gt=0, le=1)] = 1
    """The share of revenue that is left after the cost of what is sold: 0.8 is 80 %."""
    lifespan: Annotated[DurationMs, AfterValidator(Between("1d", "36500d"))] | None = None
    """How long a customer goes on ordering. Without this key, customers who lapsed in the last 30 days say so."""
