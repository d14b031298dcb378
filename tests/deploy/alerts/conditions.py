"""How things are in one step of a product's life, and the time and windows that its steps make up."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

STEP_S = 300
HOUR = 12  # steps
DAY = 24 * HOUR


def at(text: str) -> int:
    """The step of `7d 02:25`."""
    days, _, clock = text.rpartition("d ")
    hours, minutes = map(int, clock.split(":"))
    return int(days or 0) * DAY + hours * HOUR + minutes // 5


def clock(step: int) -> str:
    """`7d 02:25`: the other way round."""
    return f"{step // DAY}d {step % DAY // HOUR:02d}:{step % HOUR * 5:02d}"


@dataclass(frozen=True)
class Conditions:
    """How things are in one step; rates are per step at an average time of day."""

    visits: float = 500.0
    engaged: float = 0.45  # share of sessions
    conversion: float = 0.30
    orders: float = 40.0
    sign_ups: float = 20.0
    searches: float = 60.0
    left: float = 0.25  # customers who stop paying
    joined: float = 0.3
    asked: float = 0.3
    lost: float = 5.0  # MRR, besides that of customers who leave
    won: float = 12.0
    stay_s: float = 120.0  # mean duration of engaged sessions
    order_eur: float = 40.0  # what an order brings on average
    refunds: float = 1.0
    first_orders: float = 0.3  # share of orders
    spend_eur: float = 100.0
    reach: float = 0.4  # share of those who sign up and reach the milestone
    reach_s: float = 7200.0  # and how long that takes them
    returns: float = 0.25  # share of those whose day 1 is over
    tickets: float = 2.0
    escalated: float = 0.1  # share of tickets
    resolved: float = 2.0
    resolution_s: float = 21600.0
    nps_answers: float = 4.0
    promoters: float = 0.5
    detractors: float = 0.2
    csat_answers: float = 3.0
    satisfied: float = 0.8
    feedback: float = 6.0
    negative: float = 0.2
    on_track: bool = True
    lag_messages: float = 0.0
    late: float = 0.003  # shares of records; out of order for their user
    rejected: float = 0.002
    duplicates: float = 0.01
    difference: float = 0.0  # of the accounting
    publishing: bool = True
    saving: bool = True  # checkpoints
    hangs: bool = False  # a transaction is open, and nobody ends it
    letters_s: float = 0.0  # how long the oldest dead letter has waited
    dropped: float = 0.0  # dead letters, in each step
    silent: bool = False  # nothing comes in, and the clock goes with the time
    state: str = "running"  # down; stuck: the clock stands; behind: it falls behind; catching up: four times as fast

    def times(self, **factors: float) -> Conditions:
        """The same with some rates multiplied."""
        return replace(self, **{name: getattr(self, name) * factor for name, factor in factors.items()})


def window(values: np.ndarray, steps: int, delay: int = 0) -> np.ndarray:
    """Sums over trailing windows that end that number of steps earlier."""
    sums = np.concatenate([np.zeros(1), np.cumsum(values)])
    ends = np.clip(np.arange(len(values)) + 1 - delay, 0, None)
    found: np.ndarray = sums[ends] - sums[np.clip(ends - steps, 0, None)]
    return found
