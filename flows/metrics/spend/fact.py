"""What one event records of spending: an amount, what it was for, by which channel, and for which days.

The columns of a record besides those that every fact has (its `key` is the `spend_id`):

    amount    minor units                          first, days   the local days that it is spread over (period.py)
    category  its place among CATEGORIES           channel       its place among `Config.spend_channels`
"""

from __future__ import annotations

from typing import Final

from flows.config.model import Config
from flows.config.spend import CATEGORIES
from flows.facts.fact import Fact
from flows.facts.fields import Key, Money
from flows.facts.words import Choice, Currency, Label, Learnt
from flows.metrics.spend.period import END, START, Periods

SPEND: Final = "spend_record"
"""The name of the fact."""


def spend_fact(config: Config) -> Fact:
    """The fact as the config has it."""
    assert config.spend is not None
    currency = config.spend_currency
    return Fact(
        SPEND,
        events=config.spend.events,
        fields=(
            Key("spend_id", needed=True, help="What a later record replaces: an invoice, a campaign's day."),
            Money(
                "amount",
                "amount",
                decimals=config.spend_decimals,
                needed=True,
                help="What was spent in the whole period; 0 takes it back.",
            ),
            Currency("currency", currency=currency, needed=True),
            Choice("category", "category", words=CATEGORIES, help="What it was spent on."),
            Label(
                "channel",
                "channel",
                values=tuple(config.spend_channels()[:-2]),
                help="By which channel customers come that it was spent on.",
            ),
            Learnt(texts=(START, END), fills=("first", "days"), reading=Periods(config.time_zone)),
        ),
        late_counts=True,  # the family knows which record of an id is the newest
        help="Money spent on marketing or sales, where the config measures spending.",
    )
