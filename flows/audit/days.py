"""METRICS.md 5.16: the final numbers of each closed local day."""

from __future__ import annotations

from collections import Counter
from collections.abc import MutableMapping, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from flows.audit.clock import Judgement
from flows.audit.minutes import Course, Latecomer, fields_of, leave_out_what_came_after_the_end
from flows.audit.orders import counted_once
from flows.audit.records import Event
from flows.audit.retention import all_started, local_date
from flows.audit.subscriptions import all_customers
from flows.audit.uses import all_uses
from flows.config.model import Config

DAY = timedelta(1)
DAY_MS = 86_400_000
DAYS_KEPT = 400

Fields = dict[str, Counter[date]]


def day_history(
    judgement: Judgement,
    course: Course,
    config: Config,
    watermark_ms: int,
    late: Sequence[Latecomer] = (),
    touched: MutableMapping[tuple[int | date, str], int] | None = None,
) -> dict[str, dict[str, int]]:
    """METRICS.md 5.16: "(local date, kept 400 d): the final numbers of each closed day once `W` has passed its end".

    ISO date -> field -> number; days in which all numbers are 0 are left out. `late` and `touched` as for minutes.
    """
    days = Days(config)

    def all_fields(some: Course) -> Fields:
        return fields_of(days.of, some, config) | days.of_users(some.events)

    fields = all_fields(course)
    leave_out_what_came_after_the_end(
        fields, all_fields, late, lambda name, day, bound: days.final_from(name, day) <= bound, touched
    )
    fields |= days.of_orders(judgement, watermark_ms, touched)
    fields |= days.of_subscriptions(judgement, watermark_ms)
    oldest = days.of(watermark_ms) - DAYS_KEPT * DAY
    found = {
        day.isoformat(): {
            name: counts[day] for name, counts in fields.items() if days.final_from(name, day) <= watermark_ms
        }
        for day in sorted(set().union(*fields.values()))
        if day >= oldest
    }
    return {day: values for day, values in found.items() if any(values.values())}


class Days:
    """The calendar of a config, and what only days have."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.zone = ZoneInfo(config.time_zone)

    def of(self, time_ms: int) -> date:
        """The local date."""
        return local_date(time_ms, self.zone)

    def begins(self, day: date) -> int:
        """The first ms of the day."""
        return int(datetime(day.year, day.month, day.day, tzinfo=self.zone).timestamp()) * 1000

    def final_from(self, name: str, day: date) -> int:
        """ "once `W` has passed its end"; of retention "written again as their days end": when day N is over for
        everybody who started on that date.
        """
        stem, number, *_ = [*name.split("."), ""]
        if stem != "retention":
            return self.begins(day + DAY)
        assert self.config.retention is not None
        n = int(number.removeprefix("d"))
        if self.config.retention.mode == "calendar":
            return self.begins(day + (n + 1) * DAY)
        return self.begins(day + DAY) + (n + 1) * DAY_MS

    def of_users(self, ordered: list[Event]) -> Fields:
        """ "per goal users ... and for every retention day N the cohort of that start date and who returned"."""
        fields: Fields = {}
        for name, goal in self.config.goals.items():
            reached = {(self.of(use.event.ts), use.event.user) for use in all_uses(ordered, goal)}
            fields[f"goal.{name}.users"] = Counter(day for day, _ in reached)
        if (retention := self.config.retention) is not None:
            started = all_started(ordered, retention, self.zone)
            for n in retention.days:
                fields[f"retention.d{n}.cohort"] = Counter(self.of(user.at) for user in started)
                fields[f"retention.d{n}.returned"] = Counter(self.of(user.at) for user in started if n in user.days)
        return fields

    def of_orders(
        self, judgement: Judgement, watermark_ms: int, touched: MutableMapping[tuple[int | date, str], int] | None
    ) -> Fields:
        """Those that are no copies; a late one counts on days that its bound had not closed."""
        if self.config.orders is None:
            return {}
        fields: Fields = {"orders": Counter(), "revenue": Counter()}
        turns = judgement.turns.get("order", ())
        bounds = {id(turn.event): turn.used for turn in turns if turn.late}
        for order in counted_once(turns, self.config.orders.dedup, watermark_ms):
            day, bound = self.of(order.event.ts), bounds.get(id(order.event))
            for name, amount in (("orders", 1), ("revenue", order.amount)):
                if bound is None or self.begins(day + DAY) > bound:
                    fields[name][day] += amount
                if bound is not None and touched is not None:
                    touched[day, name] = touched.get((day, name), 0) + amount
        return fields

    def of_subscriptions(self, judgement: Judgement, watermark_ms: int) -> Fields:
        """ "`mrr`, `customers` (at the day's end)"."""
        turns = judgement.turns.get("subscription", ())
        if self.config.subscriptions is None:
            return {}
        fields: Fields = {"mrr": Counter(), "customers": Counter()}
        if not turns:
            return fields
        day = max(self.of(min(turn.used for turn in turns)), self.of(watermark_ms) - DAYS_KEPT * DAY)
        while (end := self.begins(day + DAY)) <= watermark_ms:
            paid = [customer.mrr() for customer in all_customers(turns, end)]
            fields["mrr"][day] = sum(paid)
            fields["customers"][day] = sum(amount > 0 for amount in paid)
            day += DAY
        return fields
