"""METRICS.md 3.4 and 5.3: funnels, by walking each user's sorted events; Kaplan-Meier from the list of attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flows.audit.cells import (
    BOUNDS_SECONDS,
    QUANTILES,
    Cells,
    by_user,
    cumulative,
    groups,
    put_one_minus_ratio,
    put_quantile,
    put_ratio,
    ratio_windows,
    windows,
)
from flows.audit.clock import ordered_window_holds, pane
from flows.audit.records import Event
from flows.audit.selectors import chosen
from flows.audit.survival import kaplan_meier
from flows.config.model import Config, Funnel

SESSION_KINDS = ("track", "page", "screen")


@dataclass
class Attempt:
    """One user's way through the steps."""

    began: int  # the first event of step 1, ms
    start: int  # the same, unless `reentry: latest` moved it
    values: Mapping[str, str]  # "a funnel attempt, its entry event's"
    last_step: int  # when the last step was done, ms
    held: str | None  # the slug of what the entry event has in the field that the funnel holds
    done: set[int] = field(default_factory=lambda: {0})  # which steps
    converted_at: int | None = None
    ended_as: str | None = None  # dropped or excluded, by an event
    ended_at: int | None = None  # when that was, ms

    @property
    def reached(self) -> int:
        """How many steps are done."""
        return len(self.done)


def all_attempts(ordered: list[Event], funnel: Funnel) -> list[Attempt]:
    """METRICS.md 3.4: "An **attempt** starts with an event of step 1 when the user has no attempt in
    progress. Step k+1 is reached by an event of that step after the event that reached step k, at most
    `window` after the attempt's start (exactly `window` is still in time). One event advances at most one
    step. `reentry: first` (default): later step-1 events are ignored while an attempt is in progress.
    `reentry: latest`: an event of step 1 moves the start to itself while only step 1 has been reached."
    "After either end the next step-1 event starts a new attempt."
    """
    attempts: list[Attempt] = []
    for events in by_user(ordered).values():
        current: Attempt | None = None
        first = True
        for event in events:
            if current is not None and event.ts > deadline(current, funnel):
                current = None  # dropped
            if current is not None:
                current, may_begin = judged(current, event, funnel)
            else:
                may_begin = True
            # METRICS.md 5.3: "`attempts: once` (only a user's first)"
            if may_begin and chosen(funnel.steps[0], event) and (first or funnel.attempts != "once"):
                current = Attempt(event.ts, event.ts, event.values, event.ts, held_by(event, funnel))
                attempts.append(current)
                first = False
    return attempts


def judged(attempt: Attempt, event: Event, funnel: Funnel) -> tuple[Attempt | None, bool]:
    """The attempt in progress after `event`, None where it is over, and whether the event may begin a new one.

    METRICS.md 5.3: "Order of judgement: deadline, exclusion, advance, re-entry or strictness; the event that
    excludes may begin a new attempt."
    """
    if chosen(funnel.exclude, event):
        # "such an event between entry and conversion ends the attempt as `excluded`"
        attempt.ended_as, attempt.ended_at = "excluded", event.ts
        return None, True
    step = step_done(attempt, event, funnel)
    if step is not None:
        attempt.done.add(step)
        attempt.last_step = event.ts
        if attempt.reached < len(funnel.steps):
            return attempt, False
        attempt.converted_at = event.ts
        return None, False  # over: this event does not start another one
    if funnel.reentry == "latest" and attempt.reached == 1 and chosen(funnel.steps[0], event):
        attempt.start = attempt.last_step = event.ts
        attempt.values, attempt.held = event.values, held_by(event, funnel)
        return attempt, False
    if funnel.order == "strict" and event.kind in SESSION_KINDS and event.shows_presence:
        # "a session event that shows presence and is no next step ends the attempt as dropped, at its time; it
        # may begin a new one"
        attempt.ended_as, attempt.ended_at = "dropped", event.ts
        return None, True
    return attempt, False


def step_done(attempt: Attempt, event: Event, funnel: Funnel) -> int | None:
    """METRICS.md 5.3: "`any` (steps in any order after step 1; an event fits the lowest step not done)"; else the
    next step. "`hold: field` (steps after the first count only with the entry's value, by slug; without the field they
    never count)": so nothing follows an entry without it.
    """
    if funnel.hold is not None and (attempt.held is None or held_by(event, funnel) != attempt.held):
        return None
    missing = [step for step in range(len(funnel.steps)) if step not in attempt.done]
    if funnel.order != "any":
        missing = missing[:1]
    return next((step for step in missing if chosen(funnel.steps[step], event)), None)


def held_by(event: Event, funnel: Funnel) -> str | None:
    """What an event has in the field that the funnel holds, if it holds one and the event has it."""
    return None if funnel.hold is None else event.carried.get(funnel.hold)


def deadline(attempt: Attempt, funnel: Funnel) -> int:
    """METRICS.md 5.3: "`within_step: 10m` (also a limit from the last step done)"."""
    window_ends = attempt.start + funnel.window
    return window_ends if funnel.within_step is None else min(window_ends, attempt.last_step + funnel.within_step)


def is_dropped(attempt: Attempt, funnel: Funnel, watermark_ms: int) -> bool:
    """METRICS.md 3.4: "**dropped** (`W` > start + window)", and not converted; or by strictness."""
    if attempt.converted_at is not None or attempt.ended_as is not None:
        return attempt.ended_as == "dropped"
    return watermark_ms > deadline(attempt, funnel)


def funnel_cells(name: str, funnel: Funnel, every_attempt: list[Attempt], config: Config, watermark_ms: int) -> Cells:
    """METRICS.md 3.4: "By entry time: `funnel.<name>.<nn>_<step>.<w>` (attempts entered in the window that
    have reached that step; step 01 = entered), `funnel.<name>.converted.<w>`, `.in_progress.<w>`,
    `.dropped.<w>`." "Time to convert (entry to last step, booked by entry time)".
    """
    cells: Cells = {}
    for suffix, attempts in groups(every_attempt, lambda attempt: attempt.values, config, "funnels"):
        for window_name, window in windows(config):
            at = f"{window_name}{suffix}"
            entered = [a for a in attempts if ordered_window_holds(a.start, window, watermark_ms)]
            for number, step in enumerate(funnel.step_names(), 1):
                cells[f"funnel.{name}.{step}.{at}"] = sum(attempt.reached >= number for attempt in entered)
            dropped = [attempt for attempt in entered if is_dropped(attempt, funnel, watermark_ms)]
            times = [a.converted_at - a.start for a in entered if a.converted_at is not None]
            cells[f"funnel.{name}.converted.{at}"] = len(times)
            cells[f"funnel.{name}.dropped.{at}"] = len(dropped)
            excluded = [attempt for attempt in entered if attempt.ended_as == "excluded"]
            if funnel.exclude:
                cells[f"funnel.{name}.excluded.{at}"] = len(excluded)
            cells[f"funnel.{name}.in_progress.{at}"] = len(entered) - len(times) - len(dropped) - len(excluded)
            cells[f"funnel.{name}.convert_ms.{at}"] = sum(times)
            buckets = cumulative(times)
            for bound, count in zip(BOUNDS_SECONDS, buckets, strict=True):
                cells[f"funnel.{name}.convert_le_{bound}.{at}"] = count
            if window_name in ratio_windows(config):
                put_derived(cells, name, funnel, at, buckets)
                put_matured(cells, name, funnel, at, attempts, window, watermark_ms)
        put_live(cells, name, funnel, suffix, attempts, watermark_ms)
    return cells


def put_derived(cells: Cells, name: str, funnel: Funnel, at: str, buckets: list[int]) -> None:
    """METRICS.md 3.4: "`funnel.<name>.drop_off_<nn>.<w>` = 1 - reached(nn) / reached(nn-1)"; "`convert_mean`,
    `convert_p50`, `convert_p90`".
    """
    reached = [int(cells[f"funnel.{name}.{step}.{at}"]) for step in funnel.step_names()]
    for number in range(2, len(reached) + 1):
        put_one_minus_ratio(
            cells, f"funnel.{name}.drop_off_{number:02d}.{at}", reached[number - 1], reached[number - 2]
        )
    converted = int(cells[f"funnel.{name}.converted.{at}"])
    put_ratio(cells, f"funnel.{name}.convert_mean.{at}", int(cells[f"funnel.{name}.convert_ms.{at}"]), converted)
    for quantile_name, quantile in QUANTILES.items():
        put_quantile(cells, f"funnel.{name}.convert_{quantile_name}.{at}", quantile, buckets, converted)


def put_matured(
    cells: Cells, name: str, funnel: Funnel, at: str, attempts: list[Attempt], window: int, watermark_ms: int
) -> None:
    """METRICS.md 3.4: "`funnel.<name>.conversion_matured.<w>` = converted / entered over attempts whose
    window has passed (entered in the trailing window `w` as it stood at `W - window`)". D8: "W > start +
    window and pane_w(start) > pane_w(W - window) - 60".
    """
    matured = [
        attempt
        for attempt in attempts
        if watermark_ms > attempt.start + funnel.window
        and pane(attempt.start, window) > pane(watermark_ms - funnel.window, window) - 60
    ]
    converted = sum(attempt.converted_at is not None for attempt in matured)
    cells[f"funnel.{name}.matured.{at}"] = len(matured)
    cells[f"funnel.{name}.matured_converted.{at}"] = converted
    put_ratio(cells, f"funnel.{name}.conversion_matured.{at}", converted, len(matured))


def put_live(cells: Cells, name: str, funnel: Funnel, suffix: str, attempts: list[Attempt], watermark_ms: int) -> None:
    """METRICS.md 3.4: "`funnel.<name>.conversion_live` = 1 - S, Kaplan-Meier over attempts entered in the trailing
    funnel window", and `conversion_live_se`.
    """
    lives = [(attempt.start, attempt.converted_at) for attempt in attempts]
    live = kaplan_meier(lives, funnel.window, watermark_ms)
    if live is not None:
        cells[f"funnel.{name}.conversion_live{suffix}"], cells[f"funnel.{name}.conversion_live_se{suffix}"] = live
