"""A product's life in steps of five minutes, as the series that Tidegauge would show of it, for `promtool test rules`.

conditions by step        what visitors and customers do: traffic, share engaged, conversion, cancellations, ...
   |  Poisson counts, seeded
activity by step          visits, orders, cancellations, ... of one step
   |  windows, as METRICS.md has them; outcomes.py has those of what comes of visits
cells by step             sessions begun 5 to 15 minutes ago, orders of the last hour, ...
   |  process by step     running, down, catching up: it shows the cells of the time it stands at
series                    one value a step, _ where there is none
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from tests.deploy.alerts.conditions import DAY, HOUR, STEP_S, Conditions, at, window
from tests.deploy.alerts.outcomes import Outcomes

TARGET = 'job="tidegauge", instance="tidegauge:9108"'
FUNNELS = ("checkout", "purchase")
PRICE = 20.0

Change = Callable[[Conditions], Conditions]


@dataclass
class Timeline:
    """`steps` steps of a product, with changes from one time to another; `surge` multiplies all that visitors do."""

    steps: int
    usual: Conditions = field(default_factory=Conditions)
    seed: int = 1
    product: str = "shop"
    subscribers: int = 2000
    changes: list[tuple[int, int, Change]] = field(default_factory=list)

    def change(self, begin: str, end: str, change: Change) -> Timeline:
        """Let `change` hold from `begin` until before `end`."""
        self.changes.append((at(begin), at(end), change))
        return self

    def conditions(self) -> list[Conditions]:
        """One for each step: by the time of day most visits are at 20 h, and the fewest at 8 h."""
        found = []
        for step in range(self.steps):
            rhythm = 1 + 0.6 * np.cos((step % DAY / HOUR - 20) * 2 * np.pi / 24)
            now = self.usual.times(**dict.fromkeys(("visits", "orders", "sign_ups", "searches", "spend_eur"), rhythm))
            for begin, end, change in self.changes:
                if begin <= step < end:
                    now = change(now)
            found.append(now)
        return found

    def series(self) -> dict[str, list[float | None]]:
        """Every series that the rules look at, by its selector."""
        conditions = self.conditions()
        cells = _cells(conditions, self.seed, self.subscribers)
        stands = _stands_at(conditions)
        shown: dict[str, list[float | None]] = {
            _series(name, self.product): [None if place is None else float(values[place]) for place in stands]
            for name, values in cells.items()
        }
        return shown | _health(conditions, stands, self.seed, self.product)


def _cells(conditions: list[Conditions], seed: int, subscribers: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)

    def counts(name: str) -> np.ndarray:
        rates = [0.0 if now.silent else getattr(now, name) for now in conditions]
        return random.poisson(rates).astype(float)

    def of(parts: np.ndarray, share: str) -> np.ndarray:
        return random.binomial(parts.astype(int), [getattr(now, share) for now in conditions]).astype(float)

    visits, orders, sign_ups = counts("visits"), counts("orders"), counts("sign_ups")
    left, asked, lost, won = counts("left"), counts("asked"), counts("lost"), counts("won")
    engaged = of(visits, "engaged")
    stayed_s = engaged * np.array([now.stay_s for now in conditions])
    cells: dict[str, np.ndarray] = {
        "sessions_settling{}": window(visits, 2, delay=1),  # begun 5 to 15 minutes ago
        "sessions_settling_engaged{}": window(engaged, 2, delay=1),
        'active_users{window="5m"}': window(visits, 1) * 1.1,
        'window_events{event="order_completed", window="1h"}': window(orders, HOUR),
        'window_events{event="signed_up", window="1h"}': window(sign_ups, HOUR),
        'window_customers{movement="churned", window="1h"}': window(left, HOUR),
        'window_customers{movement="churned_inside", window="1h"}': np.zeros(len(left)),
        'window_cancellations_requested{window="1h"}': window(asked, HOUR),
        "customers_active{}": subscribers + np.cumsum(counts("joined") - left),
    }
    mrr = subscribers * PRICE + np.cumsum(won - lost - left * PRICE)
    cells['mrr{currency="EUR"}'] = mrr
    cells["mrr_difference{}"] = np.zeros(len(mrr))
    for movement, amounts in {"churned": left * PRICE, "contraction": lost, "new": won}.items():
        cells[f'window_mrr_movement{{movement="{movement}", window="1h", currency="EUR"}}'] = window(amounts, HOUR)
    for funnel in FUNNELS:
        entered = np.round(visits * 0.5)
        n = window(entered, HOUR)
        ratio = window(of(entered, "conversion"), HOUR) / np.maximum(n, 1)
        labels = f'funnel="{funnel}"'
        cells[f'funnel_attempts{{{labels}, step="01_product_viewed", window="1h"}}'] = n
        cells[f'funnel_conversion_ratio{{{labels}, kind="live"}}'] = ratio
        cells[f"funnel_conversion_standard_error{{{labels}}}"] = np.sqrt(ratio * (1 - ratio) / np.maximum(n, 1))
    closed = window(visits, HOUR, delay=6)  # a session closes half an hour after its last event
    cells['window_sessions{state="closed", window="1h"}'] = closed
    cells['window_sessions{state="bounced", window="1h"}'] = closed - window(engaged, HOUR, delay=6)
    mean = window(stayed_s, HOUR, delay=6) / np.maximum(closed, 1)
    cells['session_duration_mean_seconds{window="1h"}'] = mean
    # Each user signs up once; every tenth order is a user's second one; a user searches three times.
    uses = {"goal=signup": sign_ups, "goal=purchase": np.floor(orders * 0.9), "feature=search": counts("searches") // 3}
    for name, users in uses.items():
        kind, _, value = name.partition("=")
        cells[f'{kind}_users{{{kind}="{value}", window="1h"}}'] = window(users, HOUR)
    return cells | Outcomes(conditions, sign_ups, orders, seed).cells()


def _series(name: str, product: str) -> str:
    family, _, labels = name.partition("{")
    inside = labels.rstrip("}")
    return f'tidegauge_{family}{{product="{product}", {TARGET}{", " + inside if inside else ""}}}'


def _stands_at(conditions: list[Conditions]) -> list[int | None]:
    """For each step the one whose cells are shown; None: the process is down."""
    found: list[int | None] = []
    place = 0
    for step, now in enumerate(conditions):
        if now.state == "down":
            found.append(None)
            continue
        speed = {"running": step + 1, "stuck": 0, "behind": step % 2, "catching up": 4}[now.state]
        place = min(step, place + speed)
        found.append(place)
    return found


def _health(
    conditions: list[Conditions], stands: list[int | None], seed: int, product: str
) -> dict[str, list[float | None]]:
    """What the process tells of itself. Its counters begin anew after it was down."""
    random = np.random.default_rng(seed)
    columns: dict[str, list[float | None]] = {}
    counters = dict.fromkeys(COUNTERS, 0.0)
    dropped = 0.0
    published, saved, before, hung = 0.0, 0.0, 0, 0
    for step, (now, place) in enumerate(zip(conditions, stands, strict=True)):
        row: dict[str, float | None] = dict.fromkeys(HEALTH)
        if place is None:
            counters = dict.fromkeys(counters, 0.0)
            dropped = 0.0
        else:
            read = sum(0 if conditions[s].silent else 8 * conditions[s].visits for s in range(before + 1, place + 1))
            before = max(before, place)
            news = {
                "consumed": float(round(read)),
                "accepted": float(round(read)),
                "late_out_of_order": float(random.poisson(read * now.late)),
                "duplicate": float(random.poisson(read * now.duplicates)),
                "rejected": float(random.poisson(read * now.rejected)),
            }
            counters = {name: count + news[name] for name, count in counters.items()}
            dropped += now.dropped
            published = step * STEP_S if now.publishing else published
            saved = step * STEP_S if now.saving else saved
            hung = hung + 1 if now.hangs else 0
            row = {
                "build_info": 1.0,
                "watermark_timestamp_seconds": place * STEP_S - 10.0,
                "caught_up": float(now.state not in ("catching up", "behind")),
                "consumer_lag_messages": now.lag_messages or (0.0 if place == step else 1000.0),
                "open_transaction_seconds": hung * STEP_S if now.hangs else None,
                "accounting_difference": now.difference,
                "last_publish_timestamp_seconds": published,
                "redis_reachable": float(now.publishing),
                "checkpoint_timestamp_seconds": saved,
                "dead_letters_oldest_seconds": now.letters_s,
                "dead_letters_dropped_total": dropped,
                **{f"events_{name}_total": count for name, count in counters.items()},
            }
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    labels = {
        "build_info": f'{{product="{product}", {TARGET}}}',
        "events_rejected_total": f'{{reason="bad_id", {TARGET}}}',
    }
    return {f"tidegauge_{name}{labels.get(name, f'{{{TARGET}}}')}": values for name, values in columns.items()}


COUNTERS = ("consumed", "accepted", "late_out_of_order", "duplicate", "rejected")
HEALTH = (
    "build_info", "watermark_timestamp_seconds", "caught_up", "consumer_lag_messages", "accounting_difference",
    "open_transaction_seconds",
    "last_publish_timestamp_seconds", "redis_reachable", "checkpoint_timestamp_seconds",
    "dead_letters_oldest_seconds", "dead_letters_dropped_total",
    *(f"events_{name}_total" for name in COUNTERS),
)  # fmt: skip


def notation(values: Iterable[float | None]) -> str:
    """As promtool wants it; a run of equal values is written once."""
    written: list[str] = []
    run: tuple[str, int] | None = None
    for value in values:
        text = "_" if value is None else f"{value:.10g}"
        if run is not None and run[0] == text:
            run = (text, run[1] + 1)
            continue
        written += _run(run)
        run = (text, 0)
    return " ".join([*written, *_run(run)])


def _run(run: tuple[str, int] | None) -> list[str]:
    if run is None:
        return []
    text, more = run
    if not more:
        return [text]
    return [f"_x{more + 1}"] if text == "_" else [f"{text}x{more}"]
