r"""Who buys, for how much, again or never again (METRICS.md 5.8, ordered).

An *order* is what one `Order Completed` says: its `order_id`, and its amount, which is `revenue` or `total` as the
config has it, the other where that one is missing. A *refund* is what one `Order Refunded` says, its amount is `total`,
else `revenue`. A *cancellation* is an `Order Cancelled`. An event without an `order_id` or its amount is rejected, and
so is one in another currency. A missing currency is the config's. Amounts are integer minor units, half to even.

An `order_id` counts once within `dedup` of event time, of the same user: what comes with it again until then, exactly
then included, is a copy and changes nothing; it does not renew the time either. The same holds for the `refund_id` of
a refund, or its messageId where it has none, and for the `order_id` of a cancellation. (Orders, refunds and
cancellations know nothing of each other: a cancelled order stays counted, and what was paid back is a refund.)

Orders show that somebody was there; refunds and cancellations do not.

A user *lapses* at `latest order + lapse_after`, once the watermark is beyond that. Each of these is booked at its own
time; an order that comes late, but in order for its user, takes back a lapse that it shows never was.

Cells, all broken down by the order's own value where a breakdown is of `orders`, but for (*):

    orders.completed.<p>        orders                  orders.first.<p>      first orders ever of their users
    orders.revenue.<p>          their amounts           orders.repeat.<p>     all others
    orders.buyers.<p>           users by their latest order: with a breakdown, by the latest under each value
    orders.refunded.<p>         refunds                 orders.refund_amount.<p>    their amounts
    orders.cancelled.<p>        cancellations
    orders.customers            users who have ordered, ever (*)
    orders.customers_active     whose latest order is at most `lapse_after` ago (*)
    orders.lapsed.<w>           users who lapsed in the window (*)

<w> are the `windows` of the config, <p> those and `total`, since the beginning. At all times, in every cell's group:

    completed = first + repeat

Derived, for all <p> and groups that the numbers on the right have:

    average_order_value   revenue / completed           purchase_frequency    completed / buyers
    arppu                 revenue / buyers              arpu.orders           revenue / active_users
    net_revenue           revenue - refund_amount       refund_rate           refunded / completed
    buyer_rate            buyers / visitors             repeat_share          repeat / completed

and the lifetime values `ltv.orders` and `ltv.observed` (`metrics/economics.py`).

A worked month: in June, Ana orders for 20.00 and 30.00, Ben for 50.00, both for the first time; Ben gets 10.00 back.

    completed 3 = first 2 + repeat 1          average_order_value   100.00 / 3 = 33.33
    revenue 100.00, net_revenue 90.00         purchase_frequency    3 / 2 = 1.5
    buyers 2                                  arppu                 100.00 / 2 = 50.00
    refunded 1                                refund_rate           1 / 3        repeat_share   1 / 3

Memory: a row for each known user, the time of the latest order of each buyer, and the ids within `dedup` before that.
A user forgotten at `users_per_shard` counts as new with the next order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.config.model import Config, format_duration
from flows.messages.columns import NEVER, NO_TIME
from flows.metrics import economics
from flows.metrics.cells import SINCE_START, Cell
from flows.metrics.charts import ChartRow, Number
from flows.metrics.family import Family, Groups, Trail, trailing
from flows.metrics.frameworks import Headings
from flows.metrics.minutes import MinuteBook
from flows.metrics.orders.alerts import alerts_of
from flows.metrics.orders.cells import FRAMEWORKS, ORDERS, counts, formulas_of
from flows.metrics.orders.charts import CHARTS, HEADLINES
from flows.metrics.orders.fact import order_fact
from flows.metrics.orders.loop import BUYERS, FIELDS, FIRST, LAPSED, LAPSES, Ledger, use_orders
from flows.metrics.orders.returns import OrderCancellations, OrderRefunds
from flows.metrics.rows import Block, Count, Formula
from flows.state.deadlines import PASSED, Deadlines
from flows.state.pairs import Pairs
from flows.state.remembered import Remembered
from flows.state.rows import Counters
from flows.state.windows import Windows

__all__ = ["OrderCancellations", "OrderRefunds", "Orders", "orders_of"]


class Orders(Family):
    """Orders, and the users who place them."""

    LAYOUT: ClassVar[int] = 2
    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"orders": {"currency": "EUR", "lapse_after": "20m"}, "economics": {"margin": 0.5}},
        {
            "orders": {"amount": "total", "dedup": "10m", "lapse_after": "2h", "events": {"Bought": "completed"}},
            "breakdowns": {
                "platform": {"field": "context.device.type", "values": ["ios"], "of": ["orders", "active_users"]},
                "plan": {"field": "properties.plan", "values": ["pro"], "of": ["orders"]},
            },
            "windows": ["1m", "1h", "24h"],
            "ratio_windows": ["1h"],
        },
        {
            "orders": {"dedup": "10m", "lapse_after": "2h"},
            "sessions": {"timeout": "5m"},
            "lateness": "1m",
            "presence": {"except": ["Order Refunded", "Order Cancelled"]},
            "breakdowns": {
                "channel": {"computed": "traffic", "scope": "session", "of": ["orders", "visitors"]},
                "first": {"field": "properties.plan", "values": ["pro"], "scope": "first", "of": ["orders"]},
            },
            "windows": ["1h", "24h"],
            "ratio_windows": ["1h"],
        },
    )
    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = FRAMEWORKS
    ordered: ClassVar[bool] = True
    broken_down_as: ClassVar[str] = "orders"
    alerts = staticmethod(alerts_of)

    def __init__(self, config: Config, book: MinuteBook) -> None:
        assert config.orders is not None
        self._config = config
        self._section = config.orders
        self._groups = Groups(config, self.broken_down_as)
        self.takes = order_fact(self._section)
        self._book = book
        self._day = book.days.columns("orders", "orders", "revenue")
        self.counted = Remembered()
        self.lapses_at = Deadlines()
        self.ordered_at = Pairs(self._groups)
        self.windows = Windows(config.windows, self._groups, FIELDS)
        self.since_start = Counters(self._groups, FIELDS)
        self.lapsed = Windows(config.windows, LAPSES)
        self.active = Counters(1)

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        self.counted.reserve(len(rows), self._section.dedup)
        self.ordered_at.reserve(len(rows) * len(self._groups.split.base))
        ledger = Ledger(
            self.counted.ids,
            self.lapses_at.times,
            self.ordered_at.latest,
            self.windows.ring,
            self.since_start.values.reshape(-1),
            self.lapsed.ring,
            self.active.values,
            self._book.days.calendar,
            self._day,
        )
        use_orders(rows, now_ms, self._section.dedup, self._section.lapse_after, ledger, self._groups.split)

    def forget(self, slots: NDArray[Any]) -> None:
        self.active.values[0] -= np.count_nonzero(self.lapses_at.times.at[slots] < NEVER)

    def rebuild(self, users: int, now_ms: int) -> None:
        """Book in the windows that are new who bought last when, and the lapses that can yet be taken back."""
        _, groups, times = self.ordered_at.since(NO_TIME + 1)
        self.windows.book(self.windows.begin(now_ms), times, groups * FIELDS + BUYERS)
        at = self.lapses_at.times.at[:users]
        lapses = at[at >= PASSED] - PASSED
        self.lapsed.book(self.lapsed.begin(now_ms), lapses, np.full(len(lapses), LAPSED))

    def read(self) -> NDArray[np.int64]:
        return np.concatenate(
            [
                self.since_start.values[0, FIRST : FIRST + 1],
                self.active.values,
                self.windows.totals.ravel(),
                self.since_start.values.ravel(),
                self.lapsed.totals.ravel(),
            ]
        )

    def blocks(self) -> list[Block]:
        return [
            Block(counts(self._section, "orders.customers", "orders.customers_active")),
            Block(counts(self._section, *ORDERS), [*self._config.windows, SINCE_START], self._groups.labels),
            Block([*counts(self._section, "orders.lapsed"), Count(None, "orders.resumed")], self._config.windows),
        ]

    def trail(self, cell: Cell) -> Trail | None:
        """Windows that are new are filled at once with buyers, who are all known; the rest begins."""
        if cell.stem == ORDERS[BUYERS] and isinstance(cell.window, int):
            return trailing(cell.window, None)
        return super().trail(cell)

    def definition(self) -> Definition:
        return Definition(
            {"currency": self._section.currency, "lapse_after": format_duration(self._section.lapse_after)}
        )

    def formulas(self) -> list[Formula]:
        return [*formulas_of(self._section), *economics.of_orders(self._config)]

    def headlines(self) -> list[Number]:
        return HEADLINES

    def charts(self) -> list[ChartRow]:
        return [CHARTS]


def orders_of(config: Config, book: MinuteBook) -> dict[str, Family]:
    """The families of a config that measures orders, by the names under which their state is kept."""
    assert config.orders is not None
    return {
        "orders": Orders(config, book),
        **({"order_refunds": OrderRefunds(config)} if config.orders.has("refunded") else {}),
        **({"order_cancellations": OrderCancellations(config)} if config.orders.has("cancelled") else {}),
    }
