"""What the simulated product spends, told each morning for the day before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from random import Random

from flows.demo.profile import Profile

CURRENCY = "EUR"


def spent(profile: Profile, day: date, visits: float, rng: Random) -> Iterator[Mapping[str, object]]:
    """The properties of each `Marketing Spend Recorded` of a day on which about so many visits were made."""
    amounts = {
        ("marketing", way.channel): way.cost * way.share * visits * rng.uniform(0.85, 1.15)
        for way in profile.ways
        if way.cost
    }
    for expense in profile.expenses:
        purpose = expense.category, expense.channel
        amounts[purpose] = amounts.get(purpose, 0.0) + expense.amount
    for (category, channel), amount in amounts.items():
        yield {
            "spend_id": f"{day}-{category}-{channel or 'none'}",
            "amount": f"{amount:.2f}",
            "currency": CURRENCY,
            "category": category,
            **({"channel": channel} if channel else {}),
            "period_start": day.isoformat(),
            "period_end": (day + timedelta(days=1)).isoformat(),
        }
