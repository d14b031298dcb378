"""All numbers, from scratch, from the whole list of records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from flows.audit.activity import active_user_cells, event_cells
from flows.audit.cells import Cells
from flows.audit.clock import Judgement, LateEvent, judge
from flows.audit.days import day_history
from flows.audit.engagement import engagement_cells
from flows.audit.feedback import put_feedback_per_user
from flows.audit.funnels import funnel_cells
from flows.audit.lifecycle import lifecycle_cells
from flows.audit.milestones import all_starts, milestone_cells
from flows.audit.minutes import course_of, latecomers_of, minute_history
from flows.audit.orders import put_order_ratios
from flows.audit.parse import parse
from flows.audit.records import Event, Record
from flows.audit.referrals import referral_cells
from flows.audit.retention import retention_cells
from flows.audit.scopes import scoped, stamped
from flows.audit.sessions import session_cells
from flows.audit.spend import put_economics
from flows.audit.tickets import put_per_thousand
from flows.audit.told import told_cells
from flows.audit.top import NO_LIMITS, Lists, top_lists
from flows.audit.tree import tree_cells
from flows.audit.uses import all_uses, feature_cells, goal_cells, visitor_cells
from flows.config.limits import Limits
from flows.config.model import Config


@dataclass
class Result:
    """What a replay of the records has to publish in the end."""

    as_of_ms: int | None  # T; None: nothing was accepted and no time was given
    watermark_ms: int | None  # W
    cells: dict[str, int | float]  # counted and derived
    minutes: dict[int, dict[str, int]]  # start of a closed minute (epoch ms) -> field -> number; all-zero ones left out
    days: dict[str, dict[str, int]]  # closed local day (ISO) -> field -> number; all-zero ones left out
    accounting: dict[int, dict[str, int]]  # partition -> one of ACCOUNTS -> records
    top: Lists
    touched: dict[tuple[int | date, str], int]
    """Numbers of closed minutes (start, field) and days (date, field) that depend on when late events were
    read, and how much at most.
    """


def recompute(
    records: Iterable[Record], config: Config, as_of_ms: int | None = None, limits: Limits = NO_LIMITS
) -> Result:
    """Every number of METRICS.md 3.1 to 3.8 after `records`, given in the order of reading, were
    replayed.

    Time moves with the events only; after the last one T is advanced to `as_of_ms` if that is later.
    """
    records = list(records)
    return numbers(judge(records, [parse(record, config) for record in records], config, as_of_ms), config, limits)


def numbers(judgement: Judgement, config: Config, limits: Limits = NO_LIMITS) -> Result:
    """The same of records that have been judged."""
    # Without T nothing was accepted, so that every count is 0 at whatever time.
    as_of = judgement.as_of_ms if judgement.as_of_ms is not None else 0
    watermark = as_of - config.lateness

    # "Ordered metrics ... hold events until `W` has passed them and then use them in event-time order (ties:
    # Kafka partition, then offset)."
    # Late ones in order: "in its place in that user's history"; behind what its user did at the same time.
    ordered = in_place(judgement.on_time, judgement.late_in_order, watermark)
    ordered = scoped(ordered, config)
    course = course_of(ordered, config, watermark)

    cells: Cells = event_cells(judgement.accepted, config, as_of)
    cells |= active_user_cells(judgement.accepted, config, as_of)
    cells |= engagement_cells(judgement.accepted, config, as_of)
    cells |= session_cells(course.sessions, config, watermark, cells)
    for name, funnel in config.funnels.items():
        cells |= funnel_cells(name, funnel, course.attempts[name], config, watermark)
    for name, milestone in config.milestones.items():
        cells |= milestone_cells(name, milestone, all_starts(ordered, milestone), config, watermark)
    cells |= retention_cells(ordered, config, watermark)
    cells |= lifecycle_cells(course.lifecycle, config, watermark)
    cells |= visitor_cells(ordered, config, watermark)
    for name, goal in config.goals.items():
        cells |= goal_cells(name, all_uses(ordered, goal), config, watermark, cells)
    for name, feature in config.features.items():
        cells |= feature_cells(name, all_uses(ordered, feature), config, watermark, cells, cells)
    cells |= referral_cells(ordered, config, watermark, cells)
    cells |= told_cells(stamped(judgement.turns, ordered, config), config, watermark)
    top, others = top_lists(judgement.turns, config, as_of, limits)
    cells |= others
    put_order_ratios(cells)
    put_feedback_per_user(cells)
    put_per_thousand(cells, config)
    put_economics(cells, judgement.turns, config, watermark)
    cells |= tree_cells(cells, config, as_of)
    touched: dict[tuple[int | date, str], int] = {}
    used = [one for one in judgement.late_in_order if one.bound_ms <= watermark]
    late = latecomers_of(ordered, used, config, watermark)
    return Result(
        as_of_ms=judgement.as_of_ms,
        watermark_ms=None if judgement.as_of_ms is None else watermark,
        cells=cells,
        minutes=minute_history(course, config, watermark, late, touched),
        days=day_history(judgement, course, config, watermark, late, touched),
        accounting=judgement.accounting,
        top=top,
        touched=touched,
    )


def in_place(on_time: list[Event], late: list[LateEvent], watermark_ms: int) -> list[Event]:
    """The events that ordered metrics have used, in order: what `W` has passed, and those of `late`, as they were read,
    whose bound it has reached.
    """
    used = sorted((event for event in on_time if event.ts < watermark_ms), key=lambda e: (e.ts, e.partition, e.offset))
    return sorted([*used, *(one.event for one in late if one.bound_ms <= watermark_ms)], key=lambda event: event.ts)
