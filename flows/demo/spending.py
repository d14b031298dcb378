"""What the simulated product spends, told each morning for the day before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from random import Random

from flows.demo.profile import Profile

CURRENCY = "EUR"
CORRECTED = 0.1
"""The share of days of which one bill comes later, and says something else."""


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
        yield _record(day, category, channel, amount)


def corrected(profile: Profile, day: date, visits: float) -> Iterator[Mapping[str, object]]:
    """The bill for one way to the product that comes a day late, in place of what had been told of it; on some days."""
    rng = Random(f"{profile.name} {day}")
    paid = [way for way in profile.ways if way.cost]
    if paid and rng.random() < CORRECTED:
        way = rng.choice(paid)
        own = sum(one.amount for one in profile.expenses if (one.category, one.channel) == ("marketing", way.channel))
        yield _record(day, "marketing", way.channel, own + way.cost * way.share * visits * rng.uniform(0.85, 1.15))


def _record(day: date, category: str, channel: str, amount: float) -> Mapping[str, object]:
    return {
        "spend_id": f"{day}-{category}-{channel or 'none'}",
        "amount": f"{amount:.2f}",
        "currency": CURRENCY,
        "category": category,
        **({"channel": channel} if channel else {}),
        "period_start": day.isoformat(),
        "period_end": (day + timedelta(days=1)).isoformat(),
    }
