"""The worked examples of flows/CHURN.md are what comes out."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from flows.audit import Record
from flows.config.model import Config
from flows.metrics.subscriptions.terms import Terms
from tests.engine import replay
from tests.states import State, read_state
from tests.test_architecture import ROOT

PAGE = (ROOT / "flows" / "CHURN.md").read_text(encoding="utf-8")
CONFIG = Config.model_validate({"subscriptions": {"currency": "EUR", "plans": ["basic", "pro"]}})
NOW = 1_772_442_000_000
DAY = 86_400_000


def state(customer: str, number: int, at_ms: int, amount: str, plan: str, status: str = "active") -> Record:
    properties = {"subscription_id": f"{customer} {number}", "customer_id": customer, "status": status}
    properties |= {"amount": amount, "plan": plan, "interval": "month", "currency": "EUR"}
    event = {"type": "track", "event": "Subscription Changed", "userId": "billing", "timestamp": at_ms}
    return Record(json.dumps(event | {"properties": properties}).encode(), 0, at_ms)


def test_the_day_told_in_numbers_is_what_comes_out() -> None:
    before, hour = NOW - 3 * DAY, 3_600_000
    records = [
        state("eve", 1, before - 90 * DAY, "35.00", "basic"),
        state("eve", 1, before - 60 * DAY, "35.00", "basic", "cancelled"),
        state("ana", 1, before, "20.00", "basic"),
        state("ben", 1, before + 1, "50.00", "basic"),
        state("cem", 1, before + 2, "60.00", "pro"),
        state("cem", 2, before + 3, "40.00", "pro"),
        state("ana", 1, NOW - 5 * hour, "20.00", "basic", "cancelled"),
        state("cem", 2, NOW - 4 * hour, "40.00", "pro", "cancelled"),
        state("ben", 1, NOW - 3 * hour, "80.00", "pro"),
        state("dia", 1, NOW - 2 * hour, "30.00", "basic"),
        state("eve", 1, NOW - 1 * hour, "20.00", "pro"),
    ]
    snapshot, _ = replay(records, CONFIG, as_of_ms=NOW)
    table = re.findall(r"(?m)^\| `([a-z_.0-9{}=]+)` \| [^|]+ \| ([0-9.]+) \|$", PAGE)
    assert len(table) == 13
    for cell, value in table:
        assert snapshot.cells[cell] == pytest.approx(float(value), abs=0.00005), cell
    told = re.findall(r"(?m)^\| [^|]+ \| (\w+): [^|]+ \| ([0-9]+) \|$", PAGE)
    assert {cell: str(snapshot.cells[f"mrr.{cell}.24h"]) for cell, _ in told} == dict(told)
    assert len(told) == 5


PRICES: list[tuple[str, dict[str, Any]]] = [
    ("19.99 a month", {"amount": "19.99"}),
    ("12 seats of 5.00 a month, 10.00 off", {"amount": "5.00", "quantity": 12, "discount": "10.00"}),
    ("99.00 a year", {"amount": "99.00", "interval": "year"}),
    ("10.00 a week", {"amount": "10.00", "interval": "week"}),
    ("1.00 a day", {"amount": "1.00", "interval": "day"}),
    ("25.00 every 3 months", {"amount": "25.00", "interval_count": 3}),
]


@pytest.mark.parametrize(("words", "price"), PRICES)
def test_the_prices_of_the_page_come_to_what_it_says(words: str, price: dict[str, Any]) -> None:
    (row,) = re.findall(rf"(?m)^\| {re.escape(words)} \| (?:.*[ =])?([0-9]+) \|$", PAGE)
    properties = {"subscription_id": "s", "status": "active", "interval": "month", "currency": "EUR"} | price
    outcome = read_state(json.dumps({"properties": properties}).encode(), NOW, None, Terms("EUR", 2, {}))
    assert isinstance(outcome, State)
    assert outcome.mrr == int(row)
