r"""Who pays, how much a month, who stopped and who came back (METRICS.md 3.6, ordered).

A *state* is what one `Subscription Changed` says of one subscription of one customer: its status, plan, monthly
recurring revenue (MRR, integer minor units, `terms.py` computes it) and whether its cancellation has
been requested. A subscription is known by the pair (customer, subscription_id): the same id under another customer is
another subscription. Its MRR is 0 unless its status is `active` or `past_due`. A customer's MRR is the sum of its
subscriptions.

When a state is used, and what it does
--------------------------------------
Accepted events with a state are used, a copy (same user, messageId and customer) is not. Each has the times

    issued     (ts, partition, offset) of its event
    sequence   `sequence`, else -1
    effective  `effective_at`, else ts; at most 400 days after ts
    used       max(ts, clock - lateness): the clock is the running clock of its partition, with the event, or T where
               that is ahead, as for lateness. So used = ts for an event on time; a late one takes its turn when it is
               read.

States are used one by one in the order of `used`, once W > used. Of the same `used` those with a sequence come first,
by `effective` and then from the highest sequence down; then those without. All else being equal, the order is that of
(partition, offset). A state is

    due now    when effective <= used. It *applies* when the subscription is not known yet, or (effective, sequence,
               issued) is later than that of the state last applied to it; otherwise it is stale and changes nothing.
    ahead      when effective > used. It becomes the pending state of its subscription, one each, in place of an older
               pending one. It is stale when a pending state is there with the same `effective` and a higher sequence,
               or with another `effective` or the same sequence and issued later, or when the state last
               applied is `cancelled` or `expired` and was issued later. It applies at `effective`, once W >
               effective, before any state with the same `used`; pending states of the same moment in the order of
               their `issued`.

A state that applies with status `cancelled` or `expired` drops the pending state of its subscription if that was
issued before it. (Nothing else withdraws one; another state ahead replaces it.) A state that becomes pending makes
its subscription known, with nothing to pay. Stale states are counted since the beginning, `subscriptions.stale`.

A state with a sequence that applies after another one of its subscription with the same `effective` and a lower
sequence, or none, shows that the other held for no time. If the other one had stopped the pay, and no movement of the
customer came after that, the movement is taken back from the books.

A state that is due and `replaces` another subscription of its customer brings that one a state of its own, whether or
not it applies itself: cancelled, with the same `effective` and `issued`, and a sequence above all others. If that
applies it also drops a pending state with the same `effective`, whenever that was issued. Then

* if the old one stopped paying at that very `effective`, and no movement of the customer came after that, the movement
  is taken back from the books;
* if the state that `replaces` applies, and its subscription pays nothing yet, it takes over what the old one pays, with
  its plan: what is booked is one change, from there to the state. Otherwise the end of the old one is a change of its
  own, before that of the state.

An old one that is not known becomes so, as cancelled.

Among states on time, what applies to each subscription therefore depends on what was said and not on the order in
which it was read. A late state takes its turn when it is read: what it finds then may be another state than if it had
come in time.

What is booked
--------------
Everything that comes of a state is booked at its `effective`: in the panes of that time, which may
have left a window, and in the totals since the beginning. Let a subscription of plan p and MRR a become one of plan q
and MRR b, and its customer's MRR go from x to y = x - a + b. When x = y there is no movement. Otherwise it is one
movement of |y - x|:

    new          x = 0, and the customer's MRR has never been above 0       counts in customers.new, too
    reactivated  x = 0, and it has                                          counts in customers.reactivated
    churned      y = 0                                                      counts in customers.churned, and once
                                                                            more in customers.churned_inside
    expansion    0 < x < y
    contraction  0 < y < x

A churn counts in `customers.churned_inside` at the time at which the customer was last new or reactivated (at its own
where that is earlier), so that a window has it while it has both: the customer came and went inside it. A churn that
is taken back is taken back there, too.

(Each state is a change of its own: to cancel one subscription and then to begin another is to churn and to come back,
even in one millisecond.) The movement belongs to plan q, but to p when b = 0. When p is not q and both a and b are
above 0, the amount a has *moved* from p to q, whether x = y or not, so that a change of plan is neither churn nor
new. At all times, in total and in every shard, since the beginning:

    mrr        = new + reactivated + expansion - contraction - churned
    mrr{plan}  = new + reactivated + expansion - contraction - churned + moved_in - moved_out      all of that plan
    customers.active = customers.new + customers.reactivated - customers.churned

A churn is also one *after a move* when it is at most `move_horizon` later than the customer's last change of plan: the
latest by `effective` of all changes that have applied, of any of the customer's subscriptions that paid before and
after; a successor that `replaces` another with another plan is one. It counts by that change, in the panes of the
churn's `effective`, where the two plans are one of the pairs in `moves`, and is taken back with the churn.

A cancellation is requested by a state that applies with `cancel_at` and a status other than `cancelled` and `expired`
when the one applied before it had no `cancel_at`, or there was none. One withdrawn is not counted back.

Cells
-----
Plans are those of the config, `other` and `unknown`. Cells with (plan) exist in total and for each as `{plan=...}`:

    customers.active (plan)             customers with MRR > 0; by plan: with MRR > 0 on that plan
    subscriptions.active                subscriptions `active` or `past_due`, whatever they pay
    subscriptions.pending               subscriptions with a pending state
    subscriptions.stale                 states that changed nothing, since the beginning
    subscriptions.refused               states refused at the limit (see below), since the beginning
    mrr (plan)                          now
    customers.M.<w> (plan)              M of new, churned, reactivated, churned_inside; by plan: of the plan the
                                        movement belongs to
    mrr.M.<w> (plan)                    M of new, expansion, contraction, churned, reactivated
    mrr.moved_in.<w>{plan=}, mrr.moved_out.<w>{plan=}    by plan only
    mrr.moved.<from>.<to>.<w>           for the pairs in `moves`: by default all pairs of listed plans
    customers.churned_after_move.<from>.<to>.<w>    for the same pairs
    subscriptions.cancel_requested.<w>

<w> are the `windows` of the config, and `total`: since the beginning (panes do not matter there).
Derived:

    arr (plan)                          12 * mrr, an integer
    arpa (plan)                         mrr / customers.active, minor units
    mrr.difference (plan)               mrr less the right side of its identity above, always 0, an integer
    customer_churn_rate.<w>             (churned - churned_inside) / S
                                        with S = customers.active - new - reactivated + churned
    customer_retention_rate.<w>         1 - customer_churn_rate
    customer_growth_ratio.<w>           customers.active / S
    mrr_churn_rate.<w>                  (churned + contraction) / R
    net_mrr_churn_rate.<w>              (churned + contraction - expansion - reactivated) / R
                                        with R = mrr - new - reactivated - expansion + contraction + churned
    gross_revenue_retention.<w>         1 - mrr_churn_rate
    net_revenue_retention.<w>           (R + expansion - contraction - churned) / R: reactivation is not in it

S and R are what there was when the window began; rates are absent unless that is above 0. The rate of customers is one
of those who were there at the start, so it is never above 1. Money keeps all movements: its rates pass 1 where what
came inside the window went inside it.

A shard keeps at most `users_per_shard` subscriptions. A state of one more is refused and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.config.limits import Limits
from flows.config.model import Config
from flows.metrics.charts import ChartRow, Number
from flows.metrics.family import Family
from flows.metrics.frameworks import Headings
from flows.metrics.minutes import MinuteBook
from flows.metrics.rows import Block, Formula
from flows.metrics.subscriptions.alerts import alerts_of
from flows.metrics.subscriptions.books import (
    COUNTER_OF,
    CUSTOMER,
    CUSTOMERS,
    LAST_MOVE,
    MRR,
    ON_PLAN,
    PENDING,
    SUBSCRIPTION,
    Books,
    Places,
)
from flows.metrics.subscriptions.cells import (
    CHURNED,
    CHURNED_INSIDE,
    CONTRACTION,
    FRAMEWORKS,
    KINDS,
    blocks_of,
    formulas_of,
)
from flows.metrics.subscriptions.charts import CHARTS, HEADLINES, PIPELINE_CHARTS
from flows.metrics.subscriptions.fact import state_fact
from flows.metrics.subscriptions.loop import pass_time, use_states
from flows.state.agenda import Agenda
from flows.state.rows import Counters
from flows.state.table import Table
from flows.state.windows import Windows

REPLACED_KEPT: Final = 1024
"""With so many more entries on the agenda than pending states, those of replaced ones are swept out."""


def _by_sequence(states: NDArray[Any]) -> NDArray[Any]:
    """States in the order of `used`, those of one moment by their sequences before the order in which they came."""
    sequence = states["sequence"]
    without = sequence < 0
    if without.all():
        return states
    effective = np.where(without, 0, states["effective"])
    return states[np.lexsort((-sequence, effective, without, states["used"]))]


class Subscriptions(Family):
    """States of subscriptions, pending and applied, and the movements that came of them."""

    LAYOUT: ClassVar[int] = 4
    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"subscriptions": {"plans": ["basic", "pro"], "move_horizon": "1h"}},
        {"subscriptions": {"currency": "EUR", "amount_unit": "minor", "events": {"Subscription Changed": "active"}}},
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = FRAMEWORKS
    ordered: ClassVar[bool] = True
    alerts = staticmethod(alerts_of)

    def __init__(self, config: Config, limits: Limits, book: MinuteBook) -> None:
        assert config.subscriptions is not None
        self._config = config
        self._section = config.subscriptions
        self.takes = state_fact(config.subscriptions)
        self._days = book.days
        self._day = book.days.columns("subscriptions", "mrr", "customers")
        self._labels = self._section.labels()
        self._most = limits.users_per_shard  # subscriptions
        plans = len(self._labels)
        moved_in = KINDS * (1 + plans)
        pairs = np.full((plans, plans), -1, np.int64)
        self._pairs = self._section.pairs()
        for number, (one, other) in enumerate(self._pairs):
            pairs[self._labels.index(one), self._labels.index(other)] = moved_in + 2 * plans + 1 + number
        told_apart = len(self._pairs)
        self._places = Places(
            plans, moved_in, moved_in + plans, moved_in + 2 * plans, pairs, told_apart, self._section.move_horizon
        )
        self._counters = moved_in + 2 * plans + 1 + 2 * told_apart
        self.windows = Windows(config.windows, self._counters)
        self.since_start = Counters(self._counters)
        self.present = Counters(6)
        self.stands = Counters(1)  # up to when states were used, ms; 0: none was
        self.by_plan = Counters(plans, 2)
        self.customers = Table(CUSTOMER)
        self.on_plan = Table(ON_PLAN)
        self.subscriptions = Table(SUBSCRIPTION)
        self.moves = Table(LAST_MOVE)
        self.agenda = Agenda(5)

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        """Stop at the end of each day on the way, whose last numbers are those of that moment."""
        any_used = bool(self.stands.values[0]) or len(rows) > 0
        began_ms = int(self.stands.values[0] or rows["used"][0]) if any_used else now_ms
        for day, end in self._days.ends(began_ms, now_ms):
            passed = int(np.searchsorted(rows["used"], end))
            self._advance(rows[:passed], end)
            self._days.put(day, self._day, self.present.values[[MRR, CUSTOMERS]])
            rows = rows[passed:]
        self._advance(rows, now_ms)
        if any_used:
            self.stands.values[0] = now_ms

    def _advance(self, rows: NDArray[Any], now_ms: int) -> None:
        if not len(rows) and not self._falls_due(now_ms):
            pass_time(self.windows.ring, now_ms)
            return
        due = _by_sequence(rows)
        self.customers.reserve(len(due))
        self.on_plan.reserve(2 * len(due) + int(self.present.values[PENDING]))
        self.subscriptions.reserve(len(due) + int(np.count_nonzero(due["replaces"])))
        if self._pairs:
            self.moves.reserve(len(due) + int(self.present.values[PENDING]))
        if int(self.agenda.plan.size[0]) > 2 * int(self.present.values[PENDING]) + REPLACED_KEPT:
            self._forget_replaced()
        self.agenda.reserve(len(due))
        books = Books(
            self.customers.entries,
            self.on_plan.entries,
            self.subscriptions.entries,
            self.moves.entries,
            self.agenda.plan,
            self.windows.ring,
            self.since_start.values,
            self.present.values,
            self.by_plan.values,
            self._places,
        )
        use_states(due, now_ms, self._most, books)

    def _falls_due(self, now_ms: int) -> bool:
        """Whether a pending state may apply before `now_ms`."""
        plan = self.agenda.plan
        return bool(plan.size[0]) and bool(plan.rows[0, 0] < now_ms)

    def _forget_replaced(self) -> None:
        """Leave only the entries of pending states on the agenda."""
        rows = self.subscriptions.known
        slots = np.flatnonzero(rows["pending"])
        rows = rows[slots]
        columns = (rows["next_effective"], rows["next_ts"], rows["next_partition"], rows["next_offset"], slots)
        entries = np.stack(columns, axis=1)
        self.agenda.load({"rows": entries[np.lexsort(columns[::-1])]}, 0)  # what is sorted is a heap

    def read(self) -> NDArray[np.int64]:
        return np.concatenate(
            [
                self.present.values,
                self.by_plan.values.ravel(),
                self.windows.totals.ravel(),
                self.since_start.values,
            ]
        )

    def blocks(self) -> list[Block]:
        return blocks_of(self._config, self._section)

    def rebuild(self, users: int, now_ms: int) -> None:
        """Book the losses that can yet be taken back in the windows that are new since the checkpoint."""
        new = self.windows.begin(now_ms)
        customers, subscriptions = self.customers.known, self.subscriptions.known
        slots = np.flatnonzero(subscriptions["lost"])
        slots = slots[customers["moved_last"][subscriptions["customer"][slots]] == slots + 1]
        lost = subscriptions[slots]
        movements = np.where(customers["mrr"][lost["customer"]] == 0, CHURNED, CONTRACTION)
        churned = movements == CHURNED
        inside = np.minimum(lost["effective"], customers["came"][lost["customer"]])[churned]
        for base in (np.zeros(len(slots), np.int64), KINDS * (1 + lost["lost_plan"].astype(np.int64))):
            self.windows.book(new, lost["effective"], base + movements, lost["lost"])
            self.windows.book(new, lost["effective"][churned], base[churned] + COUNTER_OF[CHURNED])
            self.windows.book(new, inside, base[churned] + CHURNED_INSIDE)
        at, counters = self._after_moves(lost["customer"][churned], lost["effective"][churned])
        self.windows.book(new, at, counters)

    def _after_moves(
        self, customers: NDArray[np.int32], churned_at: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of customers (rows) who have churned: the times and counters of those who did so after a change of plan."""
        keys = self.moves.entries.keys[: len(self.moves)]
        order = np.argsort(keys)
        wanted = self.customers.entries.keys[customers]
        places = np.searchsorted(keys, wanted, sorter=order)
        found = places < len(keys)
        found[found] = keys[order[places[found]]] == wanted[found]
        moves = self.moves.known[order[places[found]]]
        counted = moves["lost"] == 1
        counters = self._places.pairs[moves["before"], moves["after"]] + self._places.told_apart
        return churned_at[found][counted], counters[counted]

    def definition(self) -> Definition:
        return Definition(
            {
                "currency": self._section.currency,
                "plans": self._section.labels(),
                "moves": [" to ".join(pair) for pair in self._pairs],
            }
        )

    def headlines(self) -> list[Number]:
        return HEADLINES

    def charts(self) -> list[ChartRow]:
        return [CHARTS, PIPELINE_CHARTS]

    def formulas(self) -> list[Formula]:
        return formulas_of(self._config, self._section)
