"""The parts of a product's state, and what each depends on.

<family>                        what it remembers; each goal, feature, funnel and milestone is one: goal.<name>
window.<w>                      the panes of one window, in all families
ratio_window.<w>                the same of matured attempts of funnels
long_window.<w>                 the same of those who started a milestone and whose time is up
event.<name>                    a name that is told apart
bounced_by.<definition>         a definition of bounce that is counted apart
breakdown.<b>, breakdown.<b>.<value>, breakdown.<b>.of.<family>
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from flows.checkpoint.parts import Definition, Definitions
from flows.config import canonical
from flows.config.model import OTHER, Config, format_duration, slug
from flows.metrics.catalogue import families
from flows.metrics.family import Family
from flows.metrics.minutes import MinuteBook


def definitions(config: Config, members: Mapping[str, Family] | None = None) -> Definitions:
    """All that the state of `config` depends on; `members`: its families, where they are at hand.

    Every field of the config that any state depends on (all but `tree`) is in it, as it takes effect. Comments, the
    order of keys, how a duration is written (`1d`, `24h`), the spelling of a name beyond its slug, and the order of
    lists that are sets make no difference.
    """
    members = members or families(config, MinuteBook(config))
    own = {name: replace(family.definition(), layout=family.LAYOUT) for name, family in members.items()}
    return Definitions(
        {"product": config.product, "shards": config.shards},
        _reading(config),
        {**own, **dict(_labels(config))},
    )


def _reading(config: Config) -> dict[str, Any]:
    """How records are read, and how long single numbers are remembered: it holds from then on."""
    said = config.model_dump(mode="json")
    reading: dict[str, Any] = {
        name: said[name] for name in ("time_zone", "lateness", "dedup_horizon", "minute_history")
    }
    reading["exclude"] = said["exclude"] | {"events": canonical.selectors(config.exclude.events)}
    return reading | {".".join(key): section.reading() for key, section in config.fact_sections().items()}


def _labels(config: Config) -> Iterator[tuple[str, Definition]]:
    """The parts that cut through families."""
    nothing = Definition({})
    for width in config.windows:
        yield f"window.{format_duration(width)}", nothing
    for width in config.ratio_windows if config.funnels else ():
        yield f"ratio_window.{format_duration(width)}", nothing
    for width in config.long_windows if config.milestones else ():
        yield f"long_window.{format_duration(width)}", nothing
    for definition in config.sessions.definitions:
        yield f"bounced_by.{definition}", nothing
    for name in config.vocabulary():
        if name != OTHER:
            yield f"event.{name}", nothing
    for name, breakdown in config.breakdowns.items():
        values = [f"breakdown.{name}.{slug(value)}" for value in breakdown.values]
        yield f"breakdown.{name}", Definition(canonical.breakdown(breakdown), frozenset(values))
        for value in values:
            yield value, nothing
        for family in breakdown.of:
            yield f"breakdown.{name}.of.{family}", nothing
