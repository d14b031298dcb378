"""The slow reader of subscriptions, as a function of one record."""

from __future__ import annotations

from typing import NamedTuple

from flows.config.model import Subscriptions
from flows.metrics.subscriptions.fact import NO_SEQUENCE, state_fact
from flows.metrics.subscriptions.terms import STATUSES, Terms
from schemas.event import Problem


class State(NamedTuple):
    """One subscription at one moment."""

    subscription: str
    customer: str | None  # None: the user
    status: str
    plan: int  # listed plans, other, unknown
    mrr: int
    effective_ms: int
    cancelling: bool
    sequence: int | None = None
    replaces: str | None = None


def read_state(value: bytes, ts_ms: int, stands_for: str | None, terms: Terms) -> State | Problem:
    """The state that an event of time `ts_ms` carries, or why it cannot be read."""
    told = state_fact(Subscriptions(), terms).read(value, ts_ms, stands_for)
    if isinstance(told, Problem):
        return told
    sequence, replaces = told["sequence"], told["replaces"]
    assert isinstance(told["status"], int)
    return State(
        subscription=str(told["subscription"]),
        customer=None if told["key"] is None else str(told["key"]),
        status=STATUSES[told["status"]],
        plan=int(told["plan"] or 0),
        mrr=int(told["mrr"] or 0),
        effective_ms=int(told["effective"] or 0),
        cancelling=bool(told["cancelling"]),
        sequence=None if sequence == NO_SEQUENCE else int(sequence or 0),
        replaces=None if replaces is None else str(replaces),
    )
