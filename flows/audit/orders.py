"""METRICS.md 5.8: orders, refunds and cancellations, told user by user.

What is read, in this order: `order_id` (needed), `refund_id`, the amount (needed, but of a cancellation), `currency`.
The first that is wrong gives the reason. Null counts as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from flows.audit.cells import Cells, groups, put_ratio, windows
from flows.audit.clock import Turn, in_their_places, ordered_window_holds
from flows.audit.fields import RefusedError, cached_slug
from flows.audit.properties import id_of, money_of, needed, refuse_lone_surrogates, text_of
from flows.audit.records import Event
from flows.config.model import Config

LARGEST = 10**15  # minor units; is one too many
OTHER_AMOUNT = {"revenue": "total", "total": "revenue"}


@dataclass(frozen=True, slots=True)
class Order:
    """What one event tells of an order."""

    key: str  # the user
    id: str | None  # counts once; None: it always counts
    amount: int = 0  # minor units


def order_of(properties: dict[str, Any], name: str, user: str, ts: int, config: Config) -> Order | None:
    """`Order Completed {order_id, revenue, total, currency}`."""
    if not stands_for(name, "completed", config):
        return None
    assert config.orders is not None
    order = needed("order_id", id_of(properties, "order_id"))
    field = config.orders.amount
    amount = money_of(properties, field)
    if amount is None:
        amount = money_of(properties, OTHER_AMOUNT[field])
    return Order(user, order, read_amount(properties, field, amount, order, config))


def order_refund_of(properties: dict[str, Any], name: str, user: str, ts: int, config: Config) -> Order | None:
    """`Order Refunded {order_id, refund_id?, total}`."""
    if not stands_for(name, "refunded", config):
        return None
    order = needed("order_id", id_of(properties, "order_id"))
    refund = id_of(properties, "refund_id")
    total = money_of(properties, "total")
    total = money_of(properties, "revenue") if total is None else total
    amount = read_amount(properties, "total", total, order, config)
    refuse_lone_surrogates(refund)
    return Order(user, refund, amount)


def order_cancellation_of(properties: dict[str, Any], name: str, user: str, ts: int, config: Config) -> Order | None:
    """`Order Cancelled {order_id}`."""
    if not stands_for(name, "cancelled", config):
        return None
    order = needed("order_id", id_of(properties, "order_id"))
    refuse_lone_surrogates(order)
    return Order(user, order)


def stands_for(name: str, what: str, config: Config) -> bool:
    """Whether the config has events of that name tell of that."""
    events = {} if config.orders is None else config.orders.events
    return any(cached_slug(event) == name and becomes == what for event, becomes in events.items())


def read_amount(properties: dict[str, Any], field: str, amount: Any, order: str, config: Config) -> int:
    """Minor units, half to even, once currency and ids are in order."""
    assert config.orders is not None
    major = needed(field, amount)
    currency = text_of(properties, "currency")
    if currency is not None and currency.upper() != config.orders.currency:
        raise RefusedError("unsupported_currency", "$.properties.currency")
    minor: int = round(major * 10**config.orders.decimals)
    if minor >= LARGEST:
        raise RefusedError("bad_property", f"$.properties.{field}: too much to be kept")
    refuse_lone_surrogates(order)
    return minor


@dataclass(frozen=True, slots=True)
class Counted:
    """One that is no copy."""

    event: Event
    amount: int
    is_first: bool  # of its user


def counted_once(turns: Sequence[Turn], dedup_ms: int, watermark_ms: int) -> list[Counted]:
    """ "An `order_id` counts once within `dedup` of event time (exactly that is still a copy; a copy does not renew),
    of the same user; so does a refund's id (`refund_id`, else messageId) and a cancellation." Late ones count where
    they are in order for their user.
    """
    counted: list[Counted] = []
    last: dict[tuple[str, str], int] = {}
    users: set[str] = set()
    in_order = sorted(
        (turn for turn in in_their_places(turns) if turn.used < watermark_ms),
        key=lambda turn: (turn.event.ts, turn.late, turn.event.partition, turn.event.offset),
    )
    for turn in in_order:
        event, told = turn.event, turn.told
        assert isinstance(told, Order)
        name = told.id or event.message
        if name is not None:
            # A refund's id and a messageId are never the same thing.
            before = last.get((event.user, f"{told.id is None} {name}"))
            if before is not None and event.ts - before <= dedup_ms:
                continue
            last[event.user, f"{told.id is None} {name}"] = event.ts
        counted.append(Counted(event, told.amount, event.user not in users))
        users.add(event.user)
    return counted


def order_cells(turns: Sequence[Turn], config: Config, watermark_ms: int) -> Cells:
    """`orders.completed`, `revenue`, `first`, `repeat`, `buyers` by window and in total; customers, and who lapsed."""
    if config.orders is None:
        return {}
    orders = counted_once(turns, config.orders.dedup, watermark_ms)
    cells: Cells = {}
    for suffix, chosen in groups(orders, lambda order: order.event.values, config, "orders"):
        for at, held in by_period(config, watermark_ms):
            inside = [order for order in chosen if held(order.event.ts)]
            cells[f"orders.completed.{at}{suffix}"] = len(inside)
            cells[f"orders.revenue.{at}{suffix}"] = sum(order.amount for order in inside)
            cells[f"orders.first.{at}{suffix}"] = sum(order.is_first for order in inside)
            cells[f"orders.repeat.{at}{suffix}"] = sum(not order.is_first for order in inside)
            cells[f"orders.buyers.{at}{suffix}"] = len({order.event.user for order in inside})
    return cells | customer_cells(orders, config.orders.lapse_after, config, watermark_ms)


def customer_cells(orders: list[Counted], lapse_after: int, config: Config, watermark_ms: int) -> Cells:
    """`orders.customers` (ever), those whose latest order is at most `lapse_after` ago, and `orders.lapsed`."""
    times: dict[str, list[int]] = {}
    for order in orders:
        times.setdefault(order.event.user, []).append(order.event.ts)
    lapses = [
        one + lapse_after
        for ordered in times.values()
        for one, following in pairwise([*ordered, watermark_ms])
        if following > one + lapse_after
    ]
    cells: Cells = {
        "orders.customers": len(times),
        "orders.customers_active": sum(watermark_ms - ordered[-1] <= lapse_after for ordered in times.values()),
    }
    for at, window in windows(config):
        cells[f"orders.lapsed.{at}"] = sum(ordered_window_holds(time, window, watermark_ms) for time in lapses)
    return cells


def order_refund_cells(turns: Sequence[Turn], config: Config, watermark_ms: int) -> Cells:
    """`orders.refunded` and `orders.refund_amount`."""
    if config.orders is None or not config.orders.has("refunded"):
        return {}
    return return_cells(turns, config, watermark_ms, "orders.refunded", "orders.refund_amount")


def order_cancellation_cells(turns: Sequence[Turn], config: Config, watermark_ms: int) -> Cells:
    """`orders.cancelled`."""
    if config.orders is None or not config.orders.has("cancelled"):
        return {}
    return return_cells(turns, config, watermark_ms, "orders.cancelled", None)


def return_cells(turns: Sequence[Turn], config: Config, watermark_ms: int, count: str, amount: str | None) -> Cells:
    """How many, and how much, by window and in total."""
    assert config.orders is not None
    returns = counted_once(turns, config.orders.dedup, watermark_ms)
    cells: Cells = {}
    for suffix, chosen in groups(returns, lambda one: one.event.values, config, "orders"):
        for at, held in by_period(config, watermark_ms):
            inside = [one for one in chosen if held(one.event.ts)]
            cells[f"{count}.{at}{suffix}"] = len(inside)
            if amount is not None:
                cells[f"{amount}.{at}{suffix}"] = sum(one.amount for one in inside)
    return cells


def by_period(config: Config, watermark_ms: int) -> list[tuple[str, Callable[[int], bool]]]:
    """Every window, and the time since the beginning: its name, and whether it holds a time that has passed."""

    def holds(window: int) -> Callable[[int], bool]:
        return lambda ts: ordered_window_holds(ts, window, watermark_ms)

    return [*((name, holds(window)) for name, window in windows(config)), ("total", lambda ts: True)]


RATIOS = {
    "average_order_value": ("orders.revenue", "orders.completed"),
    "purchase_frequency": ("orders.completed", "orders.buyers"),
    "arpu.orders": ("orders.revenue", "active_users"),
    "arppu": ("orders.revenue", "orders.buyers"),
    "refund_rate": ("orders.refunded", "orders.completed"),
    "buyer_rate": ("orders.buyers", "visitors"),
    "repeat_share": ("orders.repeat", "orders.completed"),
}


def put_order_ratios(cells: Cells) -> None:
    """METRICS.md 5: "a derived cell exists for every window and every breakdown value that all its operands have"."""
    for place in [name.removeprefix("orders.completed.") for name in cells if name.startswith("orders.completed.")]:
        for name, (above, below) in RATIOS.items():
            if f"{above}.{place}" in cells and f"{below}.{place}" in cells:
                put_ratio(cells, f"{name}.{place}", int(cells[f"{above}.{place}"]), int(cells[f"{below}.{place}"]))
        if f"orders.refund_amount.{place}" in cells:
            cells[f"net_revenue.{place}"] = cells[f"orders.revenue.{place}"] - cells[f"orders.refund_amount.{place}"]
