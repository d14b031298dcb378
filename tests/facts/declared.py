"""Facts that no family takes yet: they hold that a new kind needs nothing but its declaration."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from flows.config.model import Config, Subscriptions, Survey
from flows.config.voices import Feedback
from flows.facts.fact import Fact
from flows.facts.fields import Flag, Id, Key, Money, Score, Time, Whole
from flows.facts.words import Choice, Currency, Label, Named
from flows.metrics.feedback import feedback_fact
from flows.metrics.subscriptions.fact import state_fact
from flows.metrics.surveys.fact import response_fact

ORDER: Final = Fact(
    "order",
    events={"Order Completed": "completed", "Order Refunded": "refunded", "Order Cancelled": "cancelled"},
    fields=(
        Named(column="what", words=("completed", "refunded", "cancelled")),
        Id("order_id", "order", needed=True),
        Money("revenue", "amount", decimals=2, or_="total", needed=frozenset({"completed"})),
        Currency("currency", currency="EUR"),
        Flag("gift", "gift"),
        Score("rating", "rating", least=0, most=10, default=-1),
    ),
)
TICKET: Final = Fact(
    "ticket",
    events={"Ticket Created": "created", "Ticket Resolved": "resolved", "Order Refunded": "created"},
    fields=(
        Named(column="what", words=("created", "resolved")),
        Key("ticket_id", needed=True),
        Choice("severity", "severity", words=("low", "high"), default="low"),
        Label("queue", "queue", values=("billing", "shipping")),
        Score("sentiment", "sentiment", least=-1, most=1, decimals=3),
        Time("due_at", "due", ahead_ms=86_400_000, ahead="a day"),
        Time("escalated_at", "escalated", whether=True),
        Whole("replies", "replies", least=-5, most=1000, needed=frozenset({"resolved"})),
        Id("agent_id", "agent", unlike="ticket_id"),
    ),
    late_counts=True,
)
STATE: Final = state_fact(Subscriptions(plans=("pro",)))
RESPONSE: Final = response_fact({"ease": Survey(kind="ces", scale=(1, 3)), "nps": Survey(kind="nps")})
OPINION: Final = feedback_fact(Feedback(kinds=("praise",), requests=("search",)))
FACTS: Final = (ORDER, TICKET, STATE, RESPONSE, OPINION)
CONFIG: Final = Config.model_validate({"events": [name for fact in FACTS for name in fact.events], "shards": 3})


def properties_of(fact: Fact) -> st.SearchStrategy[dict[str, object]]:
    """Good and bad properties: the example with some samples of the fields in their places, or something else."""
    junk: st.SearchStrategy[object] = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=5)
        | st.just([])
        | st.just({})
    )
    samples = [properties for field in fact.fields for properties, _ in field.samples()]
    names = sorted({name for properties in samples for name in properties})
    other = st.builds(lambda name, value: {name: value}, st.sampled_from(names), junk)
    changes = st.lists(st.sampled_from(samples) | other, max_size=3)
    return changes.map(lambda parts: {name: one for part in (fact.example(), *parts) for name, one in part.items()})
