"""What one event says of a subscription, and where that goes: to the shard of its customer."""

from __future__ import annotations

from typing import Final

from flows.facts.fact import Fact

STATE: Final = Fact(
    "subscription",
    (
        ("subscription", "u8"),  # stable hash of customer and subscription
        ("replaces", "u8"),  # the same of the subscription that it succeeds; 0: none
        ("effective", "i8"),  # when it takes effect, ms UTC
        ("sequence", "i8"),  # its place among states with the same `effective`; -1: it has none
        ("mrr", "i8"),  # minor units a month; 0 unless active or past due
        ("status", "u1"),  # index into schemas.subscription.STATUSES
        ("plan", "u1"),  # listed plans, other, unknown
        ("cancelling", "u1"),  # 1: its cancellation has been requested
    ),
    by_user=False,
    late_counts=True,
)
