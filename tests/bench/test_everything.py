from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from deploy.bench import everything
from deploy.bench.everything import PARTS, SETTINGS
from deploy.bench.staged import FAMILIES
from flows.commands import config_page
from flows.config.model import Config
from flows.metrics.catalogue import families
from flows.metrics.family import Family
from flows.metrics.minutes import MinuteBook

NAMED = ("milestones", "funnels", "breakdowns", "surveys", "top", "tree")
"""Sections whose keys are names of the user's, with keys of their own behind them."""
EVENTS = ("goals", "features")
"""Sections of names of the user's, each with events."""
NOT_MEASURED = ("alerts", "connections", "limits", "version", "product")
SAME_COST = {
    "active_users.events": "fewer active users",
    "dedup_horizon": "as long as in the rest of the bench",
    "minute_history": "as long as in the rest of the bench",
    "shards": "as many as in the rest of the bench",
    "presence.only": "the same check of an event as `except`",
    "sessions.engaged": "limits of what is counted anyway",
    "sessions.max_duration": "a limit of what is counted anyway",
    "breakdowns.*.sources": "more names in a table that is looked up anyway",
    "subscriptions.moves": "without it, all moves are counted",
    "subscriptions.statuses": "other words for the same",
    "surveys.*.min_responses": "a limit for alerts",
    "top.*.export": "numbers that are published anyway",
    "tree.*.owner": "a label",
    "tree.*.alert": "a rule of Prometheus",
    **{
        f"{section}.events": "other names for the same events"
        for section in ("subscriptions", "orders", "spend", "tickets", "surveys.*", "feedback")
    },
}
"""Keys that the config of the bench does without, and why."""


def keys_of(content: Mapping[str, Any]) -> Iterator[str]:
    """The keys of the config's sections, with `*` for names of the user's."""
    for section, value in content.items():
        if section in NOT_MEASURED:
            continue
        if section in NAMED:
            yield from (f"{section}.*.{key}" for one in value.values() for key in one)
        elif isinstance(value, dict) and value and section not in EVENTS:
            yield from (f"{section}.{key}" for key in value)
        else:
            yield section


def kinds(config: Config) -> dict[str, Family]:
    """One family of each kind."""
    return {name.partition(".")[0]: one for name, one in families(config, MinuteBook(config)).items()}


def test_every_key_of_the_config_is_in_the_file_or_changes_no_cost() -> None:
    every, there = set(keys_of(config_page.every_key())), set(keys_of(everything.written()))
    assert every - there == set(SAME_COST)


def test_every_family_is_in_the_file() -> None:
    every = {key: value for key, value in config_page.every_key().items() if key in Config.model_fields}
    measured = kinds(everything.every_option())
    assert kinds(Config.model_validate(every)).keys() <= measured.keys()


def test_every_family_has_a_stopwatch() -> None:
    config = everything.every_option()
    assert {type(one) for one in families(config, MinuteBook(config)).values()} == set(FAMILIES.values())


def test_the_parts_together_are_the_file() -> None:
    keys = [key for part in PARTS.values() for key in part]
    assert len(set(keys)) == len(keys)
    assert everything.with_keys(keys) == everything.every_option()
    assert {key.partition(".")[0] for key in keys} | set(SETTINGS) == everything.written().keys()


@pytest.mark.parametrize("name", PARTS)
def test_a_part_adds_to_the_smallest_config(name: str) -> None:
    smallest, config = everything.smallest(), everything.with_part(name)
    assert config != smallest
    assert families(smallest, MinuteBook(smallest)).keys() <= families(config, MinuteBook(config)).keys()
    for breakdown in config.breakdowns.values():
        assert breakdown.of  # it is of something that is measured


def test_everything_has_all_parts_and_of_each_what_the_bars_are_for() -> None:
    config = everything.everything()
    sizes = {name: len(getattr(config, name)) for name in (*EVENTS, *NAMED[:4])}
    assert sizes == {"goals": 5, "features": 5, "milestones": 2, "funnels": 2, "breakdowns": 3, "surveys": 3}
    assert config.breakdowns["channel"].scope == "session"
    assert config.retention is not None
    assert config.retention.days == (1, 7, 30)
    assert kinds(config).keys() == kinds(everything.every_option()).keys()
