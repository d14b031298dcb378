"""The part of the user's file that measures orders."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from flows.config.fields import Between, DurationMs, EventName, FactSection
from flows.config.money import MINOR_DIGITS, Currency
from flows.config.notation import format_duration

OrderEvent = Literal["completed", "refunded", "cancelled"]


class Orders(FactSection):
    """Orders: how many, for how much, by whom, and what is given back."""

    currency: Currency = "USD"
    """The reporting currency (ISO 4217); an order or refund in another is rejected as `unsupported_currency`."""
    amount: Literal["revenue", "total"] = "revenue"
    """The property that says what an order brings; where it is missing, the other one does."""
    dedup: Annotated[DurationMs, AfterValidator(Between("1s", "30d"))] = 24 * 3_600_000
    """For how long a repeated `order_id` or `refund_id` of a user is a copy, by the time of the events."""
    lapse_after: Annotated[DurationMs, AfterValidator(Between("1s", "1500d"))] = 180 * 86_400_000
    """A customer without an order for longer than this has lapsed."""
    events: dict[EventName, OrderEvent] = Field(
        {"Order Cancelled": "cancelled", "Order Completed": "completed", "Order Refunded": "refunded"},
        min_length=1,
        max_length=50,
    )
    """Events that tell of orders, each with what has become of the order; at least one of them is `completed`."""

    @property
    def decimals(self) -> int:
        """Digits after the point of the currency's minor unit."""
        return MINOR_DIGITS.get(self.currency, 2)

    def has(self, what: OrderEvent) -> bool:
        """Whether any event stands for that."""
        return what in self.events.values()

    def events_of_nobody(self) -> list[str]:
        return [name for name, stands_for in self.events.items() if stands_for != "completed"]

    def reading(self) -> dict[str, Any]:
        return {"amount": self.amount, "dedup": format_duration(self.dedup), **super().reading()}

    @field_validator("events")
    @classmethod
    def _some_are_orders(cls, events: dict[str, str]) -> dict[str, str]:
        if "completed" not in events.values():
            raise ValueError("found no event that is `completed`, expected at least one")
        return events
