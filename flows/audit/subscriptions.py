"""METRICS.md 3.6: subscriptions, by telling the life of each customer, one state after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from flows.audit.cells import Cells, put_ratio, windows
from flows.audit.clock import Turn, ordered_window_holds
from flows.audit.records import State
from flows.config.model import Config, Subscriptions

CUSTOMER_MOVEMENTS = ("new", "churned", "reactivated")
MOVEMENTS = ("new", "expansion", "contraction", "churned", "reactivated")
PAYING = ("active", "past_due")
DAY_MS = 86_400_000
OVER = ("cancelled", "expired")
AFTER_ALL = 2**63
"""The place, among states of one `effective_at`, of the end that a successor brings: behind every `sequence`."""


@dataclass(frozen=True)
class Issued:
    """A state, and `issued`: "(ts, partition, offset) of its event"."""

    state: State
    issued: tuple[int, int, int]

    @property
    def rank(self) -> tuple[int, int, tuple[int, int, int]]:
        """Last writer wins by this; "of equal `effective_at` a state without `sequence` is the older"."""
        sequence = -1 if self.state.sequence is None else self.state.sequence
        return self.state.effective_at, sequence, self.issued


@dataclass(frozen=True)
class Movement:
    """What one state that applied does to the books."""

    at: int  # its `effective`, ms
    kind: str | None  # one of MOVEMENTS; None: the customer pays as much as before
    amount: int  # minor units
    plan: str  # to which the movement belongs
    moved: tuple[str, str, int] | None  # from a plan, to a plan, so much
    cancel_requested: bool
    came_at: int = 0  # of a churn: when the customer was last new or reactivated, ms
    after_move: tuple[str, str] | None = None  # of a churn: from and to a plan, if that was not long before


@dataclass
class Customer:
    """The life of one customer, as far as it has been told."""

    applied: dict[str, Issued] = field(default_factory=dict)  # by subscription
    pending: dict[str, Issued] = field(default_factory=dict)
    lost: dict[str, State] = field(default_factory=dict)  # what a subscription was when it last stopped paying
    moved_last: str | None = None  # the subscription that changed last what the customer pays
    inherited: State | None = None  # from the old subscription, by the state that applies next
    has_paid: bool = False
    horizon: int = 0  # `move_horizon`, ms
    stale: int = 0
    movements: list[Movement] = field(default_factory=list)

    def mrr(self, plan: str | None = None) -> int:
        """METRICS.md 3.6: "A customer's MRR is the sum of its subscriptions"; of those of one plan."""
        return sum(last.state.mrr for last in self.applied.values() if plan is None or last.state.plan == plan)

    def came_at(self) -> int:
        """When the customer was last new or reactivated, ms."""
        return next((one.at for one in reversed(self.movements) if one.kind in ("new", "reactivated")), 0)

    def recent_move(self, at: int) -> tuple[str, str] | None:
        """METRICS.md 5.9: "customers who churn at most `move_horizon` (60 d) after the last change of plan of any paid
        subscription of theirs, by that change"; the horizon counts from the move's effective time.
        """
        moves = [(one.at, place, one.moved) for place, one in enumerate(self.movements) if one.moved is not None]
        if not moves:
            return None
        moved_at, _, (before, after, _) = max(moves, key=lambda one: one[:2])
        return (before, after) if 0 <= at - moved_at <= self.horizon else None

    def take(self, told: Issued, used: int) -> None:
        """Use one state at its time; pending ones of earlier times, and of the same, have applied."""
        subscription, last = told.state.subscription, self.applied.get(told.state.subscription)
        waiting = self.pending.get(subscription)
        if told.state.effective_at <= used:
            newer = last is None or told.rank > last.rank
            if newer and last is not None and supersedes(told.state, last.state):
                self.take_back(subscription, told.state.effective_at)
            self.replace(told, newer)
            if newer:
                self.apply(told)
            else:
                self.stale += 1
        elif (waiting is not None and not takes_over(told, waiting)) or (
            last is not None and last.state.status in OVER and last.issued > told.issued
        ):
            self.stale += 1
        else:
            self.pending[subscription] = told

    def let_pending_apply(self, until: int) -> None:
        """Apply pending states with `effective` <= `until`, "pending states of the same moment in the order of
        their `issued`".
        """
        due = [waiting for waiting in self.pending.values() if waiting.state.effective_at <= until]
        for waiting in sorted(due, key=lambda waiting: waiting.rank):
            if self.pending.get(waiting.state.subscription) is waiting:  # else a successor has dropped it
                del self.pending[waiting.state.subscription]
                self.replace(waiting, True)
                self.apply(waiting)

    def replace(self, told: Issued, newer: bool) -> None:
        """EVENTS.md: the successor "ends the old one at its own `effective_at` and drops its pending state; one that
        ended before stays churned". That holds whether or not there is something newer of the successor itself.

        What the old one paid is handed over to a successor that pays nothing yet, so that there is one change. Its
        end in the same millisecond, if nothing has become of the customer since, is that change as well.
        """
        successor, name = told.state, told.state.replaces
        if name is None:
            return
        last, waiting = self.applied.get(name), self.pending.get(name)
        plan = successor.plan if last is None else last.state.plan
        over = replace(successor, subscription=name, status="cancelled", mrr=0, plan=plan, cancels=False)
        end = Issued(replace(over, sequence=AFTER_ALL, replaces=None), told.issued)
        if last is not None and last.rank > end.rank:
            return
        if waiting is not None and (
            waiting.issued < told.issued or waiting.state.effective_at <= successor.effective_at
        ):
            del self.pending[name]
        self.take_back(name, successor.effective_at)
        paid = self.applied.get(name)
        heir = self.applied.get(successor.subscription)
        if newer and paid is not None and paid.state.mrr and not (heir and heir.state.mrr):
            self.applied[name] = replace(paid, state=replace(paid.state, mrr=0))
            self.inherited = paid.state
        self.apply(end)

    def take_back(self, subscription: str, at: int) -> None:
        """Undo the loss of this subscription at this time, if it is the last movement of the customer."""
        last, lost = self.applied.get(subscription), self.lost.get(subscription)
        if last is None or lost is None or last.state.effective_at != at or self.moved_last != subscription:
            return
        place = max(i for i, movement in enumerate(self.movements) if movement.kind is not None)
        self.movements[place] = replace(self.movements[place], kind=None, amount=0)
        self.applied[subscription] = replace(last, state=replace(last.state, mrr=lost.mrr, plan=lost.plan))
        del self.lost[subscription]
        self.moved_last = None

    def apply(self, told: Issued) -> None:
        """Book what becomes of the customer. "(Each state is a change of its own.)" """
        state, last = told.state, self.applied.get(told.state.subscription)
        was = None if last is None else last.state
        before = self.mrr()
        if state.replaces is not None and self.inherited is not None:
            was, self.inherited = self.inherited, None
            before += was.mrr
        self.applied[state.subscription] = told
        after = self.mrr()
        paid = 0 if was is None else was.mrr
        moved = None
        if was is not None and was.plan != state.plan and paid > 0 and state.mrr > 0:
            moved = (was.plan, state.plan, paid)
        if was is not None and paid and not state.mrr:
            self.lost[state.subscription] = was
        elif state.mrr or (last is not None and last.state.effective_at != state.effective_at):
            self.lost.pop(state.subscription, None)
        kind = kind_of_movement(before, after, self.has_paid)
        self.movements.append(
            Movement(
                at=state.effective_at,
                kind=kind,
                amount=abs(after - before),
                plan=was.plan if was is not None and state.mrr == 0 else state.plan,
                moved=moved,
                cancel_requested=state.cancels
                and state.status not in OVER
                and not (last is not None and last.state.cancels),
                came_at=self.came_at(),
                after_move=self.recent_move(state.effective_at) if kind == "churned" else None,
            )
        )
        if before != after:
            self.moved_last = state.subscription
        self.has_paid = self.has_paid or after > 0
        waiting = self.pending.get(state.subscription)
        if state.status in OVER and waiting is not None and waiting.issued < told.issued:
            del self.pending[state.subscription]


def takes_over(told: Issued, waiting: Issued) -> bool:
    """Whether a state ahead takes the place of the pending one: of equal `effective_at`, `sequence` comes first."""
    if told.state.effective_at == waiting.state.effective_at:
        return told.rank > waiting.rank
    return told.issued > waiting.issued


def supersedes(state: State, last: State) -> bool:
    """Whether `last` held for no time: "`sequence` (integer) orders states of one subscription with equal
    `effective_at` before anything else does".
    """
    return (
        state.effective_at == last.effective_at
        and state.sequence is not None
        and (last.sequence is None or state.sequence > last.sequence)
    )


def turn_of(turn: Turn) -> tuple[int, int, int, int, int, int]:
    """In the order of (used, partition, offset), but of one moment those with a `sequence` first: by `effective_at`,
    then from the highest down, so that what has been superseded at the same moment changes nothing.
    """
    state, event = turn.told, turn.event
    if not isinstance(state, State) or state.sequence is None:
        return turn.used, 1, 0, 0, event.partition, event.offset
    return turn.used, 0, state.effective_at, -state.sequence, event.partition, event.offset


def kind_of_movement(before: int, after: int, has_paid: bool) -> str | None:
    """METRICS.md 3.6: "from never paid `mrr.new`, up `mrr.expansion`, down `mrr.contraction`, to zero
    `mrr.churned`, back from zero `mrr.reactivated`".
    """
    if before == after:
        return None
    if before == 0:
        return "reactivated" if has_paid else "new"
    if after == 0:
        return "churned"
    return "expansion" if after > before else "contraction"


def all_customers(turns: Iterable[Turn], watermark_ms: int, horizon_ms: int = 60 * DAY_MS) -> list[Customer]:
    """Every customer after the states with W > `used`, one by one, and the pending ones with W > `effective`."""
    customers: dict[str, Customer] = {}
    for turn in sorted(turns, key=turn_of):
        event, state = turn.event, turn.told
        if isinstance(state, State) and turn.used < watermark_ms:
            customer = customers.setdefault(state.customer, Customer(horizon=horizon_ms))
            customer.let_pending_apply(turn.used)
            customer.take(Issued(state, (event.ts, event.partition, event.offset)), turn.used)
    for customer in customers.values():
        customer.let_pending_apply(watermark_ms - 1)
    return list(customers.values())


def cells_of_subscriptions(turns: Sequence[Turn], config: Config, watermark_ms: int) -> Cells:
    """What the config's part comes to, if it is there."""
    if config.subscriptions is None:
        return {}
    customers = all_customers(turns, watermark_ms, config.subscriptions.move_horizon)
    return subscription_cells(customers, config.subscriptions, config, watermark_ms)


def subscription_cells(
    customers: list[Customer], subscriptions: Subscriptions, config: Config, watermark_ms: int
) -> Cells:
    """All cells of METRICS.md 3.6; `None` stands for all plans together."""
    plans = subscriptions.labels()
    states = [last.state for customer in customers for last in customer.applied.values()]
    cells: Cells = {
        "subscriptions.active": sum(state.status in PAYING for state in states),
        "subscriptions.pending": sum(len(customer.pending) for customer in customers),
        "subscriptions.stale": sum(customer.stale for customer in customers),
        "subscriptions.refused": 0,
    }
    for plan in (None, *plans):
        paid = [customer.mrr(plan) for customer in customers]
        cells[f"mrr{suffix(plan)}"] = sum(paid)
        cells[f"customers.active{suffix(plan)}"] = sum(mrr > 0 for mrr in paid)
    movements = [movement for customer in customers for movement in customer.movements]
    for name, window in [*windows(config), ("total", None)]:
        booked = [
            movement
            for movement in movements
            if window is None or ordered_window_holds(movement.at, window, watermark_ms)
        ]
        put_movements(cells, booked, name, plans, subscriptions)
        inside = [
            movement
            for movement in booked
            if movement.kind == "churned"
            and (window is None or ordered_window_holds(movement.came_at, window, watermark_ms))
        ]
        for plan in (None, *plans):
            went = sum(plan in (None, movement.plan) for movement in inside)
            cells[f"customers.churned_inside.{name}{suffix(plan)}"] = went
        if window is not None:
            put_rates(cells, name)
    for plan in (None, *plans):
        put_worth(cells, suffix(plan))
    return cells


def suffix(plan: str | None) -> str:
    """What a cell of `plan` has behind its name; nothing for all plans together."""
    return "" if plan is None else f"{{plan={plan}}}"


def put_movements(
    cells: Cells, booked: list[Movement], at: str, plans: list[str], subscriptions: Subscriptions
) -> None:
    """METRICS.md 3.6: "In the window, by the change of the *customer's* MRR at `effective_at`"."""
    cells[f"subscriptions.cancel_requested.{at}"] = sum(movement.cancel_requested for movement in booked)
    for plan in (None, *plans):
        for kind in MOVEMENTS:
            amounts = [
                movement.amount for movement in booked if movement.kind == kind and plan in (None, movement.plan)
            ]
            cells[f"mrr.{kind}.{at}{suffix(plan)}"] = sum(amounts)
            if kind in CUSTOMER_MOVEMENTS:
                cells[f"customers.{kind}.{at}{suffix(plan)}"] = len(amounts)
    moved: Counter[tuple[str, str]] = Counter()
    for movement in booked:
        if movement.moved is not None:
            source, target, amount = movement.moved
            moved[source, target] += amount
    for plan in plans:
        cells[f"mrr.moved_in.{at}{suffix(plan)}"] = sum(moved[other, plan] for other in plans)
        cells[f"mrr.moved_out.{at}{suffix(plan)}"] = sum(moved[plan, other] for other in plans)
    lost = Counter(movement.after_move for movement in booked if movement.kind == "churned")
    for source, target in subscriptions.pairs():
        cells[f"mrr.moved.{source}.{target}.{at}"] = moved[source, target]
        cells[f"customers.churned_after_move.{source}.{target}.{at}"] = lost[source, target]


def put_rates(cells: Cells, at: str) -> None:
    """METRICS.md 5: "`customer_churn_rate.<w>` = (churned - churned_inside) / there at the start ...; retention is 1
    minus that"; "`customer_growth_ratio.<w>` = end / start". 3.6: "`mrr_churn_rate.<w>` = (churned + contraction) / MRR
    at start; `net_mrr_churn_rate.<w>` also minus expansion and reactivated". 5.6: "`gross_revenue_retention.<w>` =
    1 - mrr_churn_rate; `net_revenue_retention.<w>` = (MRR at start + expansion - contraction - churned) / MRR at
    start". Absent unless what was there at the start is above 0.
    """
    new, churned, reactivated = (int(cells[f"customers.{kind}.{at}"]) for kind in CUSTOMER_MOVEMENTS)
    now = int(cells["customers.active"])
    at_start = now - new - reactivated + churned
    if at_start > 0:
        of_the_start = churned - int(cells[f"customers.churned_inside.{at}"])
        put_ratio(cells, f"customer_churn_rate.{at}", of_the_start, at_start)
        put_ratio(cells, f"customer_retention_rate.{at}", at_start - of_the_start, at_start)
        put_ratio(cells, f"customer_growth_ratio.{at}", now, at_start)
    new, expansion, contraction, churned, reactivated = (int(cells[f"mrr.{kind}.{at}"]) for kind in MOVEMENTS)
    at_start = int(cells["mrr"]) - new - reactivated - expansion + contraction + churned
    if at_start > 0:
        lost = churned + contraction
        put_ratio(cells, f"mrr_churn_rate.{at}", lost, at_start)
        put_ratio(cells, f"net_mrr_churn_rate.{at}", lost - expansion - reactivated, at_start)
        put_ratio(cells, f"gross_revenue_retention.{at}", at_start - lost, at_start)
        put_ratio(cells, f"net_revenue_retention.{at}", at_start + expansion - lost, at_start)


def put_worth(cells: Cells, of: str) -> None:
    """METRICS.md 3.6: "derived `arr` = 12 x mrr, `arpa` = mrr / customers.active"; and what the identity
    leaves over.
    """
    mrr = int(cells[f"mrr{of}"])
    cells[f"arr{of}"] = 12 * mrr
    put_ratio(cells, f"arpa{of}", mrr, int(cells[f"customers.active{of}"]))
    gained = sum(int(cells[f"mrr.{kind}.total{of}"]) for kind in ("new", "reactivated", "expansion"))
    lost = sum(int(cells[f"mrr.{kind}.total{of}"]) for kind in ("contraction", "churned"))
    if of:
        gained += int(cells[f"mrr.moved_in.total{of}"])
        lost += int(cells[f"mrr.moved_out.total{of}"])
    cells[f"mrr.difference{of}"] = mrr - (gained - lost)
