"""What one event says of a subscription, and where that goes: to the shard of its customer.

The columns of a state besides those that every fact has (its `key` is the customer):

    subscription  stable hash of customer and subscription      effective   when it takes effect, ms UTC
    replaces      the same of the one that it succeeds, or 0    cancelling  1: its cancellation has been requested
    sequence      its place among states of one `effective`     mrr, status, plan   see terms.py
"""

from __future__ import annotations

from typing import Final

from flows.config.model import Subscriptions as Section
from flows.facts.fact import Fact
from flows.facts.fields import Id, Key, Time, Whole
from flows.facts.words import Learnt
from flows.metrics.subscriptions.prices import NOT_UNDERSTOOD, PERCENTS
from flows.metrics.subscriptions.terms import Terms

STATE: Final = "subscription"
"""The name of the fact."""
SEQUENCE: Final = 2**63 - 2
NO_SEQUENCE: Final = -1
AHEAD_MS: Final = 400 * 86_400_000
"""How far after its event a state may take effect."""


def terms_of(section: Section) -> Terms:
    """How the section reads prices."""
    return Terms(
        section.currency,
        section.decimals,
        {word.lower(): status for word, status in section.statuses.items()},
        section.amount_unit == "minor",
        tuple(section.labels()[:-2]),
    )


def state_fact(section: Section, terms: Terms | None = None) -> Fact:
    """The fact as the config's section has it."""
    return Fact(
        STATE,
        events=section.events,
        fields=(
            Id("subscription_id", "subscription", needed=True),
            Key("customer_id", or_user=True, help="Default: the user."),
            Id(
                "replaces",
                "replaces",
                unlike="subscription_id",
                help="The subscription_id of the same customer that this one succeeds.",
                note="the `subscription_id` of another subscription of the same customer that this one succeeds; "
                "missing: none",
            ),
            Whole(
                "sequence",
                "sequence",
                least=0,
                most=SEQUENCE,
                default=NO_SEQUENCE,
                help="Orders the states of one subscription that have the same effective_at.",
                note="orders the states of one subscription with the same `effective_at`; missing: older than all of "
                "those",
            ),
            Learnt(
                texts=("status", "plan", "currency", "amount", "discount", "interval", "interval_count", "quantity"),
                rare=("items", *PERCENTS, *NOT_UNDERSTOOD),
                fills=("mrr", "status", "plan"),
                reading=terms or terms_of(section),
            ),
            Time(
                "effective_at",
                "effective",
                ahead_ms=AHEAD_MS,
                ahead="400 days",
                help="From when on it is so; at most 400 days ahead. Default: timestamp.",
            ),
            Time(
                "cancel_at",
                "cancelling",
                whether=True,
                help="When it will end, once its cancellation has been requested.",
                note="the cancellation has been requested; missing or null: it has not, or no longer",
            ),
        ),
        late_counts=True,
        help="The whole state of one subscription, where the config measures subscriptions.",
    )
