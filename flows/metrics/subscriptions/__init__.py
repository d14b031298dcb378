r"""Who pays, how much a month, who stopped and who came back (METRICS.md 3.6, ordered).

A *state* is what one `Subscription Changed` says of one subscription of one customer: its status, plan, monthly
recurring revenue (MRR, integer minor units, `schemas/subscription.py` computes it) and whether its cancellation has
been requested. A subscription is known by the pair (customer, subscription_id): the same id under another customer is
another subscription. Its MRR is 0 unless its status is `active` or `past_due`. A customer's MRR is the sum of its
subscriptions.

When a state is used, and what it does
--------------------------------------
Accepted events with a state are used, a copy (same user, messageId and customer) is not. Each has the times

    issued     (ts, partition, offset) of its event
    effective  `effective_at`, else ts; at most 400 days after ts
    used       max(ts, clock - lateness): the clock is the running clock of its partition, with the event, or T where
               that is ahead, as for lateness. So used = ts for an event on time; a late one takes its turn when it is
               read.

States are used one by one in the order of (used, partition, offset), once W > used. A state is

    due now    when effective <= used. It *applies* when the subscription is not known yet, or (effective, issued) is
               later than that of the state last applied to it; otherwise it is stale and changes nothing.
    ahead      when effective > used. It becomes the pending state of its subscription, one each, in place of an older
               pending one. It is stale when a pending state is there that was issued later, or when the state last
               applied is `cancelled` or `expired` and was issued later. It applies at `effective`, once W >
               effective, before any state with the same `used`; pending states of the same moment in the order of
               their `issued`.

A state that applies with status `cancelled` or `expired` drops the pending state of its subscription if that was
issued before it. (Nothing else withdraws one; another state ahead replaces it.) A state that becomes pending makes
its subscription known, with nothing to pay. Stale states are counted since the beginning, `subscriptions.stale`.

Among states on time, what applies to each subscription therefore depends on what was said and not on the order in
which it was read. A late state takes its turn when it is read: what it finds then may be another state than if it had
come in time.

What is booked
-------------- Everything that comes of a state is booked at its `effective`: in the panes of that time, which may
have left a window, and in the totals since the beginning. Let a subscription of plan p and MRR a become one of plan q
and MRR b, and its customer's MRR go from x to y = x - a + b. When x = y there is no movement. Otherwise it is one
movement of |y - x|:

    new          x = 0, and the customer's MRR has never been above 0       counts in customers.new, too
    reactivated  x = 0, and it has                                          counts in customers.reactivated
    churned      y = 0                                                      counts in customers.churned
    expansion    0 < x < y
    contraction  0 < y < x

(Each state is a change of its own: to cancel one subscription and then to begin another is to churn and to come back,
even in one millisecond.) The movement belongs to plan q, but to p when b = 0. When p is not q and both a and b are
above 0, the amount a has *moved* from p to q, whether x = y or not, so that a change of plan is neither churn nor
new. At all times, in total and in every shard, since the beginning:

    mrr        = new + reactivated + expansion - contraction - churned
    mrr{plan}  = new + reactivated + expansion - contraction - churned + moved_in - moved_out      all of that plan
    customers.active = customers.new + customers.reactivated - customers.churned

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
    customers.M.<w> (plan)              M of new, churned, reactivated; by plan: of the plan the movement belongs to
    mrr.M.<w> (plan)                    M of new, expansion, contraction, churned, reactivated
    mrr.moved_in.<w>{plan=}, mrr.moved_out.<w>{plan=}    by plan only
    mrr.moved.<from>.<to>.<w>           for the pairs in `moves`: by default all pairs of listed plans
    subscriptions.cancel_requested.<w>

<w> are the `windows` of the config, and `total`: since the beginning (panes do not matter there).
Derived, over `ratio_windows` where they have a window:

    arr (plan)                          12 * mrr, an integer
    arpa (plan)                         mrr / customers.active, minor units
    mrr.difference (plan)               mrr less the right side of its identity above, always 0, an integer
    customer_churn_rate.<w>             churned / S,   S = customers.active - new - reactivated + churned
    mrr_churn_rate.<w>                  (churned + contraction) / R
    net_mrr_churn_rate.<w>              (churned + contraction - expansion - reactivated) / R
                                        with R = mrr - new - reactivated - expansion + contraction + churned

S and R are what there was when the window began; rates are absent unless that is above 0.

A shard keeps at most `users_per_shard` subscriptions. A state of one more is refused and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.cells import Cell, Derived, Metric
from flows.columns import NO_STATES
from flows.config import Config, format_duration
from flows.config import Subscriptions as Section
from flows.formulas import (
    arpa,
    arr,
    customer_churn_rate,
    mrr_churn_rate,
    mrr_difference,
    net_mrr_churn_rate,
)
from flows.metrics.family import cell_name
from flows.state.agenda import Agenda, Plan, falls_due, put, take
from flows.state.container import Arrays, Container
from flows.state.rows import Counters
from flows.state.table import Entries, Table, known_row, row_of
from flows.state.windows import Ring, Windows, add, move
from schemas.compiled import Number, compiled, inlined
from schemas.subscription import STATUSES

NEW, EXPANSION, CONTRACTION, CHURNED, REACTIVATED = range(5)
MOVEMENTS: Final = ("new", "expansion", "contraction", "churned", "reactivated")
COUNTED: Final = ("new", "churned", "reactivated")
KINDS: Final = len(MOVEMENTS) + len(COUNTED)
"""Counters of movements by plan: the amounts, then the customers."""
NOT_COUNTED: Final = -1
COUNTER_OF: Final = np.array([5, NOT_COUNTED, NOT_COUNTED, 6, 7], np.int64)
"""By movement: the counter of its customers."""

ACTIVE_STATUS, PAST_DUE = STATUSES.index("active"), STATUSES.index("past_due")
ENDED: Final = STATUSES.index("cancelled")
"""This status and those after it have ended."""

CUSTOMER: Final = np.dtype([("mrr", "i8"), ("paid", "u1")])
"""One customer: minor units a month, and whether that has ever been above 0."""

ON_PLAN: Final = np.dtype([("paying", "i4")])
"""One customer on one plan: its subscriptions with MRR > 0."""

SUBSCRIPTION: Final = np.dtype(
    [
        ("customer", "i4"),  # row
        ("applied", "u1"),  # a state has applied; the next five fields and its four are of that state
        ("plan", "u1"),
        ("status", "u1"),
        ("cancelling", "u1"),
        ("mrr", "i8"),
        ("effective", "i8"),
        ("ts", "i8"),
        ("partition", "i8"),
        ("offset", "i8"),
        ("pending", "u1"),  # a state is pending, and the fields below are its own
        ("next_plan", "u1"),
        ("next_status", "u1"),
        ("next_cancelling", "u1"),
        ("next_mrr", "i8"),
        ("next_effective", "i8"),
        ("next_ts", "i8"),
        ("next_partition", "i8"),
        ("next_offset", "i8"),
    ]
)

ACTIVE, PENDING, STALE, REFUSED = range(4)
"""What is counted without a window: subscriptions active and pending, states stale and refused."""

REPLACED_KEPT: Final = 1024
"""With so many more entries on the agenda than pending states, those of replaced ones are swept out."""

PLAN_BITS: Final = np.uint64(8)
PANEL: Final = "Subscriptions"


MINOR_UNITS: Final = "minor units"

METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric(
            "subscriptions.active",
            "Subscriptions that are active or past due, whatever they pay.",
            "subscriptions",
            PANEL,
            "subscriptions_active",
        ),
        Metric(
            "subscriptions.pending",
            "Subscriptions with a change that is still ahead.",
            "subscriptions",
            PANEL,
            "subscriptions_pending",
        ),
        Metric(
            "subscriptions.stale",
            "States older than the one known, since the beginning: they change nothing.",
            "states",
            PANEL,
            "subscription_states_stale",
        ),
        Metric(
            "subscriptions.refused",
            "States of subscriptions beyond the limit users_per_shard, since the beginning.",
            "states",
            PANEL,
            "subscription_states_refused",
        ),
        Metric("customers.active", "Customers with MRR above 0.", "customers", PANEL, "customers_active"),
        Metric("mrr", "Monthly recurring revenue.", MINOR_UNITS, PANEL, "mrr"),
        Metric("mrr.new", "MRR of customers who had never paid before.", MINOR_UNITS, PANEL, "window_mrr_movement"),
        Metric(
            "mrr.expansion", "MRR gained from customers who paid already.", MINOR_UNITS, PANEL, "window_mrr_movement"
        ),
        Metric(
            "mrr.contraction", "MRR lost from customers who go on paying.", MINOR_UNITS, PANEL, "window_mrr_movement"
        ),
        Metric("mrr.churned", "MRR of customers who stopped paying.", MINOR_UNITS, PANEL, "window_mrr_movement"),
        Metric("mrr.reactivated", "MRR of customers who came back.", MINOR_UNITS, PANEL, "window_mrr_movement"),
        Metric("customers.new", "Customers who pay for the first time.", "customers", PANEL, "window_customers"),
        Metric("customers.churned", "Customers who stopped paying.", "customers", PANEL, "window_customers"),
        Metric("customers.reactivated", "Customers who pay again.", "customers", PANEL, "window_customers"),
        Metric("mrr.moved_in", "MRR moved into the plan by changes of plan.", MINOR_UNITS, PANEL, "window_mrr_moved"),
        Metric(
            "mrr.moved_out", "MRR moved out of the plan by changes of plan.", MINOR_UNITS, PANEL, "window_mrr_moved"
        ),
        Metric("mrr.moved", "MRR moved from one plan to another.", MINOR_UNITS, PANEL, "window_mrr_moved_between"),
        Metric(
            "subscriptions.cancel_requested",
            "Subscriptions whose cancellation was requested: the early sign of churn.",
            "subscriptions",
            PANEL,
            "window_cancellations_requested",
        ),
        Metric("arr", "Annual recurring revenue, 12 MRR.", MINOR_UNITS, PANEL, "arr"),
        Metric("arpa", "MRR per active customer.", MINOR_UNITS, PANEL, "arpa"),
        Metric(
            "mrr.difference",
            "MRR less the sum of all its movements: anything but 0 is a defect.",
            MINOR_UNITS,
            PANEL,
            "mrr_difference",
        ),
        Metric(
            "customer_churn_rate",
            "Customers who stopped paying over customers at the window's start.",
            "ratio",
            PANEL,
            "customer_churn_ratio",
        ),
        Metric(
            "mrr_churn_rate",
            "MRR churned and contracted over MRR at the window's start.",
            "ratio",
            PANEL,
            "mrr_churn_ratio",
        ),
        Metric(
            "net_mrr_churn_rate",
            "The same less expansion and reactivation; below 0 the customers of before pay more than then.",
            "ratio",
            PANEL,
            "net_mrr_churn_ratio",
        ),
    )
}


def metrics_in(section: Section) -> dict[str, Metric]:
    """The definitions by name, with money as Prometheus shows it: in major units of the reporting currency."""
    scale = 10.0**-section.decimals
    return {
        name: replace(metric, scale=scale) if metric.unit == MINOR_UNITS else metric for name, metric in METRICS.items()
    }


class Places(NamedTuple):
    """Where the counters of a window stand: movements of everybody, of each plan, what moved, what was requested."""

    plans: int
    moved_in: int  # of plan 0
    moved_out: int
    requested: int
    pairs: NDArray[np.int64]  # (plans, plans): the counter of a pair, -1 when it is not told apart


class Books(NamedTuple):
    """What the kernel reads and writes."""

    customers: Entries
    on_plan: Entries
    subscriptions: Entries
    agenda: Plan
    windows: Ring
    since_start: NDArray[np.int64]
    now: NDArray[np.int64]  # ACTIVE, PENDING, STALE, REFUSED
    by_plan: NDArray[np.int64]  # (plans, 2): customers paying for it, and what they pay
    places: Places


class Waiting(Container):
    """States whose turn has not come, in the order read."""

    def __init__(self) -> None:
        self.states: NDArray[Any] = NO_STATES

    def save(self, users: int) -> Arrays:
        return {"states": self.states}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self.states = arrays["states"]


class Subscriptions:
    """States of subscriptions, waiting and applied, and the movements that came of them."""

    ordered: ClassVar[bool] = True

    def __init__(self, config: Config) -> None:
        assert config.subscriptions is not None
        self._config = config
        self._section = config.subscriptions
        self._labels = self._section.labels()
        self.most = 2**31 - 1  # subscriptions
        plans = len(self._labels)
        moved_in = KINDS * (1 + plans)
        pairs = np.full((plans, plans), -1, np.int64)
        self._pairs = self._section.pairs()
        for number, (one, other) in enumerate(self._pairs):
            pairs[self._labels.index(one), self._labels.index(other)] = moved_in + 2 * plans + 1 + number
        self._places = Places(plans, moved_in, moved_in + plans, moved_in + 2 * plans, pairs)
        self._counters = moved_in + 2 * plans + 1 + len(self._pairs)
        self.windows = Windows(config.windows, self._counters)
        self.since_start = Counters(self._counters)
        self.now = Counters(4)
        self.by_plan = Counters(plans, 2)
        self.customers = Table(CUSTOMER)
        self.on_plan = Table(ON_PLAN)
        self.subscriptions = Table(SUBSCRIPTION)
        self.agenda = Agenda(5)
        self.waiting = Waiting()

    def receive(self, states: NDArray[Any]) -> None:
        """Take `states` (dtype STATE, with `used`), in the order read; they take their turn when time has come."""
        self.waiting.states = np.concatenate([self.waiting.states, states])

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        waiting = self.waiting.states
        passed = waiting["used"] < now_ms
        if not (len(waiting) and passed.any()) and not self._falls_due(now_ms):
            move(self.windows.ring, now_ms)
            return
        due = waiting[passed]
        self.waiting.states = waiting[~passed]
        due = due[np.lexsort((due["offset"], due["partition"], due["used"]))]
        self.customers.reserve(len(due))
        self.on_plan.reserve(2 * len(due) + int(self.now.values[PENDING]))
        self.subscriptions.reserve(len(due))
        if int(self.agenda.plan.size[0]) > 2 * int(self.now.values[PENDING]) + REPLACED_KEPT:
            self._forget_replaced()
        self.agenda.reserve(len(due))
        books = Books(
            self.customers.entries,
            self.on_plan.entries,
            self.subscriptions.entries,
            self.agenda.plan,
            self.windows.ring,
            self.since_start.values,
            self.now.values,
            self.by_plan.values,
            self._places,
        )
        _advance(due, now_ms, self.most, books)

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
        customers = self.customers.known["mrr"]
        return np.concatenate(
            [
                self.now.values,
                [np.count_nonzero(customers), customers.sum()],
                self.by_plan.values.ravel(),
                self.windows.totals.ravel(),
                self.since_start.values,
            ]
        )

    def cells(self) -> list[Cell]:
        metrics = metrics_in(self._section)
        money = {"currency": self._section.currency}
        return [
            Cell("subscriptions.active", metrics["subscriptions.active"]),
            Cell("subscriptions.pending", metrics["subscriptions.pending"]),
            Cell("subscriptions.stale", metrics["subscriptions.stale"]),
            Cell("subscriptions.refused", metrics["subscriptions.refused"]),
            *(
                cell
                for plan in self._groups()
                for cell in (
                    Cell(cell_name("customers.active", group=plan), metrics["customers.active"], plan),
                    Cell(cell_name("mrr", group=plan), metrics["mrr"], money | plan),
                )
            ),
            *(cell for window in self._periods() for cell in self._movements(metrics, window)),
        ]

    def _groups(self) -> list[dict[str, str]]:
        return [{}, *({"plan": plan} for plan in self._labels)]

    def _periods(self) -> list[str]:
        return [*(format_duration(window) for window in self._config.windows), "total"]

    def _movements(self, metrics: dict[str, Metric], window: str) -> Iterator[Cell]:
        """The cells of one window, in the order of its counters."""
        period = {"window": window}
        for plan in self._groups():
            for movement in MOVEMENTS:
                name = cell_name(f"mrr.{movement}.{window}", group=plan)
                yield Cell(name, metrics[f"mrr.{movement}"], {"movement": movement} | period | plan)
            for movement in COUNTED:
                name = cell_name(f"customers.{movement}.{window}", group=plan)
                yield Cell(name, metrics[f"customers.{movement}"], {"movement": movement} | period | plan)
        for way in ("in", "out"):
            for plan in self._groups()[1:]:
                name = cell_name(f"mrr.moved_{way}.{window}", group=plan)
                yield Cell(name, metrics[f"mrr.moved_{way}"], {"way": way} | period | plan)
        yield Cell(f"subscriptions.cancel_requested.{window}", metrics["subscriptions.cancel_requested"], period)
        for one, other in self._pairs:
            yield Cell(f"mrr.moved.{one}.{other}.{window}", metrics["mrr.moved"], {"from": one, "to": other} | period)

    def derived(self) -> list[Derived]:
        metrics = metrics_in(self._section)
        money = {"currency": self._section.currency}
        found = []
        for plan in self._groups():
            mrr, active = cell_name("mrr", group=plan), cell_name("customers.active", group=plan)
            totals = [cell_name(f"mrr.{movement}.total", group=plan) for movement in MOVEMENTS]
            moved = [cell_name(f"mrr.moved_{way}.total", group=plan) for way in ("in", "out") if plan]
            found += [
                Derived(cell_name("arr", group=plan), metrics["arr"], (mrr,), arr, money | plan),
                Derived(cell_name("arpa", group=plan), metrics["arpa"], (mrr, active), arpa, money | plan),
                Derived(
                    cell_name("mrr.difference", group=plan),
                    metrics["mrr.difference"],
                    (mrr, *totals, *moved),
                    mrr_difference,
                    plan,
                ),
            ]
        for window in map(format_duration, self._config.ratio_windows):
            period = {"window": window}
            amounts = [f"mrr.{movement}.{window}" for movement in MOVEMENTS]
            counts = [f"customers.{movement}.{window}" for movement in COUNTED]
            found += [
                Derived(
                    f"customer_churn_rate.{window}",
                    metrics["customer_churn_rate"],
                    ("customers.active", *counts),
                    customer_churn_rate,
                    period,
                ),
                Derived(
                    f"mrr_churn_rate.{window}", metrics["mrr_churn_rate"], ("mrr", *amounts), mrr_churn_rate, period
                ),
                Derived(
                    f"net_mrr_churn_rate.{window}",
                    metrics["net_mrr_churn_rate"],
                    ("mrr", *amounts),
                    net_mrr_churn_rate,
                    period,
                ),
            ]
        return found


@compiled
def _advance(states: NDArray[Any], now: int, most: int, books: Books) -> None:
    move(books.windows, now)
    for state in states:
        _apply_pending(books, state["used"])
        key = state["subscription"]
        slot = known_row(books.subscriptions, key)
        if slot < 0:
            if books.subscriptions.used[0] >= most:
                books.now[REFUSED] += 1
                continue
            slot = row_of(books.subscriptions, key)
            books.subscriptions.rows[slot]["customer"] = row_of(books.customers, state["customer"])
        subscription = books.subscriptions.rows[slot]
        if state["effective"] > state["used"]:
            _schedule(books, subscription, slot, state)
        elif subscription["applied"] and _not_newer(state, subscription):
            books.now[STALE] += 1
        else:
            if (
                subscription["pending"]
                and state["status"] >= ENDED
                and _issued_before(
                    subscription["next_ts"], subscription["next_partition"], subscription["next_offset"], state
                )
            ):
                subscription["pending"] = 0
                books.now[PENDING] -= 1
            _apply(
                books,
                subscription,
                state["plan"],
                state["status"],
                state["cancelling"],
                state["mrr"],
                state["effective"],
            )
            subscription["ts"] = state["ts"]
            subscription["partition"] = state["partition"]
            subscription["offset"] = state["offset"]
    _apply_pending(books, now - 1)


@inlined
def _issued_before(ts: Number, partition: Number, offset: Number, state: Any) -> bool:
    """Whether (ts, partition, offset) is earlier than the issue of `state`."""
    if ts != state["ts"]:
        return bool(ts < state["ts"])
    if partition != state["partition"]:
        return bool(partition < state["partition"])
    return bool(offset < state["offset"])


@inlined
def _not_newer(state: Any, subscription: Any) -> bool:
    """Whether the state last applied is as new as `state`, or newer."""
    if subscription["effective"] != state["effective"]:
        return bool(subscription["effective"] > state["effective"])
    return not _issued_before(subscription["ts"], subscription["partition"], subscription["offset"], state)


@inlined
def _schedule(books: Books, subscription: Any, slot: Number, state: Any) -> None:
    """Make `state` the pending one of its subscription, unless it is stale."""
    if subscription["pending"]:
        stale = not _issued_before(
            subscription["next_ts"], subscription["next_partition"], subscription["next_offset"], state
        )
    else:
        stale = False
    if subscription["applied"] and subscription["status"] >= ENDED:
        stale |= not _issued_before(subscription["ts"], subscription["partition"], subscription["offset"], state)
    if stale:
        books.now[STALE] += 1
        return
    if not subscription["pending"]:
        books.now[PENDING] += 1
    subscription["pending"] = 1
    subscription["next_plan"] = state["plan"]
    subscription["next_status"] = state["status"]
    subscription["next_cancelling"] = state["cancelling"]
    subscription["next_mrr"] = state["mrr"]
    subscription["next_effective"] = state["effective"]
    subscription["next_ts"] = state["ts"]
    subscription["next_partition"] = state["partition"]
    subscription["next_offset"] = state["offset"]
    books.agenda.top[0] = state["effective"]
    books.agenda.top[1] = state["ts"]
    books.agenda.top[2] = state["partition"]
    books.agenda.top[3] = state["offset"]
    books.agenda.top[4] = slot
    put(books.agenda)


@inlined
def _apply_pending(books: Books, until: Number) -> None:
    """Apply the pending states that fall due at `until` (ms) or before; entries of replaced ones are passed over."""
    while falls_due(books.agenda, until):
        take(books.agenda)
        subscription = books.subscriptions.rows[books.agenda.top[4]]
        if not (
            subscription["pending"]
            and subscription["next_effective"] == books.agenda.top[0]
            and subscription["next_ts"] == books.agenda.top[1]
            and subscription["next_partition"] == books.agenda.top[2]
            and subscription["next_offset"] == books.agenda.top[3]
        ):
            continue
        subscription["pending"] = 0
        books.now[PENDING] -= 1
        _apply(
            books,
            subscription,
            subscription["next_plan"],
            subscription["next_status"],
            subscription["next_cancelling"],
            subscription["next_mrr"],
            subscription["next_effective"],
        )
        subscription["ts"] = subscription["next_ts"]
        subscription["partition"] = subscription["next_partition"]
        subscription["offset"] = subscription["next_offset"]


@inlined
def _book(books: Books, at: Number, counter: Number, amount: Number) -> None:
    books.since_start[counter] += amount
    add(books.windows, at, counter, amount)


@inlined
def _pays(books: Books, customer: Number, plan: Number, change: Number, amount: Number) -> None:
    """The customer has `change` more paying subscriptions on `plan`, which pay `amount` more."""
    books.by_plan[plan, 1] += amount
    if change != 0:
        row = row_of(books.on_plan, (np.uint64(customer) << PLAN_BITS) | np.uint64(plan))
        before = books.on_plan.rows[row]["paying"]
        books.on_plan.rows[row]["paying"] = before + change
        books.by_plan[plan, 0] += np.int64(before + change > 0) - np.int64(before > 0)


@compiled
def _apply(
    books: Books,
    subscription: Any,
    plan: Number,
    status: Number,
    cancelling: Number,
    mrr: Number,
    effective: Number,
) -> None:
    """Let the subscription be as given from `effective` (ms) on, and book what comes of it."""
    places = books.places
    applied = subscription["applied"] != 0
    old_plan = np.int64(subscription["plan"]) if applied else np.int64(plan)
    old_mrr = subscription["mrr"]
    requested = cancelling != 0 and status < ENDED and not (applied and subscription["cancelling"] != 0)
    if requested:
        _book(books, effective, places.requested, 1)
    was_active = applied and subscription["status"] in (ACTIVE_STATUS, PAST_DUE)
    active = status in (ACTIVE_STATUS, PAST_DUE)
    books.now[ACTIVE] += np.int64(active) - np.int64(was_active)

    number = np.int64(subscription["customer"])
    customer = books.customers.rows[number]
    before = customer["mrr"]
    after = before - old_mrr + mrr
    customer["mrr"] = after
    if old_mrr > 0 and mrr > 0 and old_plan != plan:
        _book(books, effective, places.moved_out + old_plan, old_mrr)
        _book(books, effective, places.moved_in + plan, old_mrr)
        pair = places.pairs[old_plan, plan]
        if pair >= 0:
            _book(books, effective, pair, old_mrr)
    if after != before:
        if before == 0:
            movement = REACTIVATED if customer["paid"] != 0 else NEW
        elif after == 0:
            movement = CHURNED
        elif after > before:
            movement = EXPANSION
        else:
            movement = CONTRACTION
        owner = old_plan if mrr == 0 else np.int64(plan)
        counted = COUNTER_OF[movement]
        for group in range(2):
            base = KINDS * (1 + owner) * group
            _book(books, effective, base + movement, abs(after - before))
            if counted >= 0:
                _book(books, effective, base + counted, 1)
    if after > 0:
        customer["paid"] = 1
    if old_plan == plan:
        _pays(books, number, np.int64(plan), np.int64(mrr > 0) - np.int64(old_mrr > 0), mrr - old_mrr)
    else:
        _pays(books, number, old_plan, -np.int64(old_mrr > 0), -old_mrr)
        _pays(books, number, np.int64(plan), np.int64(mrr > 0), mrr)

    subscription["applied"] = 1
    subscription["plan"] = plan
    subscription["status"] = status
    subscription["cancelling"] = cancelling
    subscription["mrr"] = mrr
    subscription["effective"] = effective
