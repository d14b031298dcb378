"""Which events a config means: by name, and by what they carry (METRICS.md 5, "Selectors"); presence and bots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import crawleruseragents

from flows.audit.fields import cached_slug, lookup, slugs, text_of
from flows.audit.records import Event
from flows.config.model import Config
from flows.config.selectors import Selector

CHANNELS = ("channel", "context.channel")
INTERACTIVE = "properties.interactive"


def matches(selector: Selector, name: str, document: dict[str, Any]) -> bool:
    """METRICS.md 5: "A value matches as breakdown values do (slug of the JSON text ...); all fields must match, a
    missing field never does."
    """
    return name in slugs(selector.event) and all(
        carries(document, field, values) for field, values in selector.where.items()
    )


def chosen(selectors: Iterable[Selector], event: Event) -> bool:
    """The same for an event that has been read: whether any of `selectors` matches."""
    return any(
        event.name in slugs(selector.event)
        and all(event.carried.get(field) in slugs(values) for field, values in selector.where.items())
        for selector in selectors
    )


def carried(document: dict[str, Any], config: Config) -> dict[str, str]:
    """The values of the fields that selectors look at, or funnels hold, as they are compared."""
    fields = [field for one in all_selectors(config) for field in one.where]
    fields += [*_held_by_funnels(config), *_asked_of_sessions(config)]
    texts = {field: text_of(lookup(document, field)) for field in fields}
    return {field: cached_slug(text) for field, text in texts.items() if text is not None}


def interactive(event: Event) -> bool:
    """METRICS.md 5.4: "no `track` event but those with `properties.interactive = false`"."""
    return event.carried.get(INTERACTIVE) != "false"


def _asked_of_sessions(config: Config) -> list[str]:
    asks = "no_interaction" in (config.sessions.bounce, *config.sessions.definitions)
    return [INTERACTIVE] if asks else []


def _held_by_funnels(config: Config) -> list[str]:
    return [funnel.hold for funnel in config.funnels.values() if funnel.hold is not None]


def all_selectors(config: Config) -> Iterator[Selector]:
    """METRICS.md 5: "Wherever a config names events"."""
    yield from config.key_actions
    yield from config.active_users.events or ()
    for things in (config.goals, config.features):
        for selectors in things.values():
            yield from selectors
    if config.referrals is not None:
        yield from config.referrals.invites
        yield from config.referrals.joins
    for milestone in config.milestones.values():
        yield from milestone.from_
        yield from milestone.to
    if config.retention is not None:
        yield from config.retention.start
        yield from config.retention.events
    for funnel in config.funnels.values():
        for step in funnel.steps:
            yield from step
        yield from funnel.exclude
    yield from config.presence.except_
    yield from config.presence.only or ()
    yield from config.exclude.events


def carries(document: dict[str, Any], field: str, values: tuple[str, ...]) -> bool:
    """Whether the field holds one of the values, compared as slugs."""
    text = text_of(lookup(document, field))
    return text is not None and cached_slug(text) in slugs(values)


def from_servers(config: Config) -> Iterator[str]:
    """METRICS.md 1: "subscriptions, spend, tickets, refunds, cancellations; an order does count"."""
    if config.subscriptions is not None:
        yield from config.subscriptions.events
    if config.orders is not None:
        yield from (event for event, becomes in config.orders.events.items() if becomes != "completed")
    if config.tickets is not None:
        yield from config.tickets.events
    if config.spend is not None:
        yield from config.spend.events


def shows_presence(document: dict[str, Any], name: str, config: Config) -> bool:
    """METRICS.md 1: "by default all but those that other parts of the config read as facts from servers
    (subscriptions ...)"; "`only` takes the place of the default, `except` and `server` leave out more".
    """
    rules = config.presence
    if rules.only is not None:
        shows = any(matches(selector, name, document) for selector in rules.only)
    else:
        shows = name not in slugs(tuple(from_servers(config)))
    if any(matches(selector, name, document) for selector in rules.except_):
        shows = False
    if not rules.server and any(carries(document, field, ("server",)) for field in CHANNELS):
        shows = False
    return shows


def is_bot(document: dict[str, Any], config: Config) -> bool:
    """EVENTS.md: "`context.bot` or `context.isBot` true, or `context.bot` an object; with `bots: user_agent` also
    those whose `context.userAgent` a well-kept list names".
    """
    if config.exclude.bots is False:
        return False
    bot, agent = lookup(document, "context.bot"), lookup(document, "context.userAgent")
    if bot is True or isinstance(bot, dict) or lookup(document, "context.isBot") is True:
        return True
    named = config.exclude.bots == "user_agent" and isinstance(agent, str)
    return named and crawleruseragents.is_crawler(agent)


def selected_texts(document: dict[str, Any], config: Config) -> Iterator[Any]:
    """The values of the fields that selectors look at, or funnels hold."""
    for selector in all_selectors(config):
        yield from (lookup(document, field) for field in selector.where)
    yield from (lookup(document, field) for field in [*_held_by_funnels(config), *_asked_of_sessions(config)])
    if not config.presence.server:
        yield from (lookup(document, field) for field in CHANNELS)
    if config.exclude.bots == "user_agent":
        yield lookup(document, "context.userAgent")
