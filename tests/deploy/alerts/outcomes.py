"""What follows from visits, as cells by step: revenue, users who go on and come back, support, survey responses.

It has a random generator of its own, so that more of it changes nothing about the visits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tests.deploy.alerts.conditions import DAY, HOUR, Conditions, window

WEEK = 7 * DAY
Cells = Iterator[tuple[str, np.ndarray]]


class Outcomes:
    """The cells of one life, from its conditions, and from who signed up and ordered in each step."""

    def __init__(self, conditions: list[Conditions], sign_ups: np.ndarray, orders: np.ndarray, seed: int) -> None:
        self._conditions = conditions
        self._sign_ups = sign_ups
        self._orders = orders
        self._random = np.random.default_rng([seed, 1])

    def cells(self) -> dict[str, np.ndarray]:
        """By family and labels."""
        parts: list[Callable[[], Cells]] = [
            *(self._sales, self._spending, self._milestone, self._retention),
            *(self._tickets, self._nps, self._csat, self._feedback, self._target),
        ]
        return {name: values for part in parts for name, values in part()}

    def _rates(self, name: str) -> np.ndarray:
        return np.array([0.0 if now.silent else getattr(now, name) for now in self._conditions])

    def _counts(self, name: str) -> np.ndarray:
        return self._random.poisson(self._rates(name)).astype(float)

    def _of(self, parts: np.ndarray, share: str) -> np.ndarray:
        shares = [getattr(now, share) for now in self._conditions]
        return self._random.binomial(parts.astype(int), shares).astype(float)

    def _sums(self, items: np.ndarray, mean: str) -> np.ndarray:
        """The sum of that many draws from an exponential distribution."""
        return self._random.gamma(items, [getattr(now, mean) for now in self._conditions])

    def _sales(self) -> Cells:
        orders, revenue = window(self._orders, HOUR), window(self._sums(self._orders, "order_eur"), HOUR)
        yield 'orders_completed{window="1h"}', orders
        yield 'orders_revenue{window="1h"}', revenue
        yield 'average_order_value{window="1h"}', revenue / np.maximum(orders, 1)
        yield 'orders_refunded{window="1h"}', window(self._counts("refunds"), HOUR)

    def _spending(self) -> Cells:
        first = window(self._of(self._orders, "first_orders"), WEEK)
        yield 'orders_first{window="7d"}', first
        yield 'cac{window="7d"}', window(self._rates("spend_eur"), WEEK) / np.maximum(first, 1)

    def _milestone(self) -> Cells:
        """Whoever signs up reaches it at once or never, as in the funnels; how long it takes is a series of its own."""
        reached = self._of(self._sign_ups, "reach")
        started, all_ = window(self._sign_ups, DAY), window(reached, DAY)
        ratio = all_ / np.maximum(started, 1)
        name = 'milestone="first_order"'
        yield f'milestone_users{{{name}, state="started", window="24h"}}', started
        yield f'milestone_users{{{name}, state="reached", window="24h"}}', all_
        yield f'milestone_ratio{{{name}, kind="live"}}', ratio
        yield f"milestone_standard_error{{{name}}}", np.sqrt(ratio * (1 - ratio) / np.maximum(started, 1))
        times = window(self._sums(reached, "reach_s"), DAY)
        yield f'milestone_time_mean_seconds{{{name}, window="24h"}}', times / np.maximum(all_, 1)

    def _retention(self) -> Cells:
        """A user's day 1 is over two days after the start. The two days before the life were like its first."""
        before = np.resize(self._sign_ups[:DAY], 2 * DAY)
        known = np.concatenate([before, self._sign_ups])[: len(self._sign_ups)]
        for state, users in {"cohort": known, "returned": self._of(known, "returns")}.items():
            yield f'retention_users{{day="1", state="{state}", window="24h"}}', window(users, DAY)

    def _tickets(self) -> Cells:
        created, resolved = self._counts("tickets"), self._counts("resolved")
        for label, steps in {"1h": HOUR, "24h": DAY}.items():
            yield f'window_tickets{{transition="created", window="{label}"}}', window(created, steps)
        yield 'window_tickets_created_escalated{window="24h"}', window(self._of(created, "escalated"), DAY)
        timed = window(resolved, DAY)
        yield 'window_tickets_timed{window="24h"}', timed
        times = window(self._sums(resolved, "resolution_s"), DAY)
        yield 'resolution_mean_seconds{window="24h"}', times / np.maximum(timed, 1)

    def _nps(self) -> Cells:
        """Promoters give 10, passives 8, detractors 3."""
        groups = [(now.promoters, 1 - now.promoters - now.detractors, now.detractors) for now in self._conditions]
        answers = self._random.multinomial(self._counts("nps_answers").astype(int), groups).astype(float).T
        name = 'survey="nps"'
        for label, steps in {"24h": DAY, "7d": WEEK}.items():
            by_score = dict(zip((10, 8, 3), (window(group, steps) for group in answers), strict=True))
            n = sum(by_score.values(), np.zeros(len(groups)))
            p, d = by_score[10] / np.maximum(n, 1), by_score[3] / np.maximum(n, 1)
            yield f'survey_responses{{{name}, window="{label}"}}', n
            for score, responses in by_score.items():
                yield f'survey_scores{{{name}, score="{score}", window="{label}"}}', responses
            yield f'nps{{{name}, window="{label}"}}', 100 * (p - d)
            yield f'nps_se{{{name}, window="{label}"}}', 100 * np.sqrt((p + d - (p - d) ** 2) / np.maximum(n, 1))

    def _csat(self) -> Cells:
        """Who is satisfied gives 4, who is not 2."""
        answers = self._counts("csat_answers")
        satisfied = self._of(answers, "satisfied")
        name = 'survey="support"'
        yield f'survey_responses{{{name}, window="24h"}}', window(answers, DAY)
        yield f'survey_scores{{{name}, score="4", window="24h"}}', window(satisfied, DAY)
        yield f'survey_scores{{{name}, score="2", window="24h"}}', window(answers - satisfied, DAY)

    def _feedback(self) -> Cells:
        scored = self._counts("feedback")
        yield 'feedback_scored{window="1h"}', window(scored, HOUR)
        yield 'feedback_negative{window="1h"}', window(self._of(scored, "negative"), HOUR)

    def _target(self) -> Cells:
        node = 'node="churn", class="retention", level="1"'
        yield f"tree_on_track{{{node}}}", np.array([float(now.on_track) for now in self._conditions])
        yield f"tree_progress_ratio{{{node}}}", np.full(len(self._conditions), 0.25)
