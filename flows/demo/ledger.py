"""What the states of subscriptions amount to, told straightforwardly: METRICS.md 3.6 for a stream without late states.

Nothing is shared with the pipeline, for this is what its numbers are checked against.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from typing import NamedTuple

from flows.config.model import OTHER, Subscriptions
from flows.config.model import slug as slug_of

slug = lru_cache(maxsize=1000)(slug_of)
EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
DAYS_OF_YEAR = {"year": 1, "month": 12, "week": 52, "day": 365}


class Told(NamedTuple):
    """One accepted event with a state, in the order of sending."""

    ts_ms: int
    user: str
    properties: Mapping[str, object]


@dataclass(slots=True)
class Holding:
    """One subscription: its present state, and the one ahead."""

    effective_ms: int = -1
    mrr: int = 0
    plan: str = ""
    status: str = ""
    cancelling: bool = False
    ahead: Mapping[str, object] | None = None


@dataclass(slots=True)
class Account:
    """One customer."""

    holdings: dict[str, Holding] = field(default_factory=dict)
    paid: bool = False

    @property
    def mrr(self) -> int:
        """What the customer pays a month."""
        return sum(holding.mrr for holding in self.holdings.values())


class Entry(NamedTuple):
    """What one change adds to the books: cells without their window, and amounts."""

    at_ms: int
    amounts: Mapping[str, int]


class Ledger:
    """The books of all customers as they stand at a watermark."""

    def __init__(self, section: Subscriptions, told: Sequence[Told], watermark_ms: int) -> None:
        self._section = section
        self._plans = {slug(plan) for plan in section.plans}
        self._accounts: dict[str, Account] = {}
        self._entries: list[Entry] = []
        self._stale = 0
        lives: dict[str, list[Told]] = {}
        for state in told:
            if state.ts_ms < watermark_ms:
                lives.setdefault(str(state.properties.get("customer_id", state.user)), []).append(state)
        for customer, states in lives.items():
            account = self._accounts.setdefault(customer, Account())
            for state in sorted(states, key=lambda state: state.ts_ms):  # stable: ties in the order of sending
                self._let_come(account, state.ts_ms + 1)
                self._use(account, state)
            self._let_come(account, watermark_ms)

    def _use(self, account: Account, state: Told) -> None:
        holding = account.holdings.setdefault(str(state.properties["subscription_id"]), Holding())
        effective_ms = int(str(state.properties["effective_at"]))
        over = state.properties["status"] in ("cancelled", "expired")
        if effective_ms > state.ts_ms:
            holding.ahead = state.properties
        elif effective_ms < holding.effective_ms:
            self._stale += 1
        else:
            if over:
                holding.ahead = None
            self._apply(account, holding, state.properties)

    def _let_come(self, account: Account, before_ms: int) -> None:
        """Apply what was ahead and has come before that time."""
        due = [
            (int(str(holding.ahead["effective_at"])), holding)
            for holding in account.holdings.values()
            if holding.ahead is not None and int(str(holding.ahead["effective_at"])) < before_ms
        ]
        for _, holding in sorted(due, key=lambda pair: pair[0]):
            assert holding.ahead is not None
            properties, holding.ahead = holding.ahead, None
            self._apply(account, holding, properties)

    def _apply(self, account: Account, holding: Holding, properties: Mapping[str, object]) -> None:
        before, was = account.mrr, (holding.mrr, holding.plan or self._plan(properties))
        status, cancelling = str(properties["status"]), properties.get("cancel_at") is not None
        asked = cancelling and not holding.cancelling and status not in ("cancelled", "expired")
        holding.effective_ms = int(str(properties["effective_at"]))
        holding.status, holding.cancelling = status, cancelling
        holding.plan = self._plan(properties)
        holding.mrr = self._monthly(properties) if status in ("active", "past_due") else 0
        after = account.mrr
        amounts: Counter[str] = Counter()
        if asked:
            amounts["subscriptions.cancel_requested.<w>"] += 1
        moved = was[0] if was[0] and holding.mrr and was[1] != holding.plan else 0
        if moved:
            amounts[f"mrr.moved_out.<w>{{plan={was[1]}}}"] += moved
            amounts[f"mrr.moved_in.<w>{{plan={holding.plan}}}"] += moved
            if (was[1], holding.plan) in self._section.pairs():
                amounts[f"mrr.moved.{was[1]}.{holding.plan}.<w>"] += moved
        if before != after:
            if not before:
                kind = "reactivated" if account.paid else "new"
            elif not after:
                kind = "churned"
            else:
                kind = "expansion" if after > before else "contraction"
            for label in ("", f"{{plan={holding.plan if holding.mrr else was[1]}}}"):
                amounts[f"mrr.{kind}.<w>{label}"] += abs(after - before)
                amounts[f"customers.{kind}.<w>{label}"] += kind in ("new", "reactivated", "churned")
        account.paid |= after > 0
        self._entries.append(Entry(holding.effective_ms, amounts))

    def _plan(self, properties: Mapping[str, object]) -> str:
        plan = slug(str(properties["plan"]))
        return plan if plan in self._plans else OTHER

    def _monthly(self, properties: Mapping[str, object]) -> int:
        price = Decimal(str(properties["amount"])) * int(str(properties["quantity"]))
        price = max(Decimal(0), price - Decimal(str(properties["discount"])))
        a_year = price * DAYS_OF_YEAR[str(properties["interval"])]
        monthly = EXACT.divide(a_year.scaleb(self._section.decimals), Decimal(12))
        return int(monthly.quantize(Decimal(1), context=EXACT))

    def cells(self, windows_from_ms: Mapping[str, int], ratio_windows: Iterable[str]) -> dict[str, int | float]:
        """All numbers, by the name of each window and when it begins; counts of nothing are left out."""
        tally: Counter[str] = Counter({"subscriptions.stale": self._stale})
        for entry in self._entries:
            for name, from_ms in {**windows_from_ms, "total": entry.at_ms}.items():
                if entry.at_ms >= from_ms:
                    for cell, amount in entry.amounts.items():
                        tally[cell.replace("<w>", name)] += amount
        for account in self._accounts.values():
            tally["mrr"] += account.mrr
            tally["customers.active"] += account.mrr > 0
            of_plans: Counter[str] = Counter()
            for holding in account.holdings.values():
                tally["subscriptions.active"] += holding.status in ("active", "past_due")
                tally["subscriptions.pending"] += holding.ahead is not None
                of_plans[holding.plan] += holding.mrr
            for plan, mrr in of_plans.items():
                tally[f"mrr{{plan={plan}}}"] += mrr
                tally[f"customers.active{{plan={plan}}}"] += mrr > 0
        cells: dict[str, int | float] = {cell: amount for cell, amount in tally.items() if amount}
        for label in ("", *(f"{{plan={plan}}}" for plan in (*self._plans, OTHER))):
            if mrr := tally[f"mrr{label}"]:
                cells[f"arr{label}"] = 12 * mrr
                cells[f"arpa{label}"] = mrr / tally[f"customers.active{label}"]
        for w in ratio_windows:
            customers = {kind: tally[f"customers.{kind}.{w}"] for kind in ("new", "churned", "reactivated")}
            start = tally["customers.active"] - customers["new"] - customers["reactivated"] + customers["churned"]
            if start > 0:
                cells[f"customer_churn_rate.{w}"] = customers["churned"] / start
            lost = tally[f"mrr.churned.{w}"] + tally[f"mrr.contraction.{w}"]
            gained = tally[f"mrr.expansion.{w}"] + tally[f"mrr.reactivated.{w}"]
            start = tally["mrr"] - tally[f"mrr.new.{w}"] - gained + lost
            if start > 0:
                cells[f"mrr_churn_rate.{w}"] = lost / start
                cells[f"net_mrr_churn_rate.{w}"] = (lost - gained) / start
        return cells
