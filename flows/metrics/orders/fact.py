"""What events say of orders: that one was placed, that money was given back, that one was called off.

Three facts, so that an event is asked for nothing but what it is needed for: a cancellation may carry any amount.

    order               order_id, amount      `revenue` or `total`, and the other where that is missing
    order_refund        refund_id, amount     `total`, or `revenue` where that is missing
    order_cancellation  order_id
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from flows.config.orders import OrderEvent
from flows.config.orders import Orders as Section
from flows.facts.fact import Fact
from flows.facts.field import Field
from flows.facts.fields import Id, Money
from flows.facts.words import Currency

OTHER_AMOUNT: Final[Mapping[str, str]] = {"revenue": "total", "total": "revenue"}


def order_fact(section: Section) -> Fact:
    """An order that was placed."""
    amount = Money(
        section.amount,
        "amount",
        decimals=section.decimals,
        or_=OTHER_AMOUNT[section.amount],
        needed=True,
        help="What the order brings.",
    )
    fields = (_order_id(), amount, _currency(section))
    return _fact("order", section, "completed", fields, "An order that was placed, where the config measures orders.")


def refund_fact(section: Section) -> Fact:
    """Money that was given back."""
    refund = Id(
        "refund_id",
        "refund",
        help="Tells the refunds of a user apart. Default: the messageId.",
        note="missing: the `messageId` tells refunds apart",
    )
    amount = Money(
        "total", "amount", decimals=section.decimals, or_="revenue", needed=True, help="How much was given back."
    )
    fields = (_order_id(), refund, amount, _currency(section))
    return _fact("order_refund", section, "refunded", fields, "Money given back, where the config measures orders.")


def cancellation_fact(section: Section) -> Fact:
    """An order that was called off."""
    return _fact(
        "order_cancellation",
        section,
        "cancelled",
        (_order_id(),),
        "An order that was called off, where the config measures orders.",
    )


def _fact(name: str, section: Section, stands_for: OrderEvent, fields: Sequence[Field], about: str) -> Fact:
    events = {event: None for event, stands in section.events.items() if stands == stands_for}
    return Fact(name, events, fields, help=about)


def _order_id() -> Id:
    return Id("order_id", "order", needed=True, help="Counts once per user within `orders.dedup`.")


def _currency(section: Section) -> Currency:
    return Currency("currency", currency=section.currency, help="Default: the config's.")
