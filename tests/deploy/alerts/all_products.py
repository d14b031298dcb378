"""The alerts' whole way, with real processes: something befalls a product, and a webhook is told, and told the end.

Each product is a `tidegauge demo` of its own; one Prometheus scrapes them all, and one Alertmanager tells. They live
`SPEED` times as fast as time, but for the one with the outage: while nothing comes in, a job's clock goes with the real
time. Nothing here depends on how long anything takes: trouble begins once there is a past to compare with, and ends
once it was told. Trouble that lasts becomes the past, and can be told no more: a machine that was too busy to see it in
time sees it again.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from deploy.alertmanager.stack import FAST, Product, Stack, Unavailable
from deploy.local import wait_until
from flows.config.file import load, load_alerts
from flows.run.warm_up import warm_up
from tests.lacking import lacking
from tests.services import ROOT

SPEED = float(os.environ.get("ALERTS_SPEED", "30"))
"""How fast the products live. The faster, the less a busy machine can keep up: at 30, ten seconds are five minutes."""

SECONDS = 600.0
"""Deadline of each thing waited for."""
MINUTE_S = 60.0
ATTEMPTS = 6
"""So often at most trouble begins, until it is told. The last time it is waited for as long as anything else."""

FAST_SHOP: dict[str, Any] = yaml.safe_load(FAST.read_text())
TRAILING_S = load_alerts(FAST)[1].trailing / 1000
SAME_HOUR_S = load_alerts(FAST)[1].same_hour / 1000
REAL = {
    "same_hour": "40s",
    "span": "20s",
    "trailing": "40s",
    "lasting": "5s",
    "keep_firing": "5s",
    "pipeline": {"silence": "20s"},
}

RATES = {"outage": 50.0, "churn_wave": 20.0, "traffic_surge": 3.0, "conversion_drop": 18.0}
"""Events per second of the product's own time: enough for its alerts, and no more than a busy machine can simulate."""

PAST_FROM_S = {"churn_wave": TRAILING_S, "outage": 80.0}
"""From when on trouble that lasts is the past: seconds of the product's own time; for all others twice `same_hour`."""

PAST = {"churn_wave": ("churn:trailing_mean",), "outage": ("records:recent_last_week",)}
"""What has to be known before a product's trouble begins; for all others bounce, conversion and counts."""

EXPECTED = {
    "bounce_spike": {("BounceSpike", "")},
    "conversion_drop": {("ConversionDrop", "funnel=checkout")},
    "churn_wave": {("ChurnSpike", "kind=left")},
    "traffic_surge": set(),
    "outage": {("NoData", "")},
}

ALSO = {"churn_wave": {("ChurnSpike", "kind=asked")}}
"""What may be told, too: of those who ask for their end there are hardly enough in five minutes."""


@dataclass(frozen=True)
class Told:
    """What the webhook was told of a product, and what fires in the end."""

    firing: set[tuple[str, str]]
    resolved: set[tuple[str, str]]
    left: list[float]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All products, watched."""
    try:
        stack = Stack(tmp_path_factory.mktemp("stack"), SPEED, meets_s=time.time() + 2 * SECONDS)
    except Unavailable as unavailable:
        lacking(str(unavailable))
    try:
        warm_up(load(FAST, environment={}).config)  # once here, and not five times at once
        for name in EXPECTED:
            speed = 1.0 if name == "outage" else SPEED
            config = FAST_SHOP | ({"alerts": REAL} if name == "outage" else {})
            stack.product(name, name.replace("_", "-"), config, speed, RATES.get(name, 6))
        stack.watch()
        yield stack
    finally:
        stack.close()


@pytest.fixture(scope="module")
def stories(stack: Stack) -> Iterator[dict[str, Future[Told]]]:
    """What becomes of each product; all at once, to save time."""
    with ThreadPoolExecutor(len(EXPECTED)) as pool:
        try:
            yield {name: pool.submit(live, stack, name) for name in EXPECTED}
        finally:
            stack.closing.set()  # whoever has stopped the tests need not wait for the end of all stories


def live(stack: Stack, name: str) -> Told:
    """The product's story: nothing; then its trouble, until it is told; then its end, until that is told, too."""
    product, expected = stack.products[name], EXPECTED[name]
    users = f'tidegauge:active_users:now{{product="{name}"}}'
    usual = f'tidegauge:active_users:same_hour{{product="{name}"}}'
    past = " and on (product) ".join(
        f'count by (product) (tidegauge:{number}{{product="{name}"}})'
        for number in PAST.get(name, ("bounce:ratio_last_week", "conversion:ratio_last_week", "active_users:last_week"))
    )
    if name == "churn_wave":  # a mean of one or two samples would rise with the wave
        known_s = round((TRAILING_S + 2 * MINUTE_S) / product.speed)
        past += f' and on (product) tidegauge:churn:now{{product="{name}"}} offset {known_s}s'
    if not expected:  # what is usual is the lesser of two weeks, so both have to be known
        past = f"{users} offset {round(2 * 22 * MINUTE_S / product.speed)}s"
    until(stack, product, lambda: stack.query(past) != [], "a past to compare with")
    product.switch()
    if expected:
        seconds = PAST_FROM_S.get(name, 2 * SAME_HOUR_S)
        for _ in range(ATTEMPTS):
            if told_within(stack, product, expected, seconds):
                break
            product.switch()
            passes(stack, product, seconds)
            product.switch()
        until(stack, product, lambda: stack.webhook.of(name, "firing") >= expected, f"the alerts {expected}")
    else:
        until(stack, product, lambda: stack.query(f"{users} > 2.5 * {usual}") != [], "the surge in what rules see")
        passes(stack, product, 10 * MINUTE_S)
    product.switch()
    if expected:
        until(stack, product, lambda: stack.webhook.of(name, "resolved") >= expected, f"the end of {expected}")
    else:
        # The surge has become the past that the present is compared with.
        until(stack, product, lambda: stack.query(f"{usual} > 2.5 * {users}") != [], "the surge in the past")
        passes(stack, product, 5 * MINUTE_S)
    also, fires = ALSO.get(name, set()), f'ALERTS{{product="{name}", alertstate="firing"}}'
    if also:  # it may end later than what was expected
        until(stack, product, lambda: stack.query(fires) == [], "the end of everything that was told")
    firing = stack.query(fires)
    return Told(stack.webhook.of(name, "firing") - also, stack.webhook.of(name, "resolved") - also, firing)


def until(stack: Stack, product: Product, condition: Any, what: str) -> None:
    """Wait for a condition, as long as the product runs."""

    def met() -> bool:
        product.check()
        assert not stack.closing.is_set()
        return bool(condition())

    try:
        wait_until(met, f"{what} of {product.title}", SECONDS, pause=0.5)
    except TimeoutError as late:
        raise AssertionError(f"{late}; told: {stack.webhook.notified}; {_seen(stack, product)}") from late


def _seen(stack: Stack, product: Product) -> str:
    """Whether the machine kept up: for whoever reads of a failure."""
    lost = stack.query("sum(count_over_time(up[5m]) - sum_over_time(up[5m]))")
    age = stack.query(f'tidegauge:fresh:age_seconds{{product="{product.name}"}}')
    return f"scrapes lost in five minutes: {lost}; seconds that its numbers are old: {age}"


def passes(stack: Stack, product: Product, seconds: float) -> None:
    """Wait until so much time of the product's own has passed."""
    until(stack, product, stack.passed(product, seconds), f"{seconds:.0f} s")


def told_within(stack: Stack, product: Product, expected: set[tuple[str, str]], seconds: float) -> bool:
    """Whether these alerts are told before so much time of the product's own has passed."""
    over = stack.passed(product, seconds)

    def told() -> bool:
        return stack.webhook.of(product.name, "firing") >= expected

    until(stack, product, lambda: told() or over(), f"the alerts {expected}, or {seconds:.0f} s")
    return told()


def test_a_bounce_spike_tells_of_itself_and_of_its_end(stack: Stack, stories: dict[str, Future[Told]]) -> None:
    expected = EXPECTED["bounce_spike"]
    assert stories["bounce_spike"].result() == Told(expected, expected, [])


def test_what_is_told_can_be_read_at_night(stack: Stack, stories: dict[str, Future[Told]]) -> None:
    stories["bounce_spike"].result()
    told = next(one for one in stack.webhook.notified if (one.product, one.status) == ("bounce_spike", "firing"))
    assert told.receiver == "page"
    assert re.fullmatch(r"[78]\d\.\d+% of the visitors of bounce_spike leave at once", told.annotations["summary"])
    assert re.search(r"Same hour last week: [56]\d\.\d+%; [\d.]+ standard errors\.$", told.annotations["description"])
    assert told.annotations["dashboard"] == "/d/tidegauge-live"
    assert (ROOT / told.annotations["runbook_url"]).is_file()


def test_a_broken_checkout_tells_of_itself_and_of_its_end(stories: dict[str, Future[Told]]) -> None:
    expected = EXPECTED["conversion_drop"]
    assert stories["conversion_drop"].result() == Told(expected, expected, [])


def test_a_wave_of_cancellations_tells_of_itself_and_of_its_end(stories: dict[str, Future[Told]]) -> None:
    expected = EXPECTED["churn_wave"]
    assert stories["churn_wave"].result() == Told(expected, expected, [])


def test_four_times_the_traffic_tells_nobody_neither_then_nor_later(stories: dict[str, Future[Told]]) -> None:
    assert stories["traffic_surge"].result() == Told(set(), set(), [])


def test_an_outage_tells_of_silence_and_of_its_end(stories: dict[str, Future[Told]]) -> None:
    expected = EXPECTED["outage"]
    assert stories["outage"].result() == Told(expected, expected, [])
