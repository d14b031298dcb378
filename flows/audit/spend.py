"""METRICS.md 5.9: spending, from the newest record of each id; what a customer costs and is worth, from other cells.

What is read, in this order: `spend_id` (needed), `amount` (needed), `currency` (needed), `category` (needed),
`channel`, `period_start` and `period_end` (needed); then whether the amount is too large. The first that is wrong gives
the reason. Null counts as missing. Decisions where the page leaves room:

* A period has at most 3660 days, and ends at most 400 days after the record; one that ends later is not used, which is
  counted.
* A record is forgotten when another one of its id is used more than `remember` after its own time: what it booked
  stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flows.audit.cells import Cells, long_windows, put_ratio
from flows.audit.clock import Turn, pane
from flows.audit.fields import RefusedError, cached_slug, label
from flows.audit.orders import counted_once
from flows.audit.properties import id_of, money_of, needed, refuse_lone_surrogates, text_of, time_of
from flows.audit.retention import local_date
from flows.config.model import Config

CATEGORIES = ("marketing", "sales", "other")
LARGEST = 10**15  # minor units; is one too many
LONGEST_DAYS = 3660
AHEAD_DAYS = 400
DAY_MS = 86_400_000
MONTH_MS = 30 * DAY_MS


@dataclass(frozen=True, slots=True)
class Spent:
    """What one event records."""

    key: str  # the spend_id
    amount: int  # minor units
    category: str
    channel: str
    first: date
    days: int

    def share(self, day: date) -> int:
        """METRICS.md 5.9: "day i gets floor(A(i+1)/d) - floor(A i/d)"."""
        i = (day - self.first).days
        if not 0 <= i < self.days:
            return 0
        return self.amount * (i + 1) // self.days - self.amount * i // self.days


def spent_of(properties: dict[str, Any], name: str, user: str, ts: int, config: Config) -> Spent | None:
    """The record that a `track` event of this name carries; None: it carries none. Raises RefusedError."""
    if config.spend is None or name not in map(cached_slug, config.spend.events):
        return None
    spend = needed("spend_id", id_of(properties, "spend_id"))
    major = needed("amount", money_of(properties, "amount"))
    if needed("currency", text_of(properties, "currency")).upper() != config.spend_currency:
        raise RefusedError("unsupported_currency", "$.properties.currency")
    category = needed("category", text_of(properties, "category")).lower()
    if category not in CATEGORIES:
        raise RefusedError("bad_property", "$.properties.category")
    channel = label(properties.get("channel"), tuple(config.spend_channels()[:-2]))
    zone = ZoneInfo(config.time_zone)
    first = day_of(properties, "period_start", zone, ends=False)
    days = (day_of(properties, "period_end", zone, ends=True) - first).days
    if not 1 <= days <= LONGEST_DAYS:
        raise RefusedError("bad_property", "$.properties.period_end: no days, or too many")
    amount = round(major * 10**config.spend_decimals)
    if amount >= LARGEST:
        raise RefusedError("bad_property", "$.properties.amount: too much to be kept")
    refuse_lone_surrogates(properties.get("channel"), spend)
    return Spent(spend, amount, category, channel, first, days)


def day_of(properties: dict[str, Any], field: str, zone: ZoneInfo, *, ends: bool) -> date:
    """METRICS.md 5.9: "Periods are RFC 3339 times or local dates"; "the local days from that of period_start to that
    before period_end (a period_end inside a day takes that day in)".
    """
    written = needed(field, properties.get(field))
    if isinstance(written, str) and re.fullmatch(r"20\d\d-\d\d-\d\d", written, re.ASCII):
        try:
            return date.fromisoformat(written)
        except ValueError:
            raise RefusedError("bad_property", f"$.properties.{field}: no such date") from None
    time = needed(field, time_of(properties, field))
    day = local_date(time, zone)
    inside = local_date(time - 1, zone) == day
    return day + timedelta(days=ends and inside)


def newest_records(turns: Sequence[Turn], config: Config, watermark_ms: int) -> tuple[list[Spent], int]:
    """What counts, and how many records are of days too far ahead.

    METRICS.md 5.9: "a later record of the same `spend_id` (by event time, partition, offset) replaces the earlier";
    "applies when read, as states of 3.6".
    """
    assert config.spend is not None
    zone = ZoneInfo(config.time_zone)
    used = sorted(
        (turn for turn in turns if turn.used < watermark_ms),
        key=lambda turn: (turn.used, turn.event.partition, turn.event.offset),
    )
    forgotten: list[Spent] = []
    newest: dict[str, Turn] = {}
    ahead = 0
    for turn in used:
        spent = turn.told
        assert isinstance(spent, Spent)
        last_day = spent.first + timedelta(days=spent.days - 1)
        if last_day > local_date(turn.event.ts, zone) + timedelta(days=AHEAD_DAYS):
            ahead += 1
            continue
        before = newest.get(spent.key)
        if before is not None and turn.used - before.event.ts > config.spend.remember:
            assert isinstance(before.told, Spent)
            forgotten.append(before.told)
            before = None
        if before is None or issued(turn) > issued(before):
            newest[spent.key] = turn
    return [*forgotten, *(turn.told for turn in newest.values() if isinstance(turn.told, Spent))], ahead


def issued(turn: Turn) -> tuple[int, int, int]:
    """Last writer wins by this."""
    return turn.event.ts, turn.event.partition, turn.event.offset


def spend_cells(turns: Sequence[Turn], config: Config, watermark_ms: int) -> Cells:
    """`spend.<l>`, `spend.<category>.<l>`, `spend.<l>{channel=...}`, and what was not used."""
    if config.spend is None:
        return {}
    records, ahead = newest_records(turns, config, watermark_ms)
    cells: Cells = {"spend.refused": 0, "spend.too_far_ahead": ahead}
    for at, window in long_windows(config):
        days = last_dates(window, config, watermark_ms)
        cells[f"spend.{at}"] = spent_on(days, records)
        for category in CATEGORIES:
            cells[f"spend.{category}.{at}"] = spent_on(days, of_categories(records, category))
        for channel in config.spend_channels():
            cells[f"spend.{at}{{channel={channel}}}"] = spent_on(days, of_channel(records, channel))
    return cells


def last_dates(window_ms: int, config: Config, watermark_ms: int) -> list[date]:
    """METRICS.md 5.9: "A day counts in a window when it is one of the last l/24h local dates, that of W included"."""
    today = local_date(watermark_ms, ZoneInfo(config.time_zone))
    return [today - timedelta(days=ago) for ago in range(window_ms // DAY_MS)]


def spent_on(days: Sequence[date], records: Sequence[Spent]) -> int:
    """What the records come to on these days."""
    return sum(record.share(day) for record in records for day in days)


def of_categories(records: Sequence[Spent], *categories: str) -> list[Spent]:
    """The records of these categories."""
    return [record for record in records if record.category in categories]


def of_channel(records: Sequence[Spent], channel: str) -> list[Spent]:
    """The records of a channel."""
    return [record for record in records if record.channel == channel]


def put_economics(cells: Cells, turns: Mapping[str, Sequence[Turn]], config: Config, watermark_ms: int) -> None:
    """What a customer costs and is worth; `cells` has all that is counted, and rates of customers."""
    if config.subscriptions is not None and "active_users.30d" in cells:
        put_ratio(cells, "arpu.subscription", int(cells["mrr"]), int(cells["active_users.30d"]))
    if config.economics is None and config.spend is None:
        return
    if "customer_churn_rate.30d" in cells and "arpa" in cells and cells["customer_churn_rate.30d"]:
        cells["ltv.subscription"] = cells["arpa"] * margin_of(config) / cells["customer_churn_rate.30d"]
    put_ltv_of_orders(cells, turns.get("order", ()), config, watermark_ms)
    if config.spend is not None:
        put_costs(cells, turns.get("spend_record", ()), config, watermark_ms)


def margin_of(config: Config) -> float:
    """METRICS.md 5.9: "margin 1 unless set"."""
    return 1.0 if config.economics is None else config.economics.margin


def put_ltv_of_orders(cells: Cells, turns: Sequence[Turn], config: Config, watermark_ms: int) -> None:
    """METRICS.md 5.9: "`ltv.orders` = average_order_value.30d x (completed.30d / customers_active) x margin x lifespan
    in 30 d (default: customers_active at the window's start / orders.lapsed.30d); `ltv.observed` = (revenue -
    refund_amount).total / orders.customers".
    """
    if config.orders is None:
        return
    if "orders.refund_amount.total" in cells:
        brought = int(cells["orders.revenue.total"]) - int(cells["orders.refund_amount.total"])
        put_ratio(cells, "ltv.observed", brought, int(cells["orders.customers"]))
    if "average_order_value.30d" not in cells or not cells["orders.customers_active"]:
        return
    if config.economics is not None and config.economics.lifespan is not None:
        months = config.economics.lifespan / MONTH_MS
    elif cells["orders.lapsed.30d"]:
        months = active_before_the_month(turns, config, watermark_ms) / cells["orders.lapsed.30d"]
    else:
        return
    if months > 0:
        orders_a_month = cells["orders.completed.30d"] / cells["orders.customers_active"]
        cells["ltv.orders"] = cells["average_order_value.30d"] * orders_a_month * margin_of(config) * months


def active_before_the_month(turns: Sequence[Turn], config: Config, watermark_ms: int) -> int:
    """Customers who had not lapsed when the 30 days that the windows of orders hold began."""
    assert config.orders is not None
    begins = (pane(watermark_ms, MONTH_MS) - 59) * MONTH_MS // 60
    latest: dict[str, int] = {}
    for order in counted_once(turns, config.orders.dedup, watermark_ms):
        if order.event.ts < begins:
            latest[order.event.user] = order.event.ts
    return sum(ts + config.orders.lapse_after >= begins for ts in latest.values())


def put_costs(cells: Cells, turns: Sequence[Turn], config: Config, watermark_ms: int) -> None:
    """METRICS.md 5.9: "`cac.<l>` = (marketing + sales) / new customers; `cpa.<goal>.<l>` = marketing / goal first;
    `cac.<l>{channel=...}` where new customers have that breakdown"; "`ltv_cac_ratio.<kind>` = ltv / cac.30d;
    `cac_payback_months` = cac.30d / (arpa x margin); `revenue_less_spend.<l>` = orders' net revenue - spend".
    """
    records, _ = newest_records(turns, config, watermark_ms)
    new = {"subscriptions": "customers.new", "orders": "orders.first", None: None}[config.new_customers]
    for at, window in long_windows(config):
        days = last_dates(window, config, watermark_ms)
        for goal in config.goals:
            put_ratio(
                cells, f"cpa.{goal}.{at}", int(cells[f"spend.marketing.{at}"]), int(cells[f"goal.{goal}.first.{at}"])
            )
        acquisition = of_categories(records, "marketing", "sales")
        if new is not None:
            put_ratio(cells, f"cac.{at}", spent_on(days, acquisition), int(cells[f"{new}.{at}"]))
        for channel in config.spend_channels():
            of = f"{at}{{channel={channel}}}"
            if f"{new}.{of}" in cells:
                put_ratio(
                    cells, f"cac.{of}", spent_on(days, of_channel(acquisition, channel)), int(cells[f"{new}.{of}"])
                )
            if f"net_revenue.{of}" in cells:
                cells[f"revenue_less_spend.{of}"] = cells[f"net_revenue.{of}"] - cells[f"spend.{of}"]
        if f"net_revenue.{at}" in cells:
            cells[f"revenue_less_spend.{at}"] = cells[f"net_revenue.{at}"] - cells[f"spend.{at}"]
    if "cac.30d" in cells:
        for kind in ("subscription", "orders", "observed"):
            if f"ltv.{kind}" in cells and cells["cac.30d"]:
                cells[f"ltv_cac_ratio.{kind}"] = cells[f"ltv.{kind}"] / cells["cac.30d"]
        if cells.get("arpa"):
            cells["cac_payback_months"] = cells["cac.30d"] / (cells["arpa"] * margin_of(config))
