"""The configs of the bench's part `families`: each family by itself, and all of them together.

All are cut out of everything.yaml, so that a family is measured by the same definitions alone and with the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from flows.config.model import Config

FILE: Final = Path(__file__).with_name("everything.yaml")
SETTINGS: Final = (
    *("version", "product", "time_zone", "lateness", "windows", "ratio_windows", "long_windows", "churn_after"),
)
"""Keys that all configs share: with nothing else, only what cannot be turned off is measured."""
PLAIN_FUNNEL: Final = "checkout"

SMALLEST: Final = "smallest"
EVERYTHING: Final = "everything"
EVERY_OPTION: Final = "every option"

EVERYTHING_HAS: Final[Mapping[str, tuple[str, ...]]] = {
    "funnels": (PLAIN_FUNNEL, "latest"),
    "breakdowns": ("platform", "plan", "channel"),
    "surveys": ("nps", "support", "effort"),
}
"""Of what the file has several of: those of the config that something is asked of. Of all else it has all."""

PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "conditions, bounces": ("events", "exclude", "presence", "key_actions", "sessions"),
    "goals": ("goals",),
    "features": ("features",),
    "milestones": ("milestones",),
    "a plain funnel": (f"funnels.{PLAIN_FUNNEL}",),
    "funnels with options": ("funnels.*",),
    "retention": ("retention",),
    "referrals": ("referrals",),
    "top lists": ("top",),
    "orders": ("orders", "acquisition"),
    "spend and economics": ("spend", "economics"),
    "subscriptions": ("subscriptions",),
    "surveys": ("surveys",),
    "tickets": ("tickets", "breakdowns.severity"),
    "feedback": ("feedback",),
    "metric tree": ("tree",),
    "breakdowns by own value": ("breakdowns.platform", "breakdowns.plan"),
    "channel by session": ("breakdowns.channel",),
    "channel by first visit": ("breakdowns.first_channel", "breakdowns.traffic"),
}
"""What is measured on top of the smallest config: keys of the file. `*` is all that no other part has."""

MEASURED_ALWAYS: Final = ("events", "active_users", "sessions", "users", "visitors")
"""What a breakdown can be `of` whatever the config has."""


def written() -> dict[str, Any]:
    """The file, as YAML has it."""
    content: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return content


def every_option() -> Config:
    """The whole file."""
    return Config.model_validate(written())


def everything() -> Config:
    """The config that the bars of `bars.py` are for: every part, and of each as many as a product may have."""
    content = written()
    for section, names in EVERYTHING_HAS.items():
        content[section] = {name: content[section][name] for name in names}
    return Config.model_validate(content)


def smallest() -> Config:
    """What cannot be turned off: events, active users, engagement, sessions, lifecycle."""
    return with_keys(())


def with_part(name: str) -> Config:
    """The smallest config and one of PARTS."""
    return with_keys(PARTS[name])


def with_keys(keys: Iterable[str]) -> Config:
    """The smallest config and what `keys` of the file add; breakdowns are of what is there."""
    whole = written()
    content = {key: whole[key] for key in SETTINGS}
    for key in keys:
        section, _, name = key.partition(".")
        if not name:
            content[section] = whole[section]
        else:
            some = _rest_of(section, whole) if name == "*" else {name: whole[section][name]}
            content.setdefault(section, {}).update(some)
    for breakdown in content.get("breakdowns", {}).values():
        breakdown["of"] = [one for one in breakdown["of"] if one in content or one in MEASURED_ALWAYS]
    return Config.model_validate(content)


def _rest_of(section: str, whole: Mapping[str, Any]) -> dict[str, Any]:
    taken = {key for keys in PARTS.values() for key in keys}
    return {name: one for name, one in whole[section].items() if f"{section}.{name}" not in taken}
