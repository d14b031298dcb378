"""METRICS.md 5.1: visitors, goals and features, by going through the sorted events of each user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flows.audit.cells import Cells, by_user, groups, put_ratio, suffixes, windows
from flows.audit.clock import ordered_window_holds
from flows.audit.records import Event
from flows.audit.selectors import chosen
from flows.config.model import Config
from flows.config.selectors import Selector

SESSION_KINDS = ("track", "page", "screen")
VIEWS = ("page", "screen")


def visitor_cells(ordered: list[Event], config: Config, watermark_ms: int) -> Cells:
    """METRICS.md 5.1: "`visitors.<w>`: distinct users whose latest session event (`track`, `page`, `screen` that shows
    presence) or goal event lies in the window"; "`views.<w>`: page and screen events; derived `views_per_visitor.<w>`";
    1: "Views need presence".

    Measured where there are goals or features, or a breakdown `of` visitors.
    """
    asked_for = any("visitors" in breakdown.of for breakdown in config.breakdowns.values())
    if not (config.goals or config.features or asked_for):
        return {}
    goals = [selector for goal in config.goals.values() for selector in goal]
    visits = [
        event
        for event in ordered
        if (event.kind in SESSION_KINDS and event.shows_presence) or (goals and chosen(goals, event))
    ]
    views = [event for event in ordered if event.kind in VIEWS and event.shows_presence]
    cells: Cells = {}
    for suffix, events in groups(visits, lambda event: event.values, config, "visitors"):
        for window_name, window in windows(config):
            users = {event.user for event in events if ordered_window_holds(event.ts, window, watermark_ms)}
            cells[f"visitors.{window_name}{suffix}"] = len(users)
    for suffix, events in groups(views, lambda event: event.values, config, "visitors"):
        for window_name, window in windows(config):
            at = f"{window_name}{suffix}"
            cells[f"views.{at}"] = sum(ordered_window_holds(event.ts, window, watermark_ms) for event in events)
            put_ratio(cells, f"views_per_visitor.{at}", int(cells[f"views.{at}"]), int(cells[f"visitors.{at}"]))
    return cells


@dataclass
class Use:
    """One use of a goal or feature."""

    event: Event
    first: bool  # of this user, ever

    @property
    def values(self) -> Mapping[str, str]:
        """Of the breakdowns."""
        return self.event.values


def all_uses(ordered: list[Event], selectors: Sequence[Selector]) -> list[Use]:
    """METRICS.md 5.1: "users whose first such event ever does, under that event's breakdown value"."""
    events = by_user(event for event in ordered if chosen(selectors, event)).values()
    return [Use(event, event is of_user[0]) for of_user in events for event in of_user]


def use_cells(kind: str, name: str, uses: list[Use], config: Config, watermark_ms: int) -> Cells:
    """METRICS.md 5.1: "`goal.<name>.events.<w>`, `goal.<name>.users.<w>` (users whose latest such event lies in the
    window), `goal.<name>.first.<w>`", and the same of features.
    """
    cells: Cells = {}
    for suffix, some in groups(uses, lambda use: use.values, config, f"{kind}s"):
        for window_name, window in windows(config):
            held = [use for use in some if ordered_window_holds(use.event.ts, window, watermark_ms)]
            at = f"{window_name}{suffix}"
            cells[f"{kind}.{name}.events.{at}"] = len(held)
            cells[f"{kind}.{name}.users.{at}"] = len({use.event.user for use in held})
            cells[f"{kind}.{name}.first.{at}"] = sum(use.first for use in held)
    return cells


def goal_cells(name: str, uses: list[Use], config: Config, watermark_ms: int, visitors: Cells) -> Cells:
    """METRICS.md 5.1: "`conversion_rate.<name>.<w>` = goal users / visitors; `conversions_per_visitor.<name>.<w>` =
    goal events / visitors".
    """
    cells = use_cells("goal", name, uses, config, watermark_ms)
    for at in _shared(config, "goals"):
        of = int(visitors[f"visitors.{at}"])
        put_ratio(cells, f"conversion_rate.{name}.{at}", int(cells[f"goal.{name}.users.{at}"]), of)
        put_ratio(cells, f"conversions_per_visitor.{name}.{at}", int(cells[f"goal.{name}.events.{at}"]), of)
    return cells


def feature_cells(
    name: str, uses: list[Use], config: Config, watermark_ms: int, visitors: Cells, lifecycle: Cells
) -> Cells:
    """METRICS.md 5.1: "`feature_adoption.<name>.<w>` = feature users / visitors; `feature_adoption_ever.<name>` =
    users_ever / users.known".
    """
    cells = use_cells("feature", name, uses, config, watermark_ms)
    cells[f"feature.{name}.users_ever"] = ever = sum(use.first for use in uses)
    put_ratio(cells, f"feature_adoption_ever.{name}", ever, int(lifecycle["users.known"]))
    for at in _shared(config, "features"):
        of = int(visitors[f"visitors.{at}"])
        put_ratio(cells, f"feature_adoption.{name}.{at}", int(cells[f"feature.{name}.users.{at}"]), of)
    return cells


def _shared(config: Config, family: str) -> list[str]:
    """Windows and suffixes that a family has in common with visitors."""
    both = set(suffixes(config, family)) & set(suffixes(config, "visitors"))
    return [f"{window_name}{suffix}" for window_name, _ in windows(config) for suffix in both]
