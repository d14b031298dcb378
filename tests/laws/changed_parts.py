"""What has to be published of all other parts after a config has changed: facts, milestones, retention and the like.

Each of them goes on, or counts from S on, as `changed.py` has it; so all its cells are those of the reference over what
it counts. In a window that is new a part that goes on has some of that: between nothing and the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from flows.audit.cells import Cells
from flows.audit.clock import Turn
from flows.audit.feedback import put_feedback_per_user
from flows.audit.milestones import all_starts, milestone_cells
from flows.audit.orders import put_order_ratios
from flows.audit.records import Event
from flows.audit.referrals import referral_cells
from flows.audit.retention import retention_cells
from flows.audit.scopes import BROKEN_DOWN_AS, stamped
from flows.audit.spend import put_economics
from flows.audit.subscriptions import cells_of_subscriptions
from flows.audit.surveys import survey_cells
from flows.audit.tickets import put_per_thousand
from flows.audit.told import TWINS
from flows.audit.top import Lists, top_lists
from flows.audit.tree import tree_cells
from flows.audit.uses import all_uses, feature_cells
from flows.config.model import UNKNOWN, Config, format_duration
from tests.laws.changed import Expected

FACTS = {
    "orders": "order",
    "order_refunds": "order_refund",
    "order_cancellations": "order_cancellation",
    "tickets": "ticket",
    "feedback": "opinion",
    "subscriptions": "subscription",
    "spend": "spend_record",
}
"""The kind of facts that a part takes, by its name."""
NEVER_BROKEN_DOWN = {"subscription", "spend_record"}
OF_A_MONTH = ("ltv", "cac_payback_months", "arpu.subscription")
"""Cells without a window that are computed from those of 30 days."""


class ExpectedOfAll(Expected):
    """What the change has to come to in all families."""

    def parts(self) -> list[str]:
        """Those that `Expected` does not have."""
        new = self.new
        of: dict[str, object] = {
            "retention": new.retention,
            "referrals": new.referrals,
            "subscriptions": new.subscriptions,
        }
        of |= {"orders": new.orders, "spend": new.spend, "feedback": new.feedback, "tickets": new.tickets}
        returns = {"order_refunds": "refunded", "order_cancellations": "cancelled"}
        return [
            *(part for part, section in of.items() if section is not None),
            *(part for part, what in returns.items() if new.orders is not None and what in new.orders.events.values()),
            *(f"feature.{name}" for name in new.features),
            *(f"milestone.{name}" for name in new.milestones),
            *(f"survey.{name}" for name in new.surveys),
            *(f"top.{name}" for name in new.top),
        ]

    def keeps(self, part: str) -> bool:
        """Whether a part has the definition that it had."""
        return super().keeps(part) if part not in self.parts() else self._is_as_it_was(part)

    def _is_as_it_was(self, part: str) -> bool:
        was, now = _definition(part, self.old), _definition(part, self.new)
        if was is None or was != now:
            return False
        name, new = part.partition(".")[2], self.new
        by_presence = part.startswith("milestone.") and new.milestones[name].from_first_seen
        if part == "retention" and new.retention is not None:
            by_presence = new.retention.from_first_seen or new.retention.any_returns
        return self._same_presence() or not by_presence

    def since(self) -> dict[str, int]:
        """When every family began."""
        return super().since() | {part: 0 if self.keeps(part) else self.moment.since_ms for part in self.parts()}

    def _ordered_for(self, part: str, family: str) -> list[Event]:
        """The events that an ordered part counts, as it sees them."""
        ordered = self._ordered
        return self._for(family, self._of_part(self.keeps(part), ordered), self._had_passed(ordered))

    def _turns_for(self, part: str, kind: str) -> list[Turn]:
        """What a part counts of what was told, as it sees it."""
        since = 0 if self.keeps(part) else self.moment.since_ms
        turns = [turn for turn in self._turns.get(kind, ()) if turn.event.ts >= since]
        family = BROKEN_DOWN_AS.get(kind, "tickets")
        late = [name for name in self.new.breakdowns if self._goes_on(name) and self._is_of_now(name, family)]
        if kind in NEVER_BROKEN_DOWN or not late:
            return turns
        return [
            replace(turn, event=replace(turn.event, values={**turn.event.values, **dict.fromkeys(late, UNKNOWN)}))
            if self._had_been_used(turn)
            else turn
            for turn in turns
        ]

    def _had_been_used(self, turn: Turn) -> bool:
        used = turn.event.ts if turn.late and turn.in_order else turn.used
        return turn.event.offset < self.moment.records and used < self.watermark_ms

    def cells(self, as_of_ms: int) -> Cells:
        """All cells at this T, when all records have been read; those of a new window may be less."""
        new, cells, watermark = self.new, super().cells(as_of_ms), as_of_ms - self.new.lateness
        self._as_of = as_of_ms
        self._turns = stamped(self._judgement.turns, self._ordered, new)
        for name, milestone in new.milestones.items():
            starts = all_starts(self._ordered_for(f"milestone.{name}", "milestones"), milestone)
            cells |= milestone_cells(name, milestone, starts, new, watermark)
        if new.retention is not None:
            cells |= retention_cells(self._ordered_for("retention", "retention"), new, watermark)
        for name, feature in new.features.items():
            uses = all_uses(self._ordered_for(f"feature.{name}", "features"), feature)
            cells |= feature_cells(name, uses, new, watermark, cells, cells)
        if new.referrals is not None:
            cells |= referral_cells(self._ordered_for("referrals", "referrals"), new, watermark, cells)
        there = self.parts()
        turns = {kind: self._turns_for(part, kind) for part, kind in FACTS.items() if part in there}
        for kind, some in turns.items():
            twin = cells_of_subscriptions if kind == "subscription" else TWINS[kind].cells
            cells |= twin(some, new, watermark)
        for name, survey in new.surveys.items():
            alone = new.model_copy(update={"surveys": {name: survey}})
            cells |= survey_cells(self._turns_for(f"survey.{name}", "survey"), alone, watermark)
        cells |= self._top_lists()[1]
        put_order_ratios(cells)
        put_feedback_per_user(cells)
        put_per_thousand(cells, new)
        put_economics(cells, turns, new, watermark)
        return cells | tree_cells(cells, new, as_of_ms)

    def top(self) -> Lists:
        """The top lists, once `cells` was asked."""
        return self._top_lists()[0]

    def _top_lists(self) -> tuple[Lists, Cells]:
        turns: dict[str, Sequence[Turn]] = {
            f"top.{name}": [
                turn
                for turn in self._turns.get(f"top.{name}", ())
                if self.keeps(f"top.{name}") or turn.event.ts >= self.moment.since_ms
            ]
            for name in self.new.top
        }
        return top_lists(turns, self.new, self._as_of)

    def misfits(self, expected: Cells, found: Mapping[str, int | float]) -> dict[str, tuple[object, object]]:
        """What is in a window that is new and is less than nothing or more than the whole: name -> (whole, found)."""
        counts = {name: cell for name, cell in found.items() if self.may_be_less(name) and isinstance(cell, int)}
        return {
            name: (expected.get(name), cell)
            for name, cell in counts.items()
            if not name.startswith(AMOUNTS) and not 0 <= cell <= expected.get(name, 0)
        }

    def may_be_less(self, cell: str) -> bool:
        """Whether a cell is of a part that goes on and of a window that is new, or computed from one that is."""
        fresh = {format_duration(one) for one in self._fresh_windows()}
        name, _, _ = cell.partition("{")
        if name.startswith(OF_A_MONTH):
            return "30d" in fresh
        return name.rpartition(".")[2] in fresh and not name.startswith(OF_THE_CORE)

    def _fresh_windows(self) -> set[int]:
        old, new = self.old, self.new
        found = set(new.windows) - set(old.windows)
        found |= set(new.long_windows) - set(old.long_windows)
        return found


AMOUNTS = ("net_revenue", "revenue_less_spend", "feedback.sentiment_sum", "mrr", "revenue")
"""Cells that may be negative, or more in a part of the time than in the whole."""
OF_THE_CORE = (
    *("events", "active_users", "stickiness", "visitors", "views", "goal.", "conversion", "session", "bounce_rate"),
    *("funnel.", "users.", "key_action", "returning_share"),
)
"""How names begin of which `Expected` knows what is in a window that is new."""


def _definition(part: str, config: Config) -> object:
    """What says whether a part is the same; None: it is not there."""
    kind, _, name = part.partition(".")
    match kind:
        case "feature":
            return config.features.get(name)
        case "milestone":
            return config.milestones.get(name)
        case "survey":
            survey = config.surveys.get(name)
            return survey and (survey.kind, survey.ends, survey.count)
        case "top":
            listed = config.top.get(name)
            return listed and (listed.field, listed.count)
        case "retention":
            by_date = config.retention is not None and config.retention.mode == "calendar"
            return config.retention and (config.retention, config.time_zone if by_date else None)
        case "referrals":
            return config.referrals
        case "orders":
            return config.orders and (config.orders.currency, config.orders.lapse_after)
        case "order_refunds":
            return config.orders and "refunded" in config.orders.events.values() and config.orders.currency
        case "order_cancellations":
            return (config.orders and "cancelled" in config.orders.events.values()) or None
        case "subscriptions":
            paid = config.subscriptions
            return paid and (paid.currency, paid.labels(), paid.pairs())
        case "spend":
            return config.spend and (config.spend_currency, config.time_zone)
        case _:
            return True if getattr(config, part) is not None else None
