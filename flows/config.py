"""The user's file: what to measure, and by which definitions.

Durations are written `10s`, `5m`, `1h`, `30d` and held in integer milliseconds.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, field_validator, model_validator

UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
OTHER = "other"
UNKNOWN = "unknown"


def slug(name: str) -> str:
    """`name` in lower case with every run of characters outside `[a-z0-9_]` as one `_`."""
    return re.sub(r"[^a-z0-9_]+", "_", name.lower())


def parse_duration(value: Any) -> Any:
    """Milliseconds of `10s`, `1h`, ...; what is no duration text is left for pydantic to judge."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d{1,9})\s*(ms|s|m|h|d)\s*", value)
        if match is None:
            raise ValueError("expected a duration such as 10s, 30m, 1h or 30d")
        return int(match[1]) * UNITS_MS[match[2]]
    if isinstance(value, int) and value != 0:
        raise ValueError("a duration needs a unit: 10s, 30m, 1h or 30d")
    return value


def format_duration(ms: int) -> str:
    """The shortest text of a duration: 3600000 -> `1h`; the name of a window in cells and labels.

    One day is `24h`, as in the contract; whole days above it are `2d`, `7d`, `30d`.
    """
    for unit in ("d", "h", "m", "s"):
        if ms and ms % UNITS_MS[unit] == 0 and (unit, ms) != ("d", UNITS_MS["d"]):
            return f"{ms // UNITS_MS[unit]}{unit}"
    return f"{ms}ms"


DurationMs = Annotated[
    int, BeforeValidator(parse_duration), Field(ge=0), PlainSerializer(format_duration, return_type=str)
]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9_]+$", max_length=64)]


class Section(BaseModel):
    """Strict and frozen: an unknown key is a mistake, not a wish."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Engaged(Section):
    """What makes a session engaged; each rule can be off (null)."""

    longer_than: DurationMs | None = 10_000
    views: int | None = Field(2, ge=1)
    key_actions: int | None = Field(1, ge=1)


class Sessions(Section):
    """How a session ends, and when it counts as bounced."""

    timeout: DurationMs = 30 * 60_000
    max_duration: DurationMs = 24 * 3_600_000
    engaged: Engaged = Engaged()
    bounce: Literal["not_engaged", "single_event"] = "not_engaged"


class Funnel(Section):
    """Ordered steps within a window; a step is an event name or a list of alternatives."""

    window: DurationMs
    steps: tuple[tuple[str, ...], ...] = Field(min_length=2, max_length=20)
    reentry: Literal["first", "latest"] = "first"

    @field_validator("steps", mode="before")
    @classmethod
    def _one_name_is_a_list_of_one(cls, steps: Any) -> Any:
        return [[step] if isinstance(step, str) else step for step in steps] if isinstance(steps, list) else steps

    def step_names(self) -> list[str]:
        """`01_product_viewed`, ...: number and slug of each step's first alternative."""
        return [f"{number:02d}_{slug(step[0])}" for number, step in enumerate(self.steps, 1)]


class Breakdown(Section):
    """One dimension: where its value is found in an event, and the closed list of values told apart."""

    field: str = Field(pattern=r"^(context|properties|traits)(\.[A-Za-z_][A-Za-z0-9_]*)+$")
    values: tuple[str, ...] = Field(min_length=1, max_length=200)
    of: tuple[Literal["events", "active_users", "sessions", "funnels"], ...] = ("active_users", "sessions", "funnels")

    def labels(self) -> list[str]:
        """Slugs of all values a cell can carry: the listed ones, then `other`, then `unknown`; the index is the code."""
        return [*(slug(value) for value in self.values), OTHER, UNKNOWN]


class ActiveUsers(Section):
    """Which events make a user active: all, or a list of names."""

    events: tuple[str, ...] | None = None


class Exclude(Section):
    """Events that are valid but not wanted."""

    events: tuple[str, ...] = ()
    bots: bool = True  # events with context.bot == true


class Config(Section):
    """All of it."""

    version: Literal[1] = 1
    product: Slug = "product"
    time_zone: str = "UTC"
    lateness: DurationMs = 10_000
    windows: tuple[DurationMs, ...] = tuple(parse_duration(w) for w in ("1m", "5m", "30m", "1h", "24h", "7d", "30d"))
    ratio_windows: tuple[DurationMs, ...] = tuple(parse_duration(w) for w in ("5m", "1h", "24h"))
    events: tuple[str, ...] = ()  # event names counted by name, besides those named elsewhere
    exclude: Exclude = Exclude()
    active_users: ActiveUsers = ActiveUsers()
    sessions: Sessions = Sessions()
    key_actions: tuple[str, ...] = ()
    churn_after: DurationMs = 30 * 86_400_000
    funnels: dict[Slug, Funnel] = {}
    breakdowns: dict[Slug, Breakdown] = {}
    dedup_horizon: DurationMs = 600_000
    minute_history: DurationMs = 48 * 3_600_000
    shards: int = Field(16, ge=1, le=256)

    @field_validator("time_zone")
    @classmethod
    def _a_known_zone(cls, zone: str) -> str:
        ZoneInfo(zone)
        return zone

    @model_validator(mode="after")
    def _ratios_need_their_counts(self) -> Config:
        missing = [format_duration(w) for w in self.ratio_windows if w not in self.windows]
        if missing:
            raise ValueError(f"ratio_windows {', '.join(missing)} must also be listed in windows")
        return self

    def vocabulary(self) -> list[str]:
        """Slugs of the event names told apart; the index is the event code, 0 is `other`."""
        named = [
            *self.events,
            *self.key_actions,
            *(self.active_users.events or ()),
            *(name for funnel in self.funnels.values() for step in funnel.steps for name in step),
        ]
        return [OTHER, *dict.fromkeys(slug(name) for name in named if slug(name) != OTHER)]
